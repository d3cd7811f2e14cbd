"""Code on its way to another process: by value, and under the name of the file it stands in."""

import io
import linecache
import sys
from collections import ChainMap
from types import CodeType
from typing import Any

import cloudpickle

from checks.grading import traceback

UNNAMED = "<dynamic-code>"  # what cloudpickle writes in place of a file's name


class _Pickler(cloudpickle.Pickler):
    """cloudpickle's own, but a line that raises can be shown; `files` are those of the learner."""

    def __init__(self, file: io.BytesIO):
        self.files: set[str] = set()
        self.dispatch_table = ChainMap({CodeType: self._code}, cloudpickle.Pickler.dispatch_table)
        super().__init__(file)  # which reads the table

    def _code(self, code: CodeType) -> tuple[Any, ...]:
        make, parts = cloudpickle.Pickler.dispatch_table[CodeType](code)
        if traceback.is_learners(code.co_filename):
            self.files.add(code.co_filename)
        return make, tuple(code.co_filename if part == UNNAMED else part for part in parts)


def packed(call: object) -> tuple[bytes, dict[str, Any]]:
    """`call` for `cloudpickle.loads`, and the lines of the learner's files that it comes from.

    The modules of carried parts are in no other process, so their code travels too.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("carried_"):
            cloudpickle.register_pickle_by_value(module)
    sent = io.BytesIO()
    pickler = _Pickler(sent)
    pickler.dump(call)
    lines = {file: linecache.cache[file] for file in pickler.files if linecache.getlines(file)}
    return sent.getvalue(), lines
