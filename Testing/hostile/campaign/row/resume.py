"""Trainings that are cut after a step and resumed equal uninterrupted ones to the bit; whatever is left out matters."""

from __future__ import annotations

from functools import cache
from unittest import mock

from Testing.hostile.campaign.training_run import KINDS, STEPS, difference, prepared, run, run_until
from Testing.hostile.campaign.trial import Ground, ListedTrial, require
from trainer.report.run_folder import RunFolder
from trainer.training import batches
from trainer.training.optimization import Optimization

CUTS = STEPS - 1
# Parts of the state that a resumed run would begin anew with.
OMITTED = ("network", "auxiliary", "average", "optimizer", "place in the data")


def attempt(case: str, ground: Ground) -> None:
    """``KIND, cut after STEP`` or ``without PART``."""
    data = prepared(ground)
    folder = RunFolder(ground.folder / "cut.mts.safetensors")
    if case.startswith("without "):
        whole = uninterrupted("multi-task", ground)
        run_until("multi-task", data, folder, ground, STEPS // 2)
        with without(case.removeprefix("without ")):
            resumed = run("multi-task", data, folder, ground, resume=True)
        require(difference(whole, resumed), "nothing differs, although it was left out")
        return
    kind, _, step = case.partition(", cut after ")
    whole = uninterrupted(kind, ground)
    run_until(kind, data, folder, ground, int(step))
    resumed = run(kind, data, folder, ground, resume=True)
    require(resumed.step == whole.step == STEPS, f"ended at step {resumed.step}")
    found = difference(whole, resumed)
    require(not found, f"the {found} differs")


@cache
def _uninterrupted(kind: str, ground: Ground) -> Optimization:
    return run(kind, prepared(ground), RunFolder(ground.kept / f"{kind}.mts.safetensors"), ground)


def uninterrupted(kind: str, ground: Ground) -> Optimization:
    """The run without any cut, made once."""
    return _uninterrupted(kind, Ground(ground.kept, ground.kept))


def without(part: str) -> mock._patch:  # type: ignore[type-arg]
    """A restoring that forgets one part."""
    if part == "place in the data":
        plain = batches.StepRange
        return mock.patch.object(batches, "StepRange", lambda first_step, *further: plain(0, *further))
    restore = Optimization.restore

    def forgetful(self: Optimization, state: dict[str, object]) -> None:
        """Restores all but the part."""
        restore(self, {**state, part: self.state()[part]})

    return mock.patch.object(Optimization, "restore", forgetful)


RESUME = ListedTrial(
    "resume",
    f"{len(KINDS)} kinds of training cut after {CUTS} different steps and resumed; "
    f"{len(OMITTED)} with a part of the state left out",
    "equal to the uninterrupted one to the bit; different with any part left out",
    (
        *(f"{kind}, cut after {step}" for kind in KINDS for step in range(1, CUTS + 1)),
        *(f"without {part}" for part in OMITTED),
    ),
    attempt,
)
