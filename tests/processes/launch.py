"""Runs a function in several processes that know each other, and returns what each gave."""

import os
import socket
from collections.abc import Callable
from typing import Any

import torch
from torch import multiprocessing

SECONDS = 240  # on a machine with other work: four processes import torch at once


def launch(function: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
    """`function(*arguments)` of each rank's process; an error in one is raised here."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = multiprocessing.spawn(
        _work, (count, port, results, function, arguments), nprocs=count, join=False
    )
    found = dict(results.get(timeout=SECONDS) for _ in range(count)) if _going(running) else {}
    while not running.join():
        pass
    return [found[rank] for rank in range(count)]


def _going(running: Any) -> bool:
    """Raises the first error of a process that ended at once."""
    return not running.join(timeout=0.1)


def _work(
    rank: int, count: int, port: int, results: Any, function: Callable, arguments: tuple
) -> None:
    torch.set_num_threads(1)
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ.update(where, RANK=str(rank), WORLD_SIZE=str(count), LOCAL_RANK=str(rank))
    results.put((rank, function(*arguments)))
