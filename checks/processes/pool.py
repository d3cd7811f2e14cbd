"""Four processes, started once, that run a learner's code together; one that hangs is replaced."""

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import cloudpickle
import psutil
from torch import distributed as dist

from checks.grading.result import Elsewhere, Wrong
from checks.processes import worker
from checks.processes.travel import packed
from checks.processes.worker import MET, Meeting, Outcome, Task

MOST = 4
SECONDS = 8.0  # of computing, that a task may take in a process
LOOK = 0.25  # seconds from one look to the next
STILL = 12  # looks at which nobody has computed: they wait for each other
WAITING = 0.1  # seconds of processor time that all may use meanwhile, since gloo looks for rows
LATER = 4  # looks for the failure that made another process lose its partner
NET = 120.0  # seconds on the wall clock
TRIES = 3  # at meeting, before any of the learner's code runs
LOST = ("closed by peer", "reset by peer", "Timed out")  # gloo's, of a partner that is gone
STARTED = ("checks.processes.started",)  # for a check's `preload`
WAITS = (
    "Does every process of the group call every exchange and every `all_reduce`, in the same "
    "order, also the one without a token? Do the counts that one sends and another expects agree?"
)

SIZES = (
    "Does each process expect from another what that one sends, on the way back with the two sizes "
    "swapped?"
)


def together(
    answer: object, processes: int, work: Callable[..., Any], *arguments: object
) -> list[Any]:
    """What `work(answer, rank, group, *arguments)` returns in each of so many processes.

    Where there are enough, another group of as many does the same, so that whoever takes all
    processes for those of the group is found out. Raises Elsewhere where the learner's code raises,
    computes for too long or is still empty, and Wrong where a process dies or waits in vain.
    """
    outcomes = pool().run(answer, processes, work, arguments)
    first = _first_failure(outcomes)
    if first is None:
        return [cloudpickle.loads(outcome.value) for outcome in outcomes[:processes]]
    raise _told(first, processes)


class Together:
    """What `work` gave in the processes of each case, kept for the later stages of a check."""

    def __init__(self, work: Callable[..., Any]):
        self.work = work
        self.answer: object = None
        self.kept: dict[Any, list[Any]] = {}

    def anew(self, answer: object, processes: int, case: object) -> list[Any]:
        """The results of all ranks, for the first stage: the answer's parts may have changed."""
        if answer is not self.answer:
            self.answer, self.kept = answer, {}
        self.kept.pop(case, None)
        return self.again(answer, processes, case)

    def again(self, answer: object, processes: int, case: object) -> list[Any]:
        """The same, without another run where this answer and case have had one."""
        if answer is not self.answer or case not in self.kept:
            self.answer, self.kept = answer, self.kept if answer is self.answer else {}
            self.kept[case] = together(answer, processes, self.work, case)
        return self.kept[case]


def _first_failure(outcomes: Sequence[Outcome]) -> Outcome | None:
    """The failure that caused the others: those that lost their partner come last."""
    failed = [outcome for outcome in outcomes if outcome.kind]
    order = ["unwritten", "slow", "raised", "sizes", "died", "waits"]
    return min(
        failed, key=lambda outcome: (_lost(outcome), order.index(outcome.kind)), default=None
    )


def _lost(outcome: Outcome) -> bool:
    return any(words in outcome.said for words in LOST)


def _told(failure: Outcome, processes: int) -> Exception:
    who = f"process {failure.rank % processes} of {processes}"
    if failure.kind == "unwritten":
        return Elsewhere("unwritten")
    if failure.kind == "waits" or _lost(failure):
        at = f", at {failure.place}" if failure.place else ""
        return Wrong(f"{who} waits for others that never answer{at}. {WAITS}")
    if failure.kind == "sizes":
        return Wrong(f"more rows arrive at {who} than it expects. {SIZES}")
    if failure.kind == "died":
        return Wrong(f"{who} died. Does a line end the whole process?")
    if failure.kind == "slow":
        return Elsewhere("stopped", f"in {who} your code {failure.said}", failure.place)
    if not failure.place:
        return Wrong(f"what your code returned in {who} cannot be used here ({failure.said})")
    return Elsewhere("raised", f"your code raised {failure.said}, in {who}", failure.place)


@cache
def pool() -> "Pool":
    """The one pool of this process, begun when it is first asked for."""
    return Pool()


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection

    def computed(self) -> float:
        """The seconds of processor time it has used, 0 once it is gone."""
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system


