"""The training run: from datasets to averaged weights, resumable at any moment."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import torch

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase, prepare_cases
from trainer.data.dataset import Dataset, require_different_names
from trainer.data.patches import PatchGroups
from trainer.data.planning import Plan, make_plan
from trainer.data.provenance import NOBODY, Provenance
from trainer.data.split import Split, choose_labelled, shortfalls, split_datasets
from trainer.distributed.ranks import ALONE, Ranks
from trainer.layout.label_turn import turned_labels_note
from trainer.report.note import write_note
from trainer.report.progress import Progress
from trainer.report.run_folder import RunFolder
from trainer.report.run_progress import RunProgress
from trainer.snapshot.cycle import cycles_identity, place, require_cycles
from trainer.snapshot.member_store import MemberStore
from trainer.training.batches import ended_processes_told, endless_batches
from trainer.training.checkpoint import save_checkpoint, taken_up
from trainer.training.optimization import Optimization
from trainer.training.planned_manifest import require_storable
from trainer.training.precision_trial import precision_of_run
from trainer.training.recipe import PLAIN, Recipe
from trainer.training.run_identity import CasesByTask, Identity, run_identity
from trainer.training.validation import validate

CHECKPOINT_INTERVAL_S = 60.0
LOG_EVERY_STEPS = 20


@dataclass(frozen=True)
class Budget:
    """How long to train: a number of steps (repeatable to the bit) or minutes of wall time, not both."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None) or (self.steps or self.minutes or 0) <= 0:
            raise UsageError("give a positive --steps or --minutes, and only one of them")

    def progress(self, step: int, elapsed_s: float) -> float:
        """Share of the budget that is used up, 0 to 1 and beyond."""
        if self.steps is not None:
            return step / self.steps
        assert self.minutes is not None
        return elapsed_s / (60.0 * self.minutes)


@dataclass(frozen=True)
class StepTime:
    """Wall seconds of one step: waiting for its batches, and all of it."""

    waited_s: float
    total_s: float


Watch = Callable[[Optimization, StepTime], None]


@dataclass(frozen=True)
class PreparedData:
    """Plan and prepared cases by task.

    Attributes:
        plan: tasks and network.
        training: cases trained on with their labels.
        held_out: cases never trained on.
        unlabelled: images learnt from without labels, which the spectral reference is to know, too; empty: none.
    """

    plan: Plan
    training: tuple[list[PreparedCase], ...]
    held_out: tuple[list[PreparedCase], ...]
    unlabelled: tuple[list[PreparedCase], ...] = ()

    @property
    def sides(self) -> dict[str, CasesByTask]:
        """All cases by what is done with them."""
        return {"training": self.training, "held-out": self.held_out, "unlabelled": self.unlabelled}


def prepare_data(
    datasets: Sequence[Dataset],
    config: TrainingConfig,
    folder: RunFolder,
    stream: TextIO | None = None,
    labelled: Sequence[str] | int | None = None,
    ancestors: Provenance = NOBODY,
    ranks: Ranks = ALONE,
) -> PreparedData:
    """Split by group, plan the tasks from the training cases alone and prepare every case on disk.

    Args:
        datasets: of different names.
        config: settings.
        folder: of the run.
        stream: for progress.
        labelled: use only these training cases of each dataset, see `choose_labelled`; None: all. Labels of the others
            are not looked at.
        ancestors: whom the model to start from has seen: these groups are never held out.
        ranks: the processes of the training.

    Raises:
        DatasetError: two datasets have the same name, or one is too small to hold out a group.
        UsageError: no model file could hold what would be trained.
    """
    require_different_names(datasets)
    splits = split_datasets(
        datasets,
        fraction=config.validation_fraction,
        minimum_groups=config.minimum_validation_groups,
        seed=config.split_seed,
        seen=ancestors.saw,
    )
    for note in shortfalls(datasets, splits, config.validation_fraction, config.minimum_validation_groups):
        write_note(note, stream)
    if labelled is not None:
        splits = {d.name: choose_labelled(splits[d.name], labelled, config.seed, d.name) for d in datasets}
    plan = make_plan([dataclasses.replace(d, cases=splits[d.name].training) for d in datasets], config)
    require_storable(plan, config)
    return prepare_splits(plan, splits, folder.cache, stream, ranks)


