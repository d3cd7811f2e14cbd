"""Whether nbgrader runs this notebook, and what it then has to be given.

nbgrader reads a check cell's value as its points and takes anything on stderr for a failure. A
submission's notebooks lie together in one folder, which is the learner's `work/` to it.
"""

import os

POINTS = 1.0  # of a check, as the notebooks' metadata has it


def is_grading() -> bool:
    """Whether this kernel was started by nbgrader's validate or autograde."""
    return "NBGRADER_EXECUTION" in os.environ
