"""Where and in how large parts to run a model on an image, so that it fits into memory; or why it cannot.

This is the only place that decides it, for command line and worker, labels, check and map alike. All plans form one
ladder: the card with ever smaller parts of the image, then the processor with ever smaller parts. The first that fits
is taken; what runs out of memory all the same goes on with the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.imported_memory import ImportedRunMemory
from MultiTaskSegLib.runtime.hosting.memory_estimate import AUTO, RunMemory
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.machine.compute_device import CPU, ComputeDevice
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.network.prospect import PLAIN, UNKNOWN, Prospect
from MultiTaskSegLib.runtime.prediction.network_pass import IN_PARTS

# What others may take while the run goes on.
USABLE_SHARE = 0.9
# Maps wait for labels that nobody has asked for yet where so many times what the run needs, and more, is free.
ROOMY_FACTOR, ROOMY_BYTES = 3, 2_000_000_000
REMEDY = "Close other programs, crop the image to the region of interest, or resample it to larger voxels"
BYTES_PER_MB, BYTES_PER_GB = 1e6, 1e9


@dataclass(frozen=True)
class RunPlan:
    """How to run.

    Attributes:
        device: name of a `ComputeDevice`.
        memory_step: how many steps down the ladder of parts to begin. Should even these not fit, the run goes on with
            smaller ones.
        warnings: what the user should know about it.
        spares_memory: whether only plain torch may compute, since what else might takes more memory than there is.
        keeps_maps: whether a check holds encoder maps for labels that may be asked for next; only where there is much
            more memory than the run needs (they take `pass_parts.KEPT_BYTES` at most), and not on a card.
    """

    device: str
    memory_step: int = 0
    warnings: tuple[str, ...] = ()
    spares_memory: bool = False
    keeps_maps: bool = False


def plan_run(
    manifest: Manifest | ImportedManifest,
    candidates: Sequence[Profile],
    volume: Volume,
    purpose: Purpose,
    device: ComputeDevice,
    host: ComputeDevice,
    remembered: int = 0,
    prospect: Prospect = PLAIN,
) -> RunPlan:
    """The fastest way that fits: large parts, smaller parts, and the processor when a card has too little memory.

    Beside a card the main memory must hold the image and the labels; where it cannot, that is what is told.

    Args:
        manifest: of the loaded model.
        candidates: the profiles that are tried where the task is not given.
        volume: the image.
        purpose: of the run.
        device: what the user chose, with its free memory.
        host: the processor with the free main memory.
        remembered: cells in the model's memory of a task.
        prospect: what may compute on ``device`` beside plain torch.

    Raises:
        ResourceError: the image does not fit anywhere.
    """
    if not _is_possible(manifest, volume, purpose):
        return RunPlan(device.name)  # the predictor says why not
    try:
        return _fitting_plan(manifest, candidates, volume, purpose, device, host, remembered, prospect)
    except ResourceError as error:
        if not purpose.is_thorough:
            raise
        raise ResourceError(
            error.what, remedy=f"Leave the thorough check out, or {REMEDY[0].lower()}{REMEDY[1:]}"
        ) from error


def _fitting_plan(
    manifest: Manifest | ImportedManifest,
    candidates: Sequence[Profile],
    volume: Volume,
    purpose: Purpose,
    device: ComputeDevice,
    host: ComputeDevice,
    remembered: int,
    prospect: Prospect,
) -> RunPlan:
    """`plan_run` of what the model can do."""
    warnings: tuple[str, ...] = ()
    if device.name != CPU:
        memory = _memory(manifest, candidates, volume, purpose, torch.device("cuda"), remembered)
        _require_room(memory.however_small().host_bytes(is_on_host=False), host)
        for step in range(memory.steps):
            if _fits(memory.at(step).card_bytes(), device):
                return _plan(device, step, warnings)
        warnings = (f"{device.description} has too little free memory, so the CPU was used",)
        prospect = UNKNOWN
    memory = _memory(manifest, candidates, volume, purpose, torch.device(CPU), remembered)
    _require_room(memory.however_small().host_bytes(is_on_host=False), host)
    with_others = _memory(manifest, candidates, volume, purpose, torch.device(CPU), remembered, prospect)
    spares_memory = not _fits(with_others.at(0).host_bytes(is_on_host=True), host)
    least: int | None = None
    for step in range(memory.steps):
        needed = memory.at(step).host_bytes(is_on_host=True)
        if _fits(needed, host):
            is_roomy = step == 0 and _fits(ROOMY_FACTOR * needed + ROOMY_BYTES, host)
            keeps_maps = is_roomy and not spares_memory and purpose.keeps
            return replace(_plan(host, step, warnings), spares_memory=spares_memory, keeps_maps=keeps_maps)
        least = needed if least is None else min(least, needed)
    assert least is not None
    raise _too_large(least, host)


def _memory(
    manifest: Manifest | ImportedManifest,
    candidates: Sequence[Profile],
    volume: Volume,
    purpose: Purpose,
    device: torch.device,
    remembered: int,
    prospect: Prospect = PLAIN,
) -> RunMemory | ImportedRunMemory:
    if isinstance(manifest, ImportedManifest):
        return ImportedRunMemory(manifest, volume, is_thorough=purpose.is_thorough)
    return RunMemory(manifest, candidates, volume, purpose, device, remembered, prospect)


def _is_possible(manifest: Manifest | ImportedManifest, volume: Volume, purpose: Purpose) -> bool:
    """Whether the model can do what is wanted, as far as memory plays no part."""
    is_known = purpose.task in (AUTO, None, *(task.name for task in manifest.tasks))
    can_label = purpose.task is None or manifest.has_labels
    if isinstance(manifest, ImportedManifest):
        # Networks that see slices take volumes, too.
        fits = volume.channel_count == manifest.tasks[0].input_count and (manifest.is_planar or not volume.is_planar)
        can_check = purpose.task is not None or manifest.ood is not None
        return is_known and can_check and fits
    counts = [task.input_count for task in manifest.tasks if purpose.task in (AUTO, None, task.name)]
    return is_known and can_label and volume.channel_count in counts and volume.is_planar == manifest.is_planar


def _plan(device: ComputeDevice, step: int, warnings: tuple[str, ...]) -> RunPlan:
    return RunPlan(device.name, step, (*warnings, IN_PARTS) if step else warnings)


def _fits(need_bytes: int, device: ComputeDevice) -> bool:
    return device.free_bytes is None or need_bytes <= USABLE_SHARE * device.free_bytes


def _require_room(need_bytes: int, host: ComputeDevice) -> None:
    if not _fits(need_bytes, host):
        raise _too_large(need_bytes, host, "at least")


def _too_large(need_bytes: int, host: ComputeDevice, how: str = "about") -> ResourceError:
    return ResourceError(
        f"the run needs {how} {_size(need_bytes / USABLE_SHARE)} of memory, and {_size(host.free_bytes or 0)} are free",
        remedy=REMEDY,
    )


def _size(size_bytes: float) -> str:
    return (
        f"{size_bytes / BYTES_PER_GB:.1f} GB" if size_bytes >= BYTES_PER_GB else f"{size_bytes / BYTES_PER_MB:.0f} MB"
    )
