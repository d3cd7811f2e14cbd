"""One of the processes: it runs what it is sent, in a group with the others, and says how it went.

It lives on from one task to the next; the pool ends it where it hangs.
"""

import linecache
import os
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import torch
from torch import distributed as dist

from checks.grading import time_limit, traceback

WAIT = timedelta(seconds=30)  # for a row that never comes, where the pool has not ended it before
MET = "met"  # what a process says once all of its meeting are there
LOOPBACK = "lo" if os.path.exists("/sys/class/net/lo") else ""


@dataclass(frozen=True)
class Meeting:
    """Where a process meets the others: as `number` of `everybody`, in groups of `count`.

    `everybody` may be several such groups; `place` is a name of their own in the store at `port`.
    """

    number: int
    everybody: int
    count: int
    port: int
    place: str


@dataclass(frozen=True)
class Task:
    """What one process is to do: `work` is a pickled function of its rank in its group.

    `sources` are the lines of the files that the learner's code stands in, for messages.
    """

    work: bytes
    seconds: float
    sources: dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a process gave; or what went wrong in it: `kind` is raised, unwritten or slow."""

    rank: int
    value: Any = None
    kind: str = ""
    said: str = ""
    place: str = ""


def serve(connection: Connection) -> None:
    """Meets the others, runs a task with them and says how it went, until the connection ends.

    After a task the group stays until the pool says that all have ended, so that nobody waits for
    rows of this process.
    """
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # gloo's last words, which the pool tells better
    if LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    while True:
        try:
            meeting = connection.recv()
        except EOFError:
            return
        group = _met(meeting)
        connection.send(MET)
        connection.send(_outcome(meeting, connection.recv(), group))
        connection.recv()
        dist.destroy_process_group()


def _met(meeting: Meeting) -> dist.ProcessGroup:
    store = dist.TCPStore("127.0.0.1", meeting.port, is_master=False)
    dist.init_process_group(
        "gloo",
        store=dist.PrefixStore(meeting.place, store),
        rank=meeting.number,
        world_size=meeting.everybody,
        timeout=WAIT,
    )
    group, _ = dist.new_subgroups(group_size=meeting.count)
    return group


def _outcome(meeting: Meeting, task: Task, group: dist.ProcessGroup) -> Outcome:
    rank = meeting.number
    linecache.cache.update(task.sources)
    try:
        value = time_limit.call(lambda: _run(task, rank % meeting.count, group), task.seconds)
        return Outcome(rank, cloudpickle.dumps(value))
    except NotImplementedError as error:
        return _failed(rank, error, "unwritten")
    except time_limit.TooSlow as slow:
        place = traceback.place_of_frame(slow.frame) or ""
        return Outcome(rank, kind="slow", said=str(slow), place=place)
    except BaseException as error:
        return _failed(rank, error, "raised")


def _failed(rank: int, error: BaseException, kind: str) -> Outcome:
    place = traceback.place(error) or ""
    return Outcome(rank, kind=kind, said=traceback.sentence(error), place=place)


def _run(task: Task, rank: int, group: dist.ProcessGroup) -> object:
    work = cloudpickle.loads(task.work)
    return work(rank, group)
