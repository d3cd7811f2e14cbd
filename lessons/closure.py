"""What a file of the course is made from: the modules it imports, through others, and a digest.

Two files with the same syntax tree have the same digest: comments, layout and docstrings count
only in the answers of the audit's bank, which notebooks show.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

PACKAGES = ("checks", "helpers", "lessons", "solutions", "tests")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
SHOWN = "checks/audit/bank/"  # a failure may quote these answers line by line

# Modules that import others by a lesson's name, which no syntax tree shows.
BY_NAME = {
    "checks/__init__.py": "checks.{stem}",
    "checks/learner/carry.py": "solutions.{stem}",
}


def closure(root: Path, starts: Iterable[Path], stems: Iterable[str] = ()) -> list[Path]:
    """The files of the course that `starts` consist of or import, sorted, `starts` included.

    `stems` are the lessons that modules which import by name may load.
    """
    found: set[Path] = set()
    waiting = list(starts)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(root, path, tuple(stems))
    return sorted(found)


def digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names and the contents of `paths`, as far as they change what happens."""
    found = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix()
        found.update(f"{name}\0{_content(path, name)}\0".encode())
    return found.hexdigest()


def _content(path: Path, name: str) -> str:
    if path.suffix == ".ipynb":
        return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    text = path.read_text(encoding="utf-8")  # line ends differ between Windows and Linux
    if path.suffix != ".py" or name.startswith(SHOWN):
        return text
    return tree_text(ast.parse(text))


def tree_text(node: object) -> str:
    """A syntax tree as text, without docstrings, the same on every version of Python."""
    if isinstance(node, list):
        return f"[{','.join(map(tree_text, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = dict(ast.iter_fields(node))
    if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        fields["body"] = node.body[1:]
    # Newer versions of Python add fields, which are empty where nothing new is used.
    known = [(name, value) for name, value in fields.items() if value not in (None, [])]
    return f"{type(node).__name__}({','.join(f'{n}={tree_text(v)}' for n, v in known)})"


def _imported(root: Path, path: Path, stems: tuple[str, ...]) -> Iterator[Path]:
    if path.suffix != ".py":
        return
    names = list(_names(ast.parse(path.read_text(encoding="utf-8"))))
    pattern = BY_NAME.get(path.relative_to(root).as_posix())
    if pattern is not None:
        names += [pattern.format(stem=stem) for stem in stems]
    for name in names:
        yield from _files(root, name)


def _names(tree: ast.Module) -> Iterator[str]:
    """Every module that an import in `tree` may load; some are names inside a module instead."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(root: Path, module: str) -> Iterator[Path]:
    """The file of a module of the course, and those of the packages it lies in."""
    parts = module.split(".")
    if parts[0] not in PACKAGES:
        return
    for count in range(1, len(parts) + 1):
        place = root.joinpath(*parts[:count])
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.is_file():
                yield path
