"""Where and with which tiles to run a model on an image, so that it fits into memory; or why it cannot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from MultiTaskSegLib.runtime.compute_device import AUTO, CPU, ComputeDevice
from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.memory_estimate import MemoryEstimate, estimate_memory
from MultiTaskSegLib.runtime.network_pass import SMALLEST_TILE_VOXELS
from MultiTaskSegLib.runtime.profile import Profile
from MultiTaskSegLib.runtime.tiling import MAX_TILE_VOXELS
from MultiTaskSegLib.runtime.volume import Volume

# What others may take while the run goes on.
USABLE_SHARE = 0.9
BYTES_PER_GB = 1e9
SMALLER_TILES = "memory is short, so the image was processed in smaller tiles"


@dataclass(frozen=True)
class RunPlan:
    """How to run.

    Attributes:
        device: name of a `ComputeDevice`.
        max_tile_voxels: where to start; should even that not fit, the run goes on with smaller ones.
        warnings: what the user should know about it.
    """

    device: str
    max_tile_voxels: int = MAX_TILE_VOXELS
    warnings: tuple[str, ...] = ()


def plan_run(
    manifest: Manifest,
    candidates: Sequence[Profile],
    volume: Volume,
    task: str | None,
    device: ComputeDevice,
    host: ComputeDevice,
) -> RunPlan:
    """The fastest way that fits: large tiles, smaller tiles, and the CPU when a card has too little memory.

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

    def estimate(max_tile_voxels: int) -> MemoryEstimate:
        """The need with tiles of a size."""
        return estimate_for(manifest, candidates, volume, task, max_tile_voxels)

    warnings: tuple[str, ...] = ()
    if device.name != CPU:
        tile = _largest_tile(lambda size: estimate(size).card_bytes(), device)
        if tile is not None:
            _require_room(estimate(tile).host_bytes(is_on_host=False), host)
            return _plan(device, tile, warnings)
        warnings = (f"{device.description} has too little free memory, so the CPU was used",)
    tile = _largest_tile(lambda size: estimate(size).host_bytes(is_on_host=True), host)
    if tile is None:
        _require_room(estimate(SMALLEST_TILE_VOXELS).host_bytes(is_on_host=True), host)
    return _plan(host, tile or SMALLEST_TILE_VOXELS, warnings)


def estimate_for(
    manifest: Manifest, candidates: Sequence[Profile], volume: Volume, task: str | None, max_tile_voxels: int
) -> MemoryEstimate:
    """What a run takes with tiles of a size; the other arguments as in `plan_run`."""
    stages = _encoder_stages(manifest) if task is None else None
    groups = _groups(manifest, candidates, task)
    return estimate_memory(manifest.architecture, groups, volume, max_tile_voxels, stages)


def _plan(device: ComputeDevice, tile: int, warnings: tuple[str, ...]) -> RunPlan:
    return RunPlan(device.name, tile, warnings if tile == MAX_TILE_VOXELS else (*warnings, SMALLER_TILES))


def _largest_tile(need: Callable[[int], int], device: ComputeDevice) -> int | None:
    """The largest tile size whose need fits, halving from the usual one; None when none does."""
    size = MAX_TILE_VOXELS
    while size >= SMALLEST_TILE_VOXELS:
        if device.free_bytes is None or need(size) <= USABLE_SHARE * device.free_bytes:
            return size
        size //= 2
    return None


def _require_room(need_bytes: int, host: ComputeDevice) -> None:
    if host.free_bytes is None or need_bytes <= USABLE_SHARE * host.free_bytes:
        return
    raise ResourceError(
        f"the run needs about {need_bytes / BYTES_PER_GB:.1f} GB of memory,"
        f" and {host.free_bytes / BYTES_PER_GB:.1f} GB are free",
        remedy="Close other programs, crop the image to the region of interest, or resample it to larger voxels",
    )


def _groups(
    manifest: Manifest, candidates: Sequence[Profile], task: str | None
) -> list[tuple[Profile, Sequence[TaskInfo]]]:
    """The profiles that the predictor will try, each with the tasks whose probabilities it keeps."""
    profiles = candidates if task in (AUTO, None) else [t.profile for t in manifest.tasks if t.name == task]
    return [(p, [] if task is None else [t for t in manifest.tasks if t.profile == p]) for p in profiles]


def _encoder_stages(manifest: Manifest) -> int | None:
    """How much of the encoder a check runs; None when its layers need the decoder."""
    layers = manifest.ood.layers
    return 1 + max(int(layer[-1]) for layer in layers) if all(n.startswith("encoder") for n in layers) else None
