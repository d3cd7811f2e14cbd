"""Which tests import a module, read from the syntax trees: nothing is executed."""

import ast
from collections.abc import Iterator
from pathlib import Path

MACHINERY = ("checks", "helpers", "lessons", "solutions", "course.py")
LEFT_OUT = {"studies", "browser", "old_notebooks"}  # folders of tests that take too long


def importing(broken: Path, root: Path) -> list[str]:
    """The test modules that import `broken`; if none does, those that do through others.

    The nearest come first, and among them those that are named after it.
    """
    imports = _imports(root)
    reached, last, tests = {broken}, {broken}, []
    while last and not (tests and broken in imports[tests[0]]):
        last = {path for path in imports if imports[path] & last} - reached
        reached |= last
        near = [path for path in last if path.stem.startswith("test_")]
        tests += sorted(near, key=lambda path: (broken.stem not in path.stem, path.name))
    if not tests:
        raise ValueError(f"no test imports {broken.relative_to(root)}")
    return [path.relative_to(root).as_posix() for path in tests]


def _imports(root: Path) -> dict[Path, set[Path]]:
    """The modules that each one imports; a name that a package hands on counts as its source.

    The script `course.py` counts as imported where a text names it.
    """
    paths = modules(root, (*MACHINERY, "tests"))
    dotted = {path: ".".join(path.relative_to(root).with_suffix("").parts) for path in paths}
    known = {path.stem: path for path in paths if path.parent == root / "tests"}
    known |= {name.removesuffix(".__init__"): path for path, name in dotted.items()}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}
    handed_on = {
        f"{dotted[path].removesuffix('.__init__')}.{name}": source
        for path in paths
        if path.name == "__init__.py"
        for source, name in _names(trees[path])
    }

    def meant(source: str) -> Path | None:
        if source in handed_on and source not in known:
            return meant(handed_on[source])
        return known.get(source, known.get(source.rpartition(".")[0]))

    return {path: {meant(s) for s, _ in _names(tree)} - {None} for path, tree in trees.items()}


def _names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """What is imported, as `package.module.name`, and the name it has here."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            yield from ((prefix + each.name, each.asname or each.name) for each in node.names)
        elif isinstance(node, ast.Constant) and node.value == "course.py":
            yield "course", "course"


def modules(root: Path, names: tuple[str, ...]) -> list[Path]:
    """The Python files of these folders and files of `root`."""
    found = [p for name in names for p in (root / name, *sorted((root / name).rglob("*.py")))]
    return [p for p in found if p.is_file() and not LEFT_OUT & {*p.relative_to(root).parts}]
