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
LOOPBACK = "lo" if os.path.exists("/sys/class/net/lo") else ""


@dataclass(frozen=True)
class Task:
    """What one process is to do: `work` is a pickled function of its rank in a group of `count`.

    `number` is its own among all processes, which may be those of several such groups. `sources`
    are the lines of the files that the learner's code stands in, for messages; `place` is where the
    processes of this task meet.
    """

    work: bytes
    number: int
    everybody: int
    count: int
    port: int
    place: str
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
    """Runs tasks until the connection ends; after each the group stays until the pool says so."""
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # gloo's last words, which the pool tells better
    if LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(_outcome(task))
        connection.recv()  # all have ended, so nobody waits for rows of this process
        if dist.is_initialized():
            dist.destroy_process_group()


def _outcome(task: Task) -> Outcome:
    linecache.cache.update(task.sources)
    try:
        value = time_limit.call(lambda: _run(task), task.seconds)
        return Outcome(task.number, cloudpickle.dumps(value))
    except NotImplementedError as error:
        return _failed(task, error, "unwritten")
    except time_limit.TooSlow as slow:
        place = traceback.place_of_frame(slow.frame) or ""
        return Outcome(task.number, kind="slow", said=str(slow), place=place)
    except BaseException as error:
        return _failed(task, error, "raised")


def _failed(task: Task, error: BaseException, kind: str) -> Outcome:
    place = traceback.place(error) or ""
    return Outcome(task.number, kind=kind, said=traceback.sentence(error), place=place)


def _run(task: Task) -> object:
    store = dist.TCPStore("127.0.0.1", task.port, is_master=False)
    dist.init_process_group(
        "gloo",
        store=dist.PrefixStore(task.place, store),
        rank=task.number,
        world_size=task.everybody,
        timeout=WAIT,
    )
    group, _ = dist.new_subgroups(group_size=task.count)
    work = cloudpickle.loads(task.work)
    return work(task.number % task.count, group)
