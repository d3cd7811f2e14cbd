"""nbgrader's settings for this course, for the folder that nbgrader works in; 0.9.6 was tried."""

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    OverwriteCells,
    OverwriteKernelspec,
)


class ForgetTwins(DeduplicateIds):
    """Of two cells with one id, as Split Cell and Copy make them, the lower one is graded.

    nbgrader's own leaves the upper one's metadata empty, takes that for an old format, and stops.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if not cell.metadata.get("nbgrader", True):
            del cell.metadata["nbgrader"]
        return cell, resources


c = get_config()  # noqa: F821  nbgrader gives it
c.CourseDirectory.course_id = "deepseek-by-hand"
c.Autograde.sanitize_preprocessors = [
    ClearOutput,
    ForgetTwins,
    OverwriteKernelspec,
    OverwriteCells,
    CheckCellMetadata,
]
c.Execute.timeout = 600  # seconds a cell: D4 trains for some minutes