def prepare_splits(
    plan: Plan, splits: Mapping[str, Split], cache: Path, stream: TextIO | None = None, ranks: Ranks = ALONE
) -> PreparedData:
    """Prepare every case of the splits on disk.

    Args:
        plan: tasks and network.
        splits: by task name.
        cache: where prepared cases are kept.
        stream: for progress.
        ranks: each process prepares its share, in a folder that all of them see.

    Raises:
        DatasetError: a dataset is too small to hold out a group.
    """
    for name, split in splits.items():
        if not split.held_out or not split.training:
            raise DatasetError(
                f"dataset {name} has too few groups to hold one out", remedy="Give at least 3 groups (patients)"
            )
    for name, split in splits.items():
        pairs = [(case.image, case.label) for case in (*split.training, *split.held_out)]
        if note := turned_labels_note(name, pairs):
            write_note(note, stream)
    if ranks.world_size > 1:
        shares = {name: Split(*map(tuple, map(ranks.share, (s.training, s.held_out)))) for name, s in splits.items()}
        _prepare_all(plan, shares, cache, stream)
        ranks.wait()
    training, held_out = _prepare_all(plan, splits, cache, stream)
    return PreparedData(plan, training, held_out)


def _prepare_all(
    plan: Plan, splits: Mapping[str, Split], cache: Path, stream: TextIO | None
) -> tuple[tuple[list[PreparedCase], ...], tuple[list[PreparedCase], ...]]:
    """Prepare training and held-out cases; those that are on the disk are only opened."""
    progress = Progress(max(1, sum(len(s.training) + len(s.held_out) for s in splits.values())), "preparing", stream)
    counter = iter(range(1, 10**9))
    in_order = threading.Lock()

    def advance() -> None:
        """One more case is ready; told by whichever thread has prepared it."""
        with in_order:
            progress.update(next(counter))

    training, held_out = (
        tuple(prepare_cases(t, getattr(splits[t.name], side), cache, advance) for t in plan.tasks)
        for side in ("training", "held_out")
    )
    return training, held_out


def train(
    data: PreparedData,
    config: TrainingConfig,
    budget: Budget,
    folder: RunFolder,
    *,
    resume: bool,
    device: torch.device,
    stream: TextIO | None = None,
    recipe: Recipe = PLAIN,
    watch: Watch | None = None,
    progress: RunProgress | None = None,
    ranks: Ranks = ALONE,
) -> Optimization:
    """Train until the budget is used up, with checkpoints, validation and a log in ``folder``.

    With ``--steps`` a resumed run is equal to an uninterrupted one to the bit: patches are drawn from the step's
    number, and the checkpoint holds weights, averages and optimiser.

    Without ``resume`` what an earlier run left in the folder is put aside first: it must not be taken for this one's.

    Args:
        data, config, budget, folder, resume, device, stream, recipe: see `trainer.training.train_model.train_prepared`.
        watch: called after every step; it must not change anything.
        progress: of a run that goes on after the training; None: of this training alone, on ``stream``.
        ranks: the processes of the training. All of them end with the same weights; the first one writes.

    Raises:
        UsageError: a process would have no patches, the recipe has losses or pauses that are not shared out, or the
            training cannot be divided into so many cycles.
        ModelError: the loss is not finite, or the checkpoint does not fit or a snapshot of the run is lost.
        ResourceError: the log of steps is damaged, or a file cannot be read or written.
    """
    _require_work(config, recipe, ranks)
    require_cycles(config, budget.steps, recipe.undivided)
    identity = run_identity(data.plan, data.sides, config, recipe)
    identity |= cycles_identity(config, budget.steps, budget.minutes)
    # Read once: another machine may still see the folder as it was.
    state = ranks.agreed(lambda: taken_up(folder, identity, config, resume))
    if config.threads:
        torch.set_num_threads(config.threads)
    # Tried once: two processes could find otherwise.
    precision = ranks.agreed(lambda: precision_of_run(state, data.plan, data.training, config, device, recipe, stream))
    optimization = Optimization(data.plan, replace(config, precision=precision), device, recipe, ranks)
    elapsed_s = 0.0
    if state is not None:
        optimization.restore(state)
        elapsed_s = float(state["elapsed_s"])
    told = progress or RunProgress(stream)
    _Loop(data, config, budget, folder, optimization, identity, told, watch).run(elapsed_s)
    if progress is None:
        told.finish()
    return optimization


def _require_work(config: TrainingConfig, recipe: Recipe, ranks: Ranks) -> None:
    if ranks.world_size == 1:
        return
    if config.groups_per_step < ranks.world_size:
        raise UsageError(
            f"groups_per_step is {config.groups_per_step}, fewer than the {ranks.world_size} processes",
            remedy=f"Set it to a multiple of {ranks.world_size} in the configuration, or start fewer processes",
        )
    if recipe.companions or recipe.frozen:
        raise UsageError("this training runs in one process only", remedy="Start it without torchrun")


