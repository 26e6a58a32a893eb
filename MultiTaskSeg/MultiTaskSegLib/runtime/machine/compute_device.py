"""Devices that a network can run on, and how much of their memory is free."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import torch

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.machine.host_memory import available_bytes, total_bytes

AUTO, CPU, CUDA, MPS = "auto", "cpu", "cuda", "mps"
# Earlier versions have no convolution in space on Apple's GPUs.
MPS_TORCH = (2, 11)


@dataclass(frozen=True)
class ComputeDevice:
    """One device.

    Attributes:
        name: ``cpu``, ``mps``, or ``cuda:0``, ``cuda:1`` ...
        description: for people.
        free_bytes: memory that can be taken now; None where the system does not tell.
        total_bytes: memory that it has; None likewise.
    """

    name: str
    description: str
    free_bytes: int | None
    total_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def compute_devices() -> list[ComputeDevice]:
    """All devices of this machine: the CUDA cards, that with most free memory first, then the CPU, then Apple's GPU.

    That is taken only where it is asked for.
    """
    numbers = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    cards = [card for card in map(_card, numbers) if card is not None]
    cards.sort(key=lambda card: -(card.free_bytes or 0))
    host = ComputeDevice(CPU, f"CPU, {torch.get_num_threads()} threads", available_bytes(), total_bytes())
    # It shares the memory of the computer.
    apple = [ComputeDevice(MPS, "Apple GPU", available_bytes(), total_bytes())] if has_mps() else []
    return [*cards, host, *apple]


def has_mps() -> bool:
    """Whether this torch can compute networks in space on Apple's GPU."""
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    return (major, minor) >= MPS_TORCH and torch.backends.mps.is_available()


def find_device(name: str) -> ComputeDevice:
    """The device to use for a choice of the user.

    Args:
        name: ``cpu``, ``mps``, ``cuda:N``; ``cuda`` is the card with most free memory, ``auto`` the same or the CPU.

    Raises:
        UsageError: the name is unknown.
        ResourceError: the device is not there.
    """
    devices = compute_devices()
    matching = [device for device in devices if name in (AUTO, device.name, device.name.partition(":")[0])]
    if matching:
        return matching[0]
    number = name.partition(":")[2]
    if name == MPS or (name.partition(":")[0] == CUDA and (number.isdigit() or name == CUDA)):
        raise ResourceError(f"the device {name} is not available", remedy=f"Use {AUTO} or {CPU}")
    raise UsageError(f"there is no device {name!r}", remedy=f"Use {AUTO}, {CPU}, {CUDA} or {MPS}")


def select_device(name: str) -> str:
    """Make a device the current one; returns the name by which `Predictor` knows it."""
    kind, _, number = name.partition(":")
    if kind == CUDA and number:
        torch.cuda.set_device(int(number))
    return kind


def torch_device(name: str) -> torch.device:
    """The device of a name: ``auto`` (a CUDA card when there is one), ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UsageError: the name is unknown.
        ResourceError: the device is not there.
    """
    if name not in (AUTO, CPU, CUDA, MPS):
        raise UsageError(f"there is no device {name!r}", remedy=f"Use {AUTO}, {CPU}, {CUDA} or {MPS}")
    if name == MPS:
        if not has_mps():
            raise ResourceError("this torch cannot use Apple's GPU", remedy="Use --device cpu")
        return torch.device(MPS)
    available = torch.cuda.is_available()
    if name == CUDA and not available:
        raise ResourceError("no CUDA device is available", remedy="Use --device cpu")
    return torch.device(CUDA if available and name != CPU else CPU)


def release_card_memory() -> None:
    """Give back what torch holds in reserve on the cards, for other programs or a fresh start.

    A card whose driver has failed answers every call with that failure; the processor goes on without it.
    """
    with suppress(RuntimeError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _card(index: int) -> ComputeDevice | None:
    """A card; None where it cannot be used: other programs have all its memory, or it is theirs alone."""
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError:
        return None
    # What torch holds in reserve is as good as free to it.
    free += torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index)
    return ComputeDevice(f"{CUDA}:{index}", torch.cuda.get_device_name(index), int(free), int(total))
