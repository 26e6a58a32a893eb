"""The pretext tasks by name."""

from __future__ import annotations

from collections.abc import Sequence

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.pretraining.pretext.contrastive import Contrastive
from trainer.pretraining.pretext.denoising import Denoising
from trainer.pretraining.pretext.inpainting import Inpainting
from trainer.pretraining.pretext.orientation import Orientation
from trainer.pretraining.pretext.pretext import PretextTask
from trainer.pretraining.pretext.relative_position import RelativePosition

PRETEXTS: dict[str, PretextTask] = {
    task.name: task for task in (Denoising(), Inpainting(), Orientation(), RelativePosition(), Contrastive())
}


def pretexts_named(names: Sequence[str]) -> tuple[PretextTask, ...]:
    """The tasks of these names; all of them for no name.

    Raises:
        UsageError: a name is unknown or given twice.
    """
    chosen = tuple(names) or tuple(PRETEXTS)
    unknown = [name for name in chosen if name not in PRETEXTS]
    if unknown or len(set(chosen)) < len(chosen):
        raise UsageError(
            f"there is no pretext task {unknown[0]!r}" if unknown else "a pretext task is named twice",
            remedy=f"Use some of {', '.join(PRETEXTS)}",
        )
    return tuple(PRETEXTS[name] for name in chosen)
