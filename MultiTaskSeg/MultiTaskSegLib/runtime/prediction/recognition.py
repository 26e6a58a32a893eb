"""The first stages of an image's way: prepare, encode, judge, for each candidate; and which of them is nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.input_frame import InputFrame
from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.ood.reference import CLOSE_CALL
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.candidate import Candidate
from MultiTaskSegLib.runtime.prediction.network_pass import Encoded, Wanted
from MultiTaskSegLib.runtime.prediction.sights import Look, SeenImage
from MultiTaskSegLib.runtime.prediction.stage_progress import StageProgress

# The share of a candidate's time that its preparation is told to take.
PREPARING_SHARE = 0.05


@dataclass(frozen=True)
class Sight:
    """What one candidate has made of an image.

    Attributes:
        candidate: as what the image was looked at.
        volume: the image.
        frame: how it lies on the network's grid.
        encoded: what the network's pass has left.
        verdict: how near the image is to the candidate's tasks.
        ready: the image as it was prepared; None where all this was known from before.
        notes: what the user should know about how memory was found, for whichever candidate.
    """

    candidate: Candidate
    volume: Volume
    frame: InputFrame
    encoded: Encoded
    verdict: Verdict
    ready: Prepared | None = None
    notes: tuple[str, ...] = ()

    @property
    def prepared(self) -> Prepared:
        """The network's input, and the way back; made now where it was not needed so far."""
        return self.ready or prepare(self.volume, self.candidate.profile)

    @property
    def nearest_task(self) -> TaskInfo:
        """The task whose training images are nearest."""
        return next(task for task in self.candidate.tasks if task.name == self.verdict.nearest_task)


def recognise(
    candidates: Sequence[Candidate],
    volume: Volume,
    progress: StageProgress,
    *,
    keep: bool = False,
    known: TaskInfo | None = None,
    seen: SeenImage | None = None,
) -> Sight:
    """Look at an image as each candidate, and keep the sight with the nearest known images.

    Tasks are compared by one rule, whether they prepare images alike or not: `SpectralReference.log_nearness`.

    Args:
        candidates: at least one; where the task is known, one that has it.
        volume: the image.
        progress: of these stages.
        keep: whether labels are wanted afterwards, so that maps for the decoder are kept.
        known: the task, where it is known beforehand: its labels come from the same pass.
        seen: what is remembered of the image: candidates that have looked at it before compute nothing.

    Returns:
        The nearest sight; its verdict has the distances to the tasks of all candidates. Where models know tasks of the
        same name, the distance is that of the nearest sight, and its own task is no rival of itself.

    Raises:
        InputError: the image is constant, as every candidate sees it.
        ResourceError: memory runs out.
    """
    if known is not None:
        # Another model has no head for it.
        candidates = [candidate for candidate in candidates if known in candidate.tasks]
    best: Sight | None = None
    refusal: InputError | None = None
    nearness: dict[str, float] = {}
    distances: dict[str, float] = {}
    for number, candidate in enumerate(candidates):
        part = progress.part(number / len(candidates), (number + 1) / len(candidates))
        try:
            sight = _look(candidate, volume, part, keep, known, seen)
        except InputError as error:
            refusal = error.with_traceback(None)  # what one profile clips to a constant may show something to another
            continue
        distances.update({task.name: sight.verdict.distances[task.name] for task in candidate.tasks})
        for name, value in sight.verdict.log_nearness.items():
            nearness[name] = min(value, nearness.get(name, np.inf))
        # Only the best one's maps stay in memory.
        if best is None or sight.verdict.lowest < best.verdict.lowest:
            best = sight
        del sight
    if best is None:
        raise refusal or InputError("the model has no such task")
    by_nearness = sorted(nearness, key=lambda name: nearness[name])
    close = best.verdict.lowest + CLOSE_CALL
    rivals = tuple(n for n in by_nearness if n != best.verdict.nearest_task and nearness[n] <= close)
    own = {task.name: best.verdict.distances[task.name] for task in best.candidate.tasks}
    merged = {**best.verdict.distances, **distances, **own}
    notes = tuple(dict.fromkeys(note for candidate in candidates for note in candidate.network_pass.notes))
    verdict = replace(best.verdict, distances=merged, rivals=rivals, log_nearness=nearness, frame=best.frame)
    return replace(best, verdict=verdict, notes=notes)


def _look(
    candidate: Candidate,
    volume: Volume,
    progress: StageProgress,
    keep: bool,
    known: TaskInfo | None,
    seen: SeenImage | None,
) -> Sight:
    before = None if seen is None else seen.look(candidate)
    if before is not None:
        return Sight(candidate, volume, before.frame, Encoded(before.spectra), before.verdict)
    progress.tell(0.0, "preparing")
    prepared = prepare(volume, candidate.profile)
    wanted = Wanted(known, prepared.canonical_shape) if known else None
    tell = progress.part(PREPARING_SHARE, 1.0).network(candidate.network_pass.shortages)
    encoded = candidate.network_pass.encode(prepared.voxels, tell, keep=keep, wanted=wanted, stem=candidate.stem)
    verdict = candidate.judge(encoded.spectra, prepared)
    # What was computed in another way than planned is told with the result that it belongs to, and not remembered.
    if seen is not None and not candidate.network_pass.notes:
        seen.remember(candidate, Look(encoded.spectra, verdict, prepared.frame))
    return Sight(candidate, volume, prepared.frame, encoded, verdict, prepared)
