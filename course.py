"""The one command of the course: `python3 course.py` lists what it can do.

It needs nothing but Python: the first command that needs the packages installs them into `.venv`.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
OLDEST_PYTHON = (3, 11)
FREE_GIGABYTES = 3  # the packages take 1.3 GB, and pip unpacks them beside that
FIRST_LESSON = "d1_moe.ipynb"

# Run by the environment's Python: the first before pip is asked to install, the second after.
HAS_PIP = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
HAS_PACKAGES = "import importlib.util as u; [u.find_spec(p).name for p in ('torch', 'helpers')]"

# Python runs it when it starts; a setting of one's own stays.
THREADS_SLEEP = (
    b'import os; os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE") == "PASSIVE"'
    b' and os.environ.setdefault("GOMP_SPINCOUNT", "3000")\n'
)


class Stop(Exception):
    """Ends the command with its message, which is one sentence, and exit code 1."""


# The environment


def prepare(dev=False):
    """Afterwards `.venv` holds the pinned packages, with `dev` those of the course's makers too."""
    wanted = pins() + (" dev" if dev else "")
    installed = stamp() in (wanted, wanted + " dev")
    if not (installed and runs("-I", "-c", HAS_PACKAGES)):
        if installed or not runs("-I", "-c", HAS_PIP):  # taken apart by hand, half made, not there
            make_venv()
        install(dev)
        write(VENV / "course.stamp", wanted.encode("ascii"))
    let_threads_sleep()


def pins():
    """A digest of what decides whether the installed packages are still the right ones."""
    digest = hashlib.sha256(str(ROOT).encode("utf-8"))  # a moved folder has to be installed again
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def stamp():
    """What was installed last, "" when nothing was, or not to the end."""
    path = VENV / "course.stamp"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def make_venv():
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Stop(
                f"This Python has no {module} module: on Debian or Ubuntu, "
                "sudo apt install python3-venv adds it; elsewhere, python.org has a whole Python."
            )
    require_processor()
    require_disk()
    say("Making the environment in .venv ...")
    # An activated .venv cannot make itself anew: the Python that it was made with can.
    maker = getattr(sys, "_base_executable", None) or sys.executable
    if call([maker, "-m", "venv", "--clear", str(VENV)]) != 0:
        raise Stop(f"Python could not make {VENV}, for the reason it gives above.")


def require_processor():
    if platform.system() == "Darwin" and platform.machine() == "x86_64":
        raise Stop(
            "PyTorch no longer comes for a Mac with an Intel processor, so the course cannot be "
            "installed here: use a Mac with Apple's processor, Linux or Windows, or Colab."
        )


def install(dev):
    say("Installing the packages into .venv: this takes some minutes, and is done once ...")
    (VENV / "course.stamp").unlink(missing_ok=True)
    what = ["-r", "requirements.txt"] + (["-e", ".[dev]"] if dev else [])
    pip = python("-m", "pip", "install", "--disable-pip-version-check", *what)
    # To pip, a package whose page could not be fetched does not exist: one failure may be that.
    if call(pip) != 0 and call(pip) != 0:
        raise Stop(
            "pip could not install the packages, for the reason it gives above; "
            "it needs the network for this, and disk."
        )


def let_threads_sleep():
    """Afterwards torch's threads sleep while they wait, in every process of the environment.

    By default they spin for long, and on two busy cores a step then takes ten times as long. A
    .pth file is read at each start, before any package; `import helpers` does the same elsewhere.
    """
    folder = "Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages"
    for packages in VENV.glob(folder):
        path = packages / "deepseek_by_hand_threads.pth"
        if not path.is_file() or path.read_bytes() != THREADS_SLEEP:
            write(path, THREADS_SLEEP)


def require_disk():
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < FREE_GIGABYTES:
        raise Stop(f"The packages need {FREE_GIGABYTES} GB of disk, and {free:.1f} GB are free.")


def python(*arguments):
    """The command line that runs the environment's Python."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return [str(VENV / folder / name), *arguments]


def runs(*arguments):
    """Whether the environment's Python exists, starts, and ends without an error."""
    try:
        off = subprocess.DEVNULL
        return subprocess.run(python(*arguments), stdout=off, stderr=off).returncode == 0
    except OSError:
        return False


def call(command):
    """Runs `command` at the project's root, its output visible, and returns its exit code."""
    return subprocess.run(command, cwd=str(ROOT), env=environment()).returncode


