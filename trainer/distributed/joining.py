"""Joining the processes that ``torchrun`` or ``srun`` starts; all end with the reason of the first one to fail."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import NoReturn

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from MultiTaskSegLib.runtime.errors import MtsError, ResourceError, UsageError
from trainer.distributed.life import Life
from trainer.distributed.ranks import ALONE, Ranks
from trainer.distributed.slurm import is_task_of_several, with_slurm_places
from trainer.distributed.started import PLACE, started_together
from trainer.distributed.torch_ranks import TorchRanks
from trainer.report.note import write_note

PATIENCE = "MULTITASKSEG_PATIENCE_MINUTES"
PATIENCE_MINUTES = 60.0
REASON, ASKED = "reason", "asked to end"
EXIT_INTERRUPTED = 130
GO_ON = "The same command with --resume goes on from the last checkpoint; torchrun --max-restarts N does so by itself"


@contextmanager
def joined(environment: Mapping[str, str] = os.environ) -> Iterator[Ranks]:
    """The processes of this training; where only this one was started, it is alone.

    Within the block, a process that fails ends the others, too: none waits for ever.

    Raises:
        UsageError: there are more processes on this machine than graphics cards, or Slurm does not say where to meet.
        ResourceError: the processes did not meet, or another one has ended.
        KeyboardInterrupt: this or another process was asked to end.
    """
    environment = with_slurm_places(environment)
    if not started_together(environment):
        yield ALONE
        return
    _take_card(environment)
    patience = _patience(environment)
    with (
        _met(environment, patience) as store,
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        _ended_together(store, patience),
    ):
        yield TorchRanks(nowhere if dist.get_rank() else None, environment)


def _take_card(environment: Mapping[str, str]) -> None:
    """Each process of a machine has a graphics card of its own, where there are any."""
    if not torch.cuda.is_available():
        return
    number, cards = int(environment.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= cards:
        raise UsageError(
            f"process {number + 1} of this machine finds {cards} graphics card{'s' if cards > 1 else ''}",
            remedy=f"Start at most {cards} on it (torchrun --nproc-per-node, srun --ntasks-per-node)",
        )
    torch.cuda.set_device(number)


def _patience(environment: Mapping[str, str]) -> timedelta:
    said = environment.get(PATIENCE, str(PATIENCE_MINUTES))
    try:
        patience = timedelta(minutes=float(said))
    except (ValueError, OverflowError):
        patience = timedelta()
    if patience <= timedelta():
        raise UsageError(f"{PATIENCE} is {said!r}", remedy="Give a positive number of minutes")
    return patience


@contextmanager
def _met(environment: Mapping[str, str], patience: timedelta) -> Iterator[Store]:
    """Within the block there is the default group; where to leave a word for the others."""
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    # Loaded by averaging once there is a group, its functions would keep that as a default argument, and with it the
    # threads of gloo: one that waits for the interpreter's lock, to let go of a tensor, while the interpreter ends
    # is unwound through C++ that allows none, and the process aborts.
    importlib.import_module("torch.distributed.nn.functional")
    _tell_waiting(environment, patience)
    try:
        store, rank, world_size = next(rendezvous(_meeting_place(environment), timeout=patience))
        life = Life(store, rank, environment, patience)
        store = PrefixStore(life.name, store)
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=patience)
    except (RuntimeError, ValueError) as error:
        raise ResourceError(
            f"the processes of the training did not meet at {environment['MASTER_ADDR']}:{environment['MASTER_PORT']} "
            f"({_first_line(error)})",
            remedy="Check that all were started, that this address leads to the first machine from all of them, that "
            "nobody else uses its port (MASTER_PORT), and GLOO_SOCKET_IFNAME",
        ) from error
    try:
        yield PrefixStore("words", store)
    finally:
        dist.destroy_process_group()
        life.end()


def _meeting_place(environment: Mapping[str, str]) -> str:
    """As torch writes it; the agent of torchrun tells torch more than its variables say."""
    if "TORCHELASTIC_USE_AGENT_STORE" in environment or not is_task_of_several(environment):
        return "env://"
    place = {name: environment[name] for name in PLACE}
    if ":" in place["MASTER_ADDR"]:
        place["MASTER_ADDR"] = f"[{place['MASTER_ADDR']}]"  # of IPv6, in an address with a port
    return "tcp://{MASTER_ADDR}:{MASTER_PORT}?rank={RANK}&world_size={WORLD_SIZE}".format_map(place)


def _tell_waiting(environment: Mapping[str, str], patience: timedelta) -> None:
    """Whoever has the variables of a cluster by accident would wait in silence for processes that nobody starts."""
    if environment["RANK"] == "0" and environment["WORLD_SIZE"] != "1":
        write_note(
            f"waiting for {environment['WORLD_SIZE']} processes at {environment['MASTER_ADDR']}:"
            f"{environment['MASTER_PORT']}, {patience.total_seconds() / 60:g} min at most; a training in one process "
            f"needs no {'SLURM_STEP_NUM_TASKS' if is_task_of_several(environment) else 'RANK and WORLD_SIZE'}"
        )


@contextmanager
def _ended_together(store: Store, patience: timedelta) -> Iterator[None]:
    rank = dist.get_rank()
    try:
        yield
    except KeyboardInterrupt:
        _leave_word(store, ASKED)
        if rank:
            raise SystemExit(EXIT_INTERRUPTED) from None
        raise
    except Exception as error:
        if not _is_of_connection(error):
            said = str(error) if isinstance(error, MtsError) else f"{type(error).__name__}: {_first_line(error)}"
            _leave_word(store, f"process {rank} of the training has failed: {said}")
            raise
        _end_after_another(store, rank, error, patience)


def _end_after_another(store: Store, rank: int, error: Exception, patience: timedelta) -> NoReturn:
    """Who has failed tells it; the first process repeats it, for nobody looks at all of their logs."""
    reason = _word(store)
    if reason and rank:
        raise SystemExit(EXIT_INTERRUPTED if reason == ASKED else MtsError.exit_code) from None
    if reason == ASKED:
        raise KeyboardInterrupt from error
    if reason:
        raise ResourceError(reason, remedy=GO_ON) from error
    late = f"has not answered for {patience.total_seconds() / 60:g} min" if "imed out" in str(error) else ""
    raise ResourceError(
        f"another process of the training {late or 'has ended without a word, or its machine is not reached any more'}",
        remedy=GO_ON,
    ) from error


def _is_of_connection(error: Exception) -> bool:
    """Whether torch says that another process is not there; gloo has no type of error of its own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _leave_word(store: Store, word: str) -> None:
    """For the others; the first one counts."""
    try:
        store.compare_set(REASON, "", word)
    except RuntimeError:
        # Whoever keeps the store is gone; the others notice that as well.
        return


def _word(store: Store) -> str:
    try:
        return store.get(REASON).decode() if store.check([REASON]) else ""
    except RuntimeError:
        return ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