class _Loop:
    """Steps, checkpoints, validations and the clock of one run."""

    def __init__(
        self,
        data: PreparedData,
        config: TrainingConfig,
        budget: Budget,
        folder: RunFolder,
        optimization: Optimization,
        identity: Identity,
        progress: RunProgress,
        watch: Watch | None,
    ) -> None:
        self.data, self.config, self.budget, self.folder = data, config, budget, folder
        self.optimization, self.identity, self.progress, self.watch = optimization, identity, progress, watch
        self.ranks = optimization.ranks
        self.own = self.ranks.share(range(config.groups_per_step))
        self.started_s = self.last_checkpoint_s = 0.0
        self.recent: list[float] = []
        self.times: list[StepTime] = []
        self.note = ""

    def run(self, elapsed_s: float) -> None:
        """Train until the budget is spent, ``elapsed_s`` of which were spent before."""
        self.started_s = time.monotonic() - elapsed_s
        self.last_checkpoint_s = time.monotonic()
        share = self._share()
        if share >= 1:
            return
        self.progress.start_from(share)
        with ended_processes_told():
            self._train_from(share)
        self.progress.follow("validating")
        self._validate()
        self._save()

    def _train_from(self, share: float) -> None:
        groups, companions = self._batches()
        next_validation = (int(share * self.config.validations) + 1) / max(1, self.config.validations)
        while share < 1:
            self._end_cycle(share)
            record = self._step(groups, companions, share)
            share = self._share()
            self._log(record)
            if share >= next_validation and share < 1 and self.config.validations:
                self._validate()
                next_validation += 1 / self.config.validations
            if time.monotonic() - self.last_checkpoint_s > CHECKPOINT_INTERVAL_S:
                self._save()
            self.progress.trained(min(share, 1.0), self._elapsed_s(), self.note)

    def _step(
        self, groups: Iterator[Any] | None, companions: Sequence[Iterator[Any]], share: float
    ) -> dict[str, float]:
        """Wait for the batches, take one step and note how long both took."""
        begun_s = time.monotonic()
        batch = [next(groups) for _ in self.own] if groups is not None else []
        beside = [next(batches) for batches in companions]
        waited_s = time.monotonic() - begun_s
        record = self.optimization.train_step(batch, share, beside)
        self.times.append(StepTime(waited_s, time.monotonic() - begun_s))
        if self.watch is not None:
            self.watch(self.optimization, self.times[-1])
        return record

    def _end_cycle(self, share: float) -> None:
        """Keep what a cycle that is over has left, before the next one has a step; the last one leaves the model."""
        own = self.optimization
        cycle, _ = place(share, own.cycles)
        if cycle > own.cycle:
            store, number = MemberStore(self.folder.snapshots), len(own.members) + 1
            member = self.ranks.agreed(lambda: store.keep(number, own.step, own.averaged_network()))
            own.begin_cycle(cycle, member)

    def _share(self) -> float:
        """By the clock of the first process: learning rate, validations and the end depend on it."""
        return self.ranks.agreed(lambda: self.budget.progress(self.optimization.step, self._elapsed_s()))

    def _elapsed_s(self) -> float:
        return time.monotonic() - self.started_s

    def _batches(self) -> tuple[Iterator[Any] | None, list[Iterator[Any]]]:
        """Patch groups, and batches of each companion, from the current step on."""
        recipe, config, step = self.optimization.recipe, self.config, self.optimization.step
        groups = PatchGroups(self.data.plan.tasks, self.data.training, config) if recipe.supervised else None
        return (
            endless_batches(groups, step, config.groups_per_step, config, self.own) if groups is not None else None,
            [endless_batches(companion.batches, step, 1, config) for companion in recipe.companions],
        )

    def _log(self, record: dict[str, float]) -> None:
        self.recent.append(record["loss"])
        if self.optimization.step % LOG_EVERY_STEPS == 0:
            mean = sum(self.recent) / len(self.recent)
            waited_s, total_s = (sum(getattr(t, name) for t in self.times) for name in ("waited_s", "total_s"))
            waiting = {"waiting_share": round(waited_s / total_s, 4) if total_s else 0.0}
            self._record(record | {"loss": mean} | waiting)
            self.recent.clear()
            self.times.clear()
            self.note = f"step {self.optimization.step} loss {mean:.3f}"

    def _validate(self) -> None:
        if not self.optimization.recipe.supervised:
            self._record({})
            return
        scores = validate(
            self.optimization.averaged_network(),
            self.data.plan.tasks,
            self.data.held_out,
            device=self.optimization.device,
            cases_per_task=self.config.validation_cases,
            ranks=self.ranks,
        )
        self._record({"dice": scores})

    def _save(self) -> None:
        if self.ranks.rank == 0:
            state = self.optimization.state() | {"elapsed_s": self._elapsed_s()}
            state["precision"] = self.optimization.config.precision
            save_checkpoint(self.folder.checkpoint, state, self.identity)
        self.last_checkpoint_s = time.monotonic()

    def _record(self, found: dict[str, Any]) -> None:
        if self.ranks.rank == 0:
            stamp = {"step": self.optimization.step, "elapsed_s": round(self._elapsed_s(), 3)}
            self.folder.append(stamp | found)