def environment():
    """This process' variables; UTF-8 everywhere, which a Windows pipe would not be by itself."""
    return dict(os.environ, PYTHONUTF8="1")


def is_root():
    return hasattr(os, "geteuid") and os.geteuid() == 0


def say(line):
    print(line, flush=True)


def write(path, data):
    """Afterwards `path` holds `data`; until then it is what it was before."""
    from helpers.atomic_file import write_atomically  # only a Python that is new enough gets here

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


# lab


def lab(arguments):
    parser = Parser(prog="course.py lab", allow_abbrev=False, add_help=False)
    parser.add_argument("--no-browser", action="store_true")
    parser.add_argument("--port", type=int)
    chosen = parser.parse_args(arguments)
    require_port(chosen.port)
    if not (ROOT / "notebooks" / FIRST_LESSON).is_file():
        raise Stop(f"notebooks/ has no {FIRST_LESSON}: python3 course.py build makes it.")
    prepare()
    copy_notebooks()
    say("Opening JupyterLab. Ctrl+C here ends it.")
    return serve(lab_command(chosen.no_browser, chosen.port), lab_environment())


def require_port(port):
    if port is None:
        return
    if not 1 <= port <= 65535:
        raise Stop(f"--port must be between 1 and 65535, got {port}.")
    with socket.socket() as probe:
        if os.name == "posix":  # where it lets a port be used again at once, and no more than that
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = error.strerror or error
            raise Stop(f"Port {port} cannot be used: {reason}.") from None


def copy_notebooks():
    """Afterwards `work/` has every lesson; what it had before is as it was.

    `work/.course/base/` keeps each copy as it was made, for merging a newer lesson into it.
    """
    (ROOT / "work").mkdir(exist_ok=True)
    for lesson in sorted((ROOT / "notebooks").glob("*.ipynb")):
        mine = ROOT / "work" / lesson.name
        if not os.path.lexists(str(mine)):
            original = lesson.read_bytes()
            write(ROOT / "work" / ".course" / "base" / lesson.name, original)
            write(mine, original)
        elif is_newer(lesson, mine):
            say(f"There is a newer {lesson.name}: python3 course.py update merges it into yours.")


def is_newer(lesson, mine):
    """Whether the lesson has changed since it was copied, or merged, into `mine`."""
    base = ROOT / "work" / ".course" / "base" / lesson.name
    if base.is_file():
        return base.read_bytes() != lesson.read_bytes()
    return mine.exists() and mine.stat().st_mtime < lesson.stat().st_mtime


def lab_command(no_browser=False, port=None):
    command = python("-m", "jupyterlab", "--ServerApp.ip=127.0.0.1")
    command += ["--ServerApp.root_dir=" + str(ROOT), "--ServerApp.answer_yes=True"]
    command += ["--LabApp.default_url=/lab/tree/work/" + FIRST_LESSON]
    if no_browser:
        command += ["--no-browser"]
    if port is not None:
        command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if is_root():
        command += ["--allow-root"]
    return command


def lab_environment():
    """Variables that put the course's settings before the reader's own, for this launch only.

    Off are the question about Jupyter news, and jupytext, which opens scripts as notebooks.
    """
    folder = VENV / "course-jupyter"
    off = ["@jupyterlab/apputils-extension:announcements", "jupyterlab-jupytext"]
    page = {"disabledExtensions": dict.fromkeys(off, True)}
    server = {"ServerApp": {"jpserver_extensions": {"jupyterlab_jupytext": False}}}
    write(folder / "labconfig" / "page_config.json", json.dumps(page).encode("ascii"))
    write(folder / "jupyter_server_config.d" / "course.json", json.dumps(server).encode("ascii"))
    paths = [str(folder), *filter(None, [os.environ.get("JUPYTER_CONFIG_PATH")])]
    return dict(environment(), JUPYTER_CONFIG_PATH=os.pathsep.join(paths))


def serve(command, env, folder=ROOT):
    """Runs it in `folder` to its end; the Ctrl+C that reaches this process has reached it too."""
    server = subprocess.Popen(command, cwd=str(folder), env=env)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return end(server)


def end(server):
    """Gives it the time to stop what it has started, as JupyterLab its kernels."""
    try:
        return server.wait(timeout=15)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        server.terminate()
        return server.wait()


# What the packages do themselves


def checks(command):
    return lambda arguments: hand_on(["-m", "checks", command, *arguments])


