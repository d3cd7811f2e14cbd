"""What the environment has: a script that it runs itself; its last line is a list in JSON.

No package is taken for granted, so that a broken one is a finding and not the end.
"""

import importlib.util
import json
import os
import platform
import re
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ANEW = "delete the folder .venv, and python3 course.py lab makes it anew."
MANAGER = "share/jupyter/labextensions/@jupyter-widgets/jupyterlab-manager/package.json"
KERNEL_SECONDS = 60

# As in machine.py, from which nothing can be imported here: what, whether it is good, the words.
Finding = tuple[str, bool | None, str]


def packages(root: Path = ROOT) -> Finding:
    """Those of requirements.txt, which must be there, and of constraints.txt, which may."""
    wanted, allowed = pins(root / "requirements.txt"), pins(root / "constraints.txt")
    missing = [name for name in wanted if installed(name) is None]
    if missing:
        return "packages", False, f"{', '.join(missing)} not installed: {ANEW}"
    others = [
        f"{name} is {has}, pinned {pin}"
        for name, pin in {**allowed, **wanted}.items()
        if (has := installed(name)) not in (None, pin)
    ]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return "packages", False, f"{'; '.join(others[:3])}{more}: {ANEW}"
    return "packages", True, f"all {len(wanted)} as pinned."


def pins(path: Path) -> dict[str, str]:
    """The versions that a file of requirements asks for, by name."""
    found = re.findall(r"^([\w.-]+)==([^\s;#]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def installed(name: str) -> str | None:
    """The version that is installed, without what a builder added behind a +."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None


def course(root: Path = ROOT) -> Finding:
    """Whether the notebooks import the checks of this folder."""
    spec = importlib.util.find_spec("helpers")
    if spec is None or spec.origin is None:
        return "course", False, f"its modules are not installed: {ANEW}"
    place = Path(spec.origin).resolve().parents[1]
    if place != root.resolve():
        return "course", False, f"its modules are taken from {place}, not from {root}: {ANEW}"
    return "course", True, "the notebooks use this folder's checks."


def torch_itself() -> Finding:
    try:
        import torch

        total = float(torch.ones(3).sum())
    except Exception as error:
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return "torch", False, f"{said}. {_torch_advice()}"
    return "torch", total == 3.0, f"{torch.__version__} computes."


def _torch_advice() -> str:
    if os.name == "nt":
        where = "aka.ms/vs/17/release/vc_redist.x64.exe"
        return f"Install Microsoft's Visual C++ Redistributable: {where}"
    return ANEW[0].upper() + ANEW[1:]


def processor() -> Finding:
    """By what torch computes; it needs none of them, but training takes longer without."""
    import torch

    features = torch.backends.cpu.get_cpu_capability()
    is_intel = platform.machine().lower() in ("x86_64", "amd64")
    if is_intel and features in ("DEFAULT", "NO AVX"):
        return "processor", None, "no AVX2, so training takes several times the minutes stated."
    return "processor", True, f"{features}." if is_intel else f"{platform.machine()}, {features}."


def threads() -> Finding:
    import torch

    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    policy = os.environ.get("OMP_WAIT_POLICY", "").upper()
    said = f"{torch.get_num_threads()} of torch on {available} processors"
    if policy != "PASSIVE":
        if not policy:
            return "threads", None, f"{said}; import helpers before torch, and they sleep."
        why = f"OMP_WAIT_POLICY is {policy}, so on a busy machine they spin"
        return "threads", False, f"{said}; {why}: unset it, or set it to PASSIVE."
    return "threads", True, f"{said}; they sleep while they wait."


def gpu() -> Finding:
    """None is needed; one that is there must compute before it is recommended."""
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        free, total = torch.cuda.mem_get_info(0)
        said = f"{name}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
        return "GPU", *_computes("cuda", said)
    if torch.backends.mps.is_available():
        return "GPU", *_computes("mps", "Apple's, as device mps")
    return "GPU", None, "none that torch can use; none is needed."


def _computes(device: str, said: str) -> tuple[bool | None, str]:
    import torch

    try:
        torch.ones(3, device=device).sum().item()
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        return None, f"{said}; it does not compute ({reason}), and the lessons need none."
    return True, f"{said}; D4's set-up has the line that uses it."


def kernel() -> Finding:
    """Whether the kernel named python3 is this Python, and answers."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import start_new_kernel

        spec = KernelSpecManager().get_kernel_spec("python3")
    except Exception as error:
        return "kernel", False, f"no kernel python3 ({type(error).__name__}): {ANEW}"
    try:
        manager, client = start_new_kernel(
            startup_timeout=KERNEL_SECONDS, kernel_name="python3", cwd=str(ROOT)
        )
    except Exception as error:
        said = " ".join(str(error).split())[:120]
        return "kernel", False, f"{spec.resource_dir} does not start ({said}): {ANEW}"
    try:
        return _kernel_is_this_python(client, spec.resource_dir)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _kernel_is_this_python(client: object, folder: str) -> Finding:
    said = asked(client, "import sys; print(sys.prefix)")
    if said and Path(said).resolve() == Path(sys.prefix).resolve():
        return "kernel", True, "python3 starts and is this environment's."
    mend = "delete that folder, or choose this environment's kernel in your editor."
    return "kernel", False, f"python3 of {folder} is another Python ({said or 'silent'}): {mend}"


def asked(client: object, code: str) -> str:
    """What the kernel prints when it runs `code`."""
    printed: list[str] = []

    def hear(message: dict) -> None:
        if message["header"]["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    client.execute_interactive(code, timeout=KERNEL_SECONDS, output_hook=hear)  # type: ignore
    return "".join(printed).strip()


def widgets(prefix: str = sys.prefix) -> Finding:
    if installed("ipywidgets") is None or not (Path(prefix) / MANAGER).is_file():
        return "widgets", False, f"JupyterLab would show no slider: {ANEW}"
    return "widgets", True, "JupyterLab shows them."


def findings() -> list[Finding]:
    """All; what needs torch only where torch computes."""
    found = [packages(), course(), kernel(), widgets(), torch_itself()]
    of_torch: list[Callable[[], Finding]] = [processor, threads, gpu] if found[-1][1] else []
    return [*found, *(look() for look in of_torch)]


if __name__ == "__main__":
    print(json.dumps(findings()))
