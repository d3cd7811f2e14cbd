"""Running a notebook from the top and keeping what its cells show, and nothing of the run."""

import time
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from traitlets.config import Config

from lessons.percent import LessonError

CELL_SECONDS = 300


def execute(notebook: NotebookNode, folder: Path) -> list[float]:
    """Every code cell of `notebook` holds its outputs, run in `folder` in one new kernel.

    Returns the seconds that each cell ran. Progress bars keep their last state. Raises
    `LessonError` that names the first cell to fail, with nbclient's own error as its cause.
    """
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        # Else each kernel warns that its loopback connection is not encrypted.
        config=Config(KernelManager={"transport_encryption": "auto"}),
    )
    seconds = []
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            start = time.perf_counter()
            try:
                client.execute_cell(cell, index)
            except (CellControlSignal, DeadKernelError) as error:
                raise LessonError(_sentence(cell, index, error)) from error
            seconds.append(time.perf_counter() - start)
    return seconds


def _sentence(cell: NotebookNode, index: int, error: Exception) -> str:
    first = cell.source.strip().partition("\n")[0][:60]
    said = str(error)
    if isinstance(error, CellExecutionError):
        said = f"{error.ename}: {error.evalue}"
    return f"cell {index + 1} ({cell.id}, `{first}`) failed: {said.strip().partition(chr(10))[0]}"