def updating(command):
    return lambda arguments: hand_on(["-m", "checks.learner.updating", command, *arguments])


def chat(arguments):
    """A folder is meant as it is named from where the command is given."""
    if arguments and not arguments[0].startswith("-"):
        arguments = [os.path.abspath(arguments[0]), *arguments[1:]]
    return hand_on(["-m", "checks", "chat", *arguments])


def watch(arguments):
    """Ends by Ctrl+C as JupyterLab does, without a word."""
    prepare()
    return serve(python("-m", "checks.learner.watch", *arguments), environment())


def doctor(arguments):
    """Makes and needs nothing: what is there is looked at by the Python that it belongs to."""
    Parser(prog="course.py doctor", allow_abbrev=False, add_help=False).parse_args(arguments)
    script = ROOT / "checks" / "learner" / "doctor" / "machine.py"
    state = state_of_environment()
    there = python()[0] if state in ("old", "pinned") else sys.executable
    return call([sys.executable, str(script), state, there])


def state_of_environment():
    """One of none, broken, old (made for other pins or in another folder), pinned."""
    if not runs("-c", ""):
        return "broken" if VENV.exists() else "none"
    return "pinned" if stamp() in (pins(), pins() + " dev") else "old"


def grade(arguments):
    """Files and folders are meant as they are named from where the command is given."""
    prepare()
    command = python("-P", "-m", "checks.learner.class_report", *arguments)
    return serve(command, environment(), os.getcwd())


def build(arguments):
    return hand_on(["-m", "lessons.build", *arguments], dev=True)


def test(arguments):
    parser = Parser(prog="course.py test", allow_abbrev=False, add_help=False)
    parser.add_argument("--full", action="store_true")
    parser.parse_args(arguments)
    return hand_on([str(ROOT / "tests" / "steps.py"), *arguments], dev=True)


def hand_on(arguments, dev=False):
    prepare(dev)
    return call(python(*arguments))


# The command line


COMMANDS = {
    "lab": ("[--no-browser] [--port N]", "opens the first lesson in JupyterLab", lab),
    "status": ("", "shows which exercises are done", checks("status")),
    "validate": ("[--all] [lesson ...]", "checks your notebooks in work/", checks("validate")),
    "update": ("[--undo]", "merges newer lessons into your notebooks", updating("update")),
    "reset": ("EXERCISE", "gives a fresh cell for one, such as D1.3", updating("reset")),
    "restart": ("LESSON", "begins a lesson anew, such as d1", updating("restart")),
    "watch": ("LESSON", "checks a lesson again whenever you save its notebook", watch),
    "export": ("", "writes your parts as one file, work/my_deepseek.py", checks("export")),
    "chat": ("FOLDER [--prompt TEXT] ...", "talks to a checkpoint through your parts", chat),
    "doctor": ("", "says what this machine lacks, and how to mend it", doctor),
    "grade": (
        "FOLDER [--csv FILE] ...",
        "grades a class, a folder for each learner, as a table and pages",
        grade,
    ),
    "test": ("[--full]", "tests the course itself; --full takes up to an hour", test),
    "audit": (
        "[lesson ...] [--seeds N]",
        "tests the checks on right and wrong code",
        checks("audit"),
    ),
    "build": ("[--check]", "makes the notebooks from lessons/ and solutions/", build),
}


class Parser(argparse.ArgumentParser):
    """One that answers what it does not understand with a sentence, as everything here does."""

    def error(self, message):
        raise Stop(f"{self.prog}: {message}. python3 course.py lists the commands.")


def listing():
    rows = [(" ".join([name, usage]), what) for name, (usage, what, _) in COMMANDS.items()]
    return "\n".join(
        ["usage: python3 course.py <command>", ""] + [f"  {left:<32} {what}" for left, what in rows]
    )


def main(arguments):
    """Runs one command and returns the exit code; whatever goes wrong is one sentence."""
    if sys.version_info < OLDEST_PYTHON:
        raise Stop(
            "The course needs Python {}.{} or newer, and this is {}.".format(
                *OLDEST_PYTHON, sys.version.split()[0]
            )
        )
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say(listing())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        raise Stop(f"There is no command {name}.\n\n{listing()}")
    return COMMANDS[name][2](rest)


def run(arguments):
    try:
        return main(arguments)
    except Stop as stop:
        print(stop, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
    except OSError as error:
        print(f"course.py was stopped by the system: {error}.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