class Pool:
    """Up to four workers. Where there is a fork server, a new one costs no import of torch."""

    def __init__(self) -> None:
        methods = multiprocessing.get_all_start_methods()
        kind = "forkserver" if "forkserver" in methods else "spawn"
        self.context: Any = multiprocessing.get_context(kind)
        if kind == "forkserver":
            self.context.set_forkserver_preload(["checks.processes.worker", "solutions.d1_moe"])
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.workers: list[_Worker] = []
        self.numbers = count()

    def start(self) -> None:
        """Afterwards all workers run, and have met once."""
        if not self.workers:
            self.run(None, MOST, _met, ())

    def run(
        self, answer: object, processes: int, work: Callable, arguments: Sequence[object]
    ) -> list[Outcome]:
        """The outcome of each rank; afterwards all workers are ready for the next task."""
        everybody = processes * (MOST // processes if processes > 1 else 2)
        sent, lines = packed(_Call(work, answer, tuple(arguments)))
        chosen = self._together(everybody, processes)
        for each in chosen:
            each.connection.send(Task(sent, SECONDS, lines))
        outcomes = self._outcomes(chosen)
        for rank, each in enumerate(chosen):
            self._make_ready(rank, each, outcomes)
        return [
            outcomes.get(number) or Outcome(number, kind="waits") for number in range(everybody)
        ]

    def _together(self, everybody: int, processes: int) -> list[_Worker]:
        """So many workers that have met; Elsewhere("stopped") where this machine is too busy."""
        for _ in range(TRIES):
            while len(self.workers) < everybody:
                self.workers.append(self._started())
            chosen = self.workers[:everybody]
            if self._meet(chosen, processes):
                return chosen
            for each in chosen:
                _ended(each)
            del self.workers[:everybody]
        raise Elsewhere("stopped", "the processes of this check could not meet; run it once more")

    def _meet(self, chosen: Sequence[_Worker], processes: int) -> bool:
        place, end = f"task {next(self.numbers)}", time.monotonic() + NET
        try:
            for number, each in enumerate(chosen):
                meeting = Meeting(number, len(chosen), processes, self.store.port, place)
                each.connection.send(meeting)
            for each in chosen:
                if not each.connection.poll(end - time.monotonic()):
                    return False
                if each.connection.recv() != MET:
                    return False
        except (EOFError, OSError):  # a process is gone: its end of the pipe is closed
            return False
        return True

    def _started(self) -> _Worker:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(target=worker.serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return _Worker(process, ours)

    def _outcomes(self, chosen: Sequence[_Worker]) -> dict[int, Outcome]:
        """What the ranks gave, up to the first failure or until nobody computes any more."""
        found: dict[int, Outcome] = {}
        end, seen, still, later = time.monotonic() + NET, -1.0, 0, 0
        while len(found) < len(chosen) and time.monotonic() < end:
            waiting = [each.connection for rank, each in enumerate(chosen) if rank not in found]
            wait(waiting, LOOK)
            for rank, each in enumerate(chosen):
                if rank not in found and each.connection.poll():
                    found[rank] = _received(rank, each)
            failed = [outcome for outcome in found.values() if outcome.kind]
            later += bool(failed)
            if later > LATER or not all(_lost(outcome) for outcome in failed):
                return found
            computed = sum(each.computed() for each in chosen)
            still = 0 if computed > seen + WAITING else still + 1
            seen = computed if still == 0 else seen
            if still > STILL:
                return found
        return found

    def _make_ready(self, rank: int, each: _Worker, outcomes: dict[int, Outcome]) -> None:
        """Ends the group of a worker that has answered, and replaces any other."""
        if rank in outcomes and outcomes[rank].kind not in ("died", "sizes"):
            each.connection.send("next")
            return
        _ended(each)
        self.workers[rank] = self._started()


def _ended(each: _Worker) -> None:
    each.process.kill()
    each.process.join()
    each.connection.close()


@dataclass(frozen=True)
class _Call:
    work: Callable
    answer: object
    arguments: tuple

    def __call__(self, rank: int, group: Any) -> object:
        return self.work(self.answer, rank, group, *self.arguments)


def _met(answer: object, rank: int, group: Any) -> int:
    dist.barrier(group=group)
    return rank


def _received(rank: int, each: _Worker) -> Outcome:
    try:
        return each.connection.recv()
    except (EOFError, OSError):
        each.process.join(5)
        aborted = each.process.exitcode == -signal.SIGABRT
        return Outcome(rank, kind="sizes" if aborted else "died")
