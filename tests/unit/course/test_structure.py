"""The house: imports point one way, nothing goes in a circle, and no folder is crowded."""

import ast
from pathlib import Path

import pytest

from course import ROOT

MOST_MODULES = 16

# A folder's modules import from their own folder and from those above it in this list.
LAYERS = [
    "helpers",
    "helpers.model",
    "helpers.story_world",
    "helpers.data",
    "helpers.parallel",
    "helpers.measuring",
    "helpers.checkpoints",
    "helpers.training_loops",
    "helpers.plots",
    "helpers.diagrams.drawing",
    "helpers.diagrams",
    "solutions",
    "checks.learner_files",
    "checks.grading",
    "checks.processes",
    "checks.d1_moe",
    "checks.d2_deepseek_moe",
    "checks.d3_mla",
    "checks.d4_deepseek",
    "checks",
    "checks.learner",
    "checks.audit",
    "checks.audit.bank",
    "checks.__main__",
    "solutions.train.__main__",  # the command, which may train a learner's parts
    "lessons",
    "benchmarks",
]


def python_files(folder: str) -> list[Path]:
    return [
        path for path in sorted((ROOT / folder).rglob("*.py")) if "__pycache__" not in str(path)
    ]


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for folder in ("helpers", "solutions", "checks", "lessons", "benchmarks")
    for path in python_files(folder)
}


def imported(path: Path) -> set[str]:
    """The course's modules that a file imports, also inside functions and for types only."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {part for part in parts if part in MODULES}
            names |= {node.module} if parts - MODULES.keys() else set()
    return names & MODULES.keys()


def layer(module: str) -> int:
    """The place in `LAYERS` of the longest name that `module` begins with."""
    fitting = [name for name in LAYERS if f"{module}.".startswith(f"{name}.")]
    return LAYERS.index(max(fitting, key=len))


GRAPH = {module: imported(path) for module, path in MODULES.items()}


def test_every_module_has_its_layer_and_no_arrow_points_up():
    up = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if layer(other) > layer(module)
    ]
    assert not up, up


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, or nothing."""
    done: set[str] = set()

    def follow(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for other in graph[module]:
            if found := follow(other, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := follow(module, []))), [])


def test_no_imports_go_in_a_circle():
    assert not circle(GRAPH)


def test_a_circle_and_an_arrow_upwards_would_be_seen():
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c"]
    assert (
        layer("helpers.plots.palette") < layer("solutions.d1_moe") < layer("checks.d1_moe.router")
    )
    assert layer("checks.learner.carry") > layer("checks")


def test_importing_checks_loads_no_lesson():
    names = imported(ROOT / "checks" / "__init__.py")
    assert not [
        name for name in names if name.startswith(("checks.d", "checks.audit", "solutions."))
    ]


@pytest.mark.parametrize("top", ["checks", "helpers", "tests", "solutions"])
def test_no_folder_is_crowded(top):
    folders = {path.parent for path in python_files(top)}
    counts = {
        folder.relative_to(ROOT).as_posix(): len(
            [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        )
        for folder in folders
    }
    assert max(counts.values()) <= MOST_MODULES, counts
