"""Several processes that are joined as those of ``torchrun`` are, and what becomes of each."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

from trainer.distributed.joining import joined

Work = Callable[..., Any]
KILLED = "killed"


def run_together(
    work: Work, count: int = 2, *arguments: Any, environment: Mapping[str, str] | None = None
) -> list[tuple[str, Any]]:
    """Call ``work(ranks, *arguments)`` in so many processes.

    Args:
        work: of a module that others can import.
        count: processes.
        environment: more variables.

    Returns:
        By rank, ``("", what it gave)``, or the name of the error and its words.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["Testing.trainer.distributed.work"])
    port, pipes, processes = _free_port(), [], []
    for rank in range(count):
        receiver, sender = context.Pipe(duplex=False)
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
        place |= {"MASTER_PORT": str(port), "MULTITASKSEG_PATIENCE_MINUTES": "1", **(environment or {})}
        process = context.Process(target=_one, args=(sender, place, work, arguments))
        process.start()
        # Only the process itself holds the other end now: when it is gone, that is seen.
        sender.close()
        pipes.append(receiver)
        processes.append(process)
    outcomes = [_outcome(pipe) for pipe in pipes]
    for process in processes:
        process.kill()
        process.join()
    return outcomes


def _one(sender: Connection, place: Mapping[str, str], work: Work, arguments: tuple[Any, ...]) -> None:
    os.environ.update(place)
    torch.set_num_threads(1)
    try:
        with joined() as ranks:
            made = work(ranks, *arguments)
        sender.send(("", made))
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        sender.send((type(error).__name__, str(error)))


def _outcome(pipe: Connection) -> tuple[str, Any]:
    try:
        name, said = pipe.recv()
    except EOFError:
        return KILLED, ""
    return name, said


def _free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])
