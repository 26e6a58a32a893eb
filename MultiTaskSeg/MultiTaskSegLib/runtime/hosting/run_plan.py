"""Where and with which tiles to run a model on an image, so that it fits into memory; or why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.memory_estimate import MemoryEstimate, default_slab_voxels, estimate_memory
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.compute_device import AUTO, CPU, ComputeDevice
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS, IN_TILES

# What others may take while the run goes on.
USABLE_SHARE = 0.9
BYTES_PER_MB, BYTES_PER_GB = 1e6, 1e9


@dataclass(frozen=True)
class RunPlan:
    """How to run.

    Attributes:
        device: name of a `ComputeDevice`.
        max_slab_voxels: how many voxels the network takes at a time at most, or `IN_TILES`; None for as many as are
            fast. Should even that not fit, the run goes on with less.
        warnings: what the user should know about it.
    """

    device: str
    max_slab_voxels: int | None = None
    warnings: tuple[str, ...] = ()


def plan_run(
    manifest: Manifest,
    candidates: Sequence[Profile],
    volume: Volume,
    task: str | None,
    device: ComputeDevice,
    host: ComputeDevice,
) -> RunPlan:
    """The fastest way that fits: large parts, smaller parts, and the CPU when a card has too little memory.

    Args:
        manifest: of the loaded model.
        candidates: the profiles that are tried where the task is not given.
        volume: the image.
        task: a task's name or ``auto``; None for a check, which keeps no probabilities.
        device: what the user chose, with its free memory.
        host: the CPU with the free main memory.

    Raises:
        ResourceError: the image does not fit anywhere.
    """
    if task not in (AUTO, None, *(known.name for known in manifest.tasks)):
        return RunPlan(device.name)  # the predictor says which tasks there are

    estimate = estimator(manifest, candidates, volume, task)

    warnings: tuple[str, ...] = ()
    if device.name != CPU:
        sizes = _sizes(is_on_host=False)
        fitting = _first_fitting(sizes, lambda size: estimate(size).card_bytes(), device)
        if fitting is not None:
            _require_room(estimate(fitting).host_bytes(is_on_host=False), host)
            return _plan(device, fitting, sizes, warnings)
        warnings = (f"{device.description} has too little free memory, so the CPU was used",)
    sizes = _sizes(is_on_host=True)
    fitting = _first_fitting(sizes, lambda size: estimate(size).host_bytes(is_on_host=True), host)
    if fitting is None:
        _require_room(min(estimate(size).host_bytes(is_on_host=True) for size in sizes), host)
    return _plan(host, sizes[-1] if fitting is None else fitting, sizes, warnings)


def estimator(
    manifest: Manifest, candidates: Sequence[Profile], volume: Volume, task: str | None
) -> Callable[[int], MemoryEstimate]:
    """What a run takes with slabs of a size; arguments as in `plan_run`."""
    profiles = list(candidates) if task in (AUTO, None) else [manifest.task(str(task)).profile]
    frames = [input_frame(volume, profile) for profile in profiles]
    tasks = [t for t in manifest.tasks if task in (AUTO, t.name) and t.profile in profiles]
    stages = _encoder_stages(manifest) if task is None else None
    return lambda slab_voxels: estimate_memory(manifest.architecture, frames, tasks, volume, slab_voxels, stages)


def _sizes(is_on_host: bool) -> list[int]:
    """Slab sizes to try: the usual one, quarters of it, single steps, tiles."""
    sizes = [default_slab_voxels(is_on_host)]
    while sizes[-1] > 4:
        sizes.append(sizes[-1] // 4)
    return [*sizes, 1, IN_TILES]


def _first_fitting(sizes: Sequence[int], need: Callable[[int], int], device: ComputeDevice) -> int | None:
    room = device.free_bytes
    return next((size for size in sizes if room is None or need(size) <= USABLE_SHARE * room), None)


def _plan(device: ComputeDevice, size: int, sizes: Sequence[int], warnings: tuple[str, ...]) -> RunPlan:
    return (
        RunPlan(device.name, None, warnings) if size == sizes[0] else RunPlan(device.name, size, (*warnings, IN_PARTS))
    )


def _require_room(need_bytes: int, host: ComputeDevice) -> None:
    if host.free_bytes is None or need_bytes <= USABLE_SHARE * host.free_bytes:
        return
    raise ResourceError(
        f"the run needs about {_size(need_bytes)} of memory, and {_size(host.free_bytes)} are free",
        remedy="Close other programs, crop the image to the region of interest, or resample it to larger voxels",
    )


def _encoder_stages(manifest: Manifest) -> int | None:
    """How much of the encoder a check runs; None when its layers need the decoder."""
    layers = manifest.ood.layers
    return 1 + max(int(layer[-1]) for layer in layers) if all(n.startswith("encoder") for n in layers) else None


def _size(size_bytes: float) -> str:
    return (
        f"{size_bytes / BYTES_PER_GB:.1f} GB" if size_bytes >= BYTES_PER_GB else f"{size_bytes / BYTES_PER_MB:.0f} MB"
    )
