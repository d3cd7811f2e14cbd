"""Code of several lessons run in one namespace, in which every part finds the others."""

import linecache
import math
import sys
from types import ModuleType

from checks.grading import time_limit, traceback

SECONDS = 8.0  # a cell that only defines things computes no longer


class SharedNames(dict[str, object]):
    """The names that all parts share; each file's code has a module of its own beside them."""

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, ModuleType] = {}

    def run(self, source: str, file: str, module: str, *, limited: bool = True) -> str:
        """Empty once `source` ran, else what it raised, in one sentence.

        Afterwards `inspect`, pickle and dataclasses find what it defines in `file` and `module`.
        """
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        self._modules[module] = self._module(module, file)
        self.show_modules()
        self["__name__"] = module
        try:
            code = compile(source, file, "exec", dont_inherit=True)
            time_limit.call(lambda: exec(code, self), SECONDS if limited else math.inf)
        except time_limit.TooSlow as slow:
            return f"it {slow}"
        except KeyboardInterrupt as error:
            if not traceback.raised_by_learner(error):
                raise
            return traceback.sentence(error)
        except BaseException as error:
            return traceback.sentence(error)
        return ""

    def show_modules(self) -> None:
        """Let everybody find the modules of these names, where others had theirs since."""
        sys.modules.update(self._modules)

    def _module(self, name: str, file: str) -> ModuleType:
        module = ModuleType(name)
        module.__file__ = file
        vars(module)["__getattr__"] = self._attribute
        return module

    def _attribute(self, name: str) -> object:
        if name in self and not name.startswith("__"):
            return self[name]
        raise AttributeError(name)
