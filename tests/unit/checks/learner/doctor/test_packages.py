"""What the doctor says of the packages; one that is broken is a finding and not the end."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from checks.learner.doctor import packages


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "requirements.txt").write_text("# pinned\n-c constraints.txt\ntorch==2.0\n-e .\n")
    (tmp_path / "constraints.txt").write_text("six==1.17.0\ngone==3\n")
    return tmp_path


def have(monkeypatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise packages.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(packages, "version", version)


def test_a_builders_suffix_is_no_difference(root, monkeypatch) -> None:
    have(monkeypatch, {"torch": "2.0+cpu", "six": "1.17.0"})
    assert packages.packages(root) == ("packages", True, "all 1 as pinned.")


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"six": "1.17.0"}, "torch not installed"),
        ({"torch": "2.1"}, "torch is 2.1, pinned 2.0"),
        ({"torch": "2.0", "six": "1.16"}, "six is 1.16, pinned 1.17.0"),
    ],
)
def test_what_differs_from_the_pins_is_named(root, monkeypatch, versions, said) -> None:
    have(monkeypatch, versions)
    _, good, text = packages.packages(root)
    assert good is False and text.startswith(said) and "delete the folder .venv" in text


def test_the_courses_own_pins_are_read() -> None:
    wanted = packages.pins(packages.ROOT / "requirements.txt")
    lines = (packages.ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert wanted["torch"] and len(wanted) == sum("==" in line for line in lines)


def test_modules_of_another_folder_are_named(tmp_path, monkeypatch) -> None:
    assert packages.course()[1] is True
    assert packages.course(tmp_path)[1] is False
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    assert "not installed" in packages.course()[2]


def test_torch_that_cannot_be_loaded_is_a_finding(monkeypatch) -> None:
    assert packages.torch_itself()[1] is True
    monkeypatch.setitem(sys.modules, "torch", None)
    _, good, text = packages.torch_itself()
    assert good is False and "delete the folder .venv" in text.lower()
    monkeypatch.setattr(packages, "os", SimpleNamespace(name="nt"))
    assert "Visual C++" in packages.torch_itself()[2]


@pytest.mark.parametrize(
    ("machine", "features", "good"),
    [("x86_64", "AVX2", True), ("AMD64", "DEFAULT", None), ("arm64", "DEFAULT", True)],
)
def test_a_processor_without_avx2_is_a_remark(monkeypatch, machine, features, good) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: features)
    monkeypatch.setattr(packages.platform, "machine", lambda: machine)
    assert packages.processor()[1] is good


@pytest.mark.parametrize(("policy", "good"), [("PASSIVE", True), ("active", False), ("", None)])
def test_threads_that_spin_are_named(monkeypatch, policy, good) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", policy)
    _, found, text = packages.threads()
    assert found is good
    assert ("unset it" in text) == (good is False)


def test_no_gpu_and_one_that_does_not_compute_are_remarks(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert packages.gpu() == ("GPU", None, "none that torch can use; none is needed.")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "Card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda i: (2**30, 2**31))
    monkeypatch.setattr(packages, "_computes", lambda device, said: (True, f"{said}, {device}"))
    assert packages.gpu() == ("GPU", True, "Card, 1 of 2 GiB free, cuda")
    monkeypatch.undo()
    good, said = packages._computes("meta", "Card")  # it has no data to read
    assert good is None and said.startswith("Card; it does not compute (")


def test_the_kernel_is_started_and_is_this_python() -> None:
    assert packages.kernel() == ("kernel", True, "python3 starts and is this environment's.")


def test_a_kernel_that_is_another_python_is_named(monkeypatch) -> None:
    monkeypatch.setattr(packages, "asked", lambda client, code: "/elsewhere")
    _, good, text = packages._kernel_is_this_python(object(), "/home/me/kernels/python3")
    assert good is False and "/home/me/kernels/python3" in text and "/elsewhere" in text


def test_a_kernelspec_that_is_missing_or_does_not_start(tmp_path, monkeypatch) -> None:
    from jupyter_client import kernelspec

    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    broken = {"argv": [sys.executable, "-c", "raise SystemExit(3)"], "display_name": "x"}
    (folder / "kernel.json").write_text(json.dumps(broken), encoding="utf-8")
    monkeypatch.setattr(packages, "KERNEL_SECONDS", 5)
    only = kernelspec.KernelSpec.from_resource_dir(str(folder))
    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", lambda self, name: only)
    _, good, text = packages.kernel()
    assert good is False and f"{folder} does not start" in text

    def missing(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", missing)
    assert packages.kernel()[2].startswith("no kernel python3 (NoSuchKernel)")


def test_widgets_need_their_extension(tmp_path) -> None:
    assert packages.widgets()[1] is True
    assert packages.widgets(str(tmp_path))[1] is False


def test_all_findings_have_a_word_a_mark_and_a_sentence() -> None:
    run = subprocess.run([sys.executable, packages.__file__], capture_output=True, encoding="utf-8")
    found = json.loads(run.stdout.splitlines()[-1])
    words = [word for word, _, _ in found]
    assert words[:5] == ["packages", "course", "kernel", "widgets", "torch"]
    assert words[5:] == ["processor", "threads", "GPU"]
    assert all(text and mark in (True, False, None) for _, mark, text in found)
