"""`course.py export`: one file of a learner's parts that stands by itself."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from checks import LESSONS, __main__
from checks.learner import export
from checks.learner_files import paths
from helpers import solution_markers

WHOLE = {name for names in export.PARTS.values() for name in names}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder; the current folder is another one."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "work"


def write(work: Path, lesson: str, sources: dict[str, str], plain: tuple[str, ...] = ()) -> None:
    """A notebook with the lesson's imports, these plain cells, and these exercise cells."""
    work.mkdir(exist_ok=True)
    module = (paths.ROOT / "solutions" / f"{lesson}.py").read_text(encoding="utf-8")
    nodes = [n for n in ast.parse(module).body if isinstance(n, ast.Import | ast.ImportFrom)]
    setup = "\n".join(ast.unparse(node) for node in nodes)
    cells = [new_code_cell(setup, metadata={"tags": ["setup"]}), *map(new_code_cell, plain)]
    for check in LESSONS[lesson]:
        if check.name in sources:
            metadata = {"tags": ["exercise"], "exercise": check.id}
            cells.append(new_code_cell(sources[check.name], metadata=metadata))
    nbformat.write(new_notebook(cells=cells), work / f"{lesson}.ipynb")


def solved(lesson: str, name: str) -> str:
    module = (paths.ROOT / "solutions" / f"{lesson}.py").read_text(encoding="utf-8")
    return solution_markers.solved(solution_markers.source_of(module, name))


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The file in a Python that sees the packages and nothing of the course."""
    outside = path.parent.parent / "elsewhere"
    outside.mkdir(exist_ok=True)
    alone = outside / path.name
    alone.write_bytes(path.read_bytes())
    command = [sys.executable, "-I", "-c", ALONE, str(alone), *arguments]
    return subprocess.run(command, cwd=outside, capture_output=True, text=True)


# `-I` leaves out the current folder, and this what an editable install adds.
ALONE = """
import runpy, sys
class Course:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("checks", "helpers", "solutions", "lessons", "jaxtyping"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Course())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def a_text(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text(
        "The cat sat on the mat, and the dog lay by the door.\n" * 400, encoding="utf-8"
    )
    return path


def test_without_a_notebook_it_is_the_references_and_trains_and_writes(work, tmp_path):
    path = export.export()
    written = path.read_text(encoding="utf-8")
    assert path == work / "my_deepseek.py"
    assert "Yours: none yet." in written and "solutions" not in written
    done = run(path, str(a_text(tmp_path)), "--steps", "4", "--tokens", "6", "--prompt", "The cat")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert [line.split(":")[0] for line in told[:4]] == [f"step {i} of 4" for i in range(1, 5)]
    assert all("held out" in line and "CV of the busiest layer" in line for line in told[:4])
    assert told[4].startswith("The cat")


def test_a_saved_model_is_loaded_and_writes_the_same(work, tmp_path):
    path, text = export.export(), str(a_text(tmp_path))
    words = ["--tokens", "9", "--prompt", "The cat", "--temperature", "0"]
    made = run(path, text, "--steps", "3", "--save", str(tmp_path / "kept"), *words)
    again = run(path, "--load", str(tmp_path / "kept"), *words)
    assert made.returncode == again.returncode == 0, made.stderr + again.stderr
    assert made.stdout.splitlines()[3:] == again.stdout.splitlines()
    assert len({file.stat().st_mode for file in (tmp_path / "kept").iterdir()}) == 1


BAD = {
    "no steps": (["--steps", "0"], "--steps: it must be at least 1, got 0"),
    "below freezing": (["--temperature", "-1"], "--temperature: it must be at least 0, got -1"),
    "not a number": (["--temperature", "nan"], "--temperature: it must be at least 0, got nan"),
    "no prompt": (["--prompt", ""], "--prompt must hold some text"),
    "no device": (["--device", "abacus"], "torch has no device abacus here"),
    "both": (["--load", "."], "give a text file or --load, not both"),
}


@pytest.mark.parametrize("title", BAD)
def test_a_bad_argument_is_one_sentence_before_anything_is_trained(work, tmp_path, title):
    words, sentence = BAD[title]
    done = run(export.export(), str(a_text(tmp_path)), *words)
    assert done.returncode == 2 and not done.stdout
    assert sentence in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


def test_only_torch_its_savers_and_python_itself_are_imported(work):
    tree = ast.parse(export.export().read_text(encoding="utf-8"))
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    froms = {n.module for n in nodes if isinstance(n, ast.ImportFrom)}
    names = froms | {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
    roots = {name.split(".")[0] for name in names}
    assert roots - sys.stdlib_module_names == {"torch", "tokenizers", "safetensors"}
    defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert set(defined) >= WHOLE
    assert len(defined) == len(set(defined))


def test_a_part_of_an_older_notebook_finds_helpers_by_the_names_of_then(work, tmp_path):
    old = solved("d3_mla", "LatentCache").replace("validate_sizes", "refuse_bad_sizes")
    set_up = "from helpers.attention_sizes import refuse_bad_sizes"
    write(work, "d3_mla", {"LatentCache": old}, (set_up,))
    path = export.export()
    written = path.read_text(encoding="utf-8")
    assert "Yours: LatentCache." in written
    assert "\nrefuse_bad_sizes = validate_sizes\n" in written
    assert "refuse_bad_router" not in written
    done = run(path, str(a_text(tmp_path)), "--steps", "2", "--tokens", "3")
    assert done.returncode == 0, done.stderr


def test_parts_that_pass_are_yours_with_what_they_need(work, tmp_path):
    own = "def largest(scores, k):\n    return scores.topk(k, dim=-1).indices"
    router = solved("d2_deepseek_moe", "BiasedRouter").replace(
        "biased.topk(self.top_k, dim=-1).indices", "largest(biased, self.top_k)"
    )
    assert "largest" in router
    loss = solved("d4_deepseek", "masked_loss").replace("return", "assert len(logits)\n    return")
    write(work, "d2_deepseek_moe", {"BiasedRouter": router}, (own, "print('not wanted')"))
    write(
        work, "d4_deepseek", {"masked_loss": loss, "sample": "def sample(logits, temperature): 1"}
    )
    path = export.export()
    written = path.read_text(encoding="utf-8")
    assert "Yours: BiasedRouter, masked_loss." in written
    assert own in written and "assert len(logits)" in written and "not wanted" not in written
    done = run(path, str(a_text(tmp_path)), "--steps", "2", "--tokens", "3")
    assert done.returncode == 0, done.stderr


def test_a_text_that_is_missing_or_short_gets_a_sentence(work, tmp_path):
    path = export.export()
    short = tmp_path / "short.txt"
    short.write_text("too little", encoding="utf-8")
    for text, says in (
        (tmp_path / "no.txt", "There is no file"),
        (short, "must hold over 128 tokens"),
    ):
        done = run(path, str(text))
        assert done.returncode == 1
        assert says in done.stderr and "Traceback" not in done.stderr


def test_the_command_says_where_the_file_is(work, capsys):
    options = __main__._parser().parse_args(["export"])
    assert options.run(options) == 0
    assert str(work / "my_deepseek.py") in capsys.readouterr().out
