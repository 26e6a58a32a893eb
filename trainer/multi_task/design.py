"""From the settings to runs, with everything checked that can be checked before a training starts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import Dataset, read_datasets, require_masks
from trainer.experiment.run import Run
from trainer.identity.file_content import FileContents
from trainer.multi_task.division import divide, largest_other
from trainer.multi_task.foreign import foreign_paths
from trainer.multi_task.settings import ALL, ArmSettings, MultiTaskPlan
from trainer.nnunet_peer.peer_process import installed_version

TRAIN = "trainer.multi_task.steps:train_network"
TRAIN_PUBLISHED = "trainer.multi_task.steps:train_published_network"
TRAIN_PEER = "trainer.multi_task.steps:train_peer_network"
EVERYTHING = "all"


@dataclass(frozen=True)
class Regime:
    """What runs that are compared with each other have in common.

    Attributes:
        count: groups of each dataset with labels, or `ALL`.
        seed: of the runs.
        fold: index among the divisions.
    """

    count: int
    seed: int
    fold: int = 0


class Design:
    """The runs of an experiment and what they are called.

    The same training for two arms, as the network of all datasets from which one is fine-tuned in two ways, is one run.

    Args:
        plan: settings and folders.
        contents: knows what files hold.

    Raises:
        DatasetError: a folder is missing or too small, has no masks, 2-D and 3-D images are mixed, or a foreign image
            is one of a dataset.
        UsageError: there are arms of nnU-Net, and nnU-Net is not installed.
    """

    def __init__(self, plan: MultiTaskPlan, contents: FileContents | None = None) -> None:
        self.plan, known = plan, contents or FileContents()
        self._peer = _peer_facts(plan)
        datasets = read_datasets([plan.folder(data) for data in plan.settings.data])
        for dataset in datasets:
            require_masks(dataset)
        _require_one_dimension(datasets)
        self.divisions = divide(datasets, plan.settings, plan.training)
        self._folders = dict(zip(self.names, (str(plan.folder(d)) for d in plan.settings.data), strict=True))
        self._content = {dataset.name: dataset_fingerprint(dataset, known) for dataset in datasets}
        self._lesions = {
            name: data in plan.settings.lesions for name, data in zip(self.names, plan.settings.data, strict=True)
        }
        foreign = foreign_paths(plan, is_planar=_is_planar(datasets[0]))
        self._foreign, self._foreign_content = [str(path) for path in foreign], known.of_all(foreign)
        _require_foreign(self._foreign_content, datasets, known)
        self._runs: dict[str, Run] = {}
        self._measured_in: dict[tuple[str, str, Regime], str] = {}
        for regime in self._regimes():
            # What an arm of nnU-Net may spend is known when another has spent it.
            for arm in sorted(plan.settings.arms, key=lambda arm: arm.kind == "nnunet"):
                self._add_arm(arm, regime)

    @property
    def names(self) -> list[str]:
        """Of the datasets, in their order."""
        return self.divisions[0].names

    @property
    def datasets(self) -> Mapping[str, Dataset]:
        """By name."""
        return self.divisions[0].datasets

    def tested(self, name: str) -> frozenset[str]:
        """Groups of a dataset that are tested on, of all folds together."""
        return frozenset().union(*(division.tested[name] for division in self.divisions))

    def free(self, name: str) -> int:
        """How many groups of a dataset there are to learn from; in the fold that has the fewest."""
        return min(len(division.labelled(name, ALL, 0)) for division in self.divisions)

    @property
    def runs(self) -> list[Run]:
        """In the order in which they should begin: a number of labels and a seed are complete before the next."""
        return list(self._runs.values())

    def datasets_of(self, arm: ArmSettings) -> list[str]:
        """Names of the datasets on which an arm is measured."""
        wanted = self.plan.settings.data_of(arm)
        return [name for name, data in zip(self.names, self.plan.settings.data, strict=True) if data in wanted]

    def runs_of(self, arm: ArmSettings, name: str, count: int, seed: int) -> list[str]:
        """Names of the runs in which an arm is measured on one of its datasets: one, or one for each fold."""
        return [self._measured_in[arm.name, name, regime] for regime in self._regimes_of(count, seed)]

    def _regimes(self) -> Iterator[Regime]:
        for count in self.plan.settings.labelled_groups:
            for seed in self.plan.settings.seeds:
                yield from self._regimes_of(count, seed)

    def _regimes_of(self, count: int, seed: int) -> list[Regime]:
        return [Regime(count, seed, fold) for fold in range(len(self.divisions))]

    def _named(self, arm: str, what: str, regime: Regime) -> str:
        return run_name(arm, what, regime, is_folded=self.plan.settings.folds > 0)

    def _add_arm(self, arm: ArmSettings, regime: Regime) -> None:
        settings, every, division = self.plan.settings, self.names, self.divisions[regime.fold]
        first = settings.steps - settings.finetune_steps
        if arm.kind == "joint":
            whole = self._named(arm.name, EVERYTHING, regime)
            whole = self._add(arm, whole, every, every, settings.steps, regime)
            self._measured_in |= {(arm.name, name, regime): whole for name in every}
            return
        for name in self.datasets_of(arm):
            needs: tuple[str, ...] = ()
            if arm.kind == "nnunet":
                self._add_peer(arm, name, regime)
                continue
            if arm.kind == "transfer":
                others = division.strangers(name)
                sources = [largest_other(self.divisions, name)] if arm.source == "largest" else others
                word = sources[0] if arm.source == "largest" else f"others-of-{name}"
                needs = (self._pretrained(arm, word, sources, first, regime),)
            elif arm.kind == "joint_finetuned":
                needs = (self._pretrained(arm, EVERYTHING, every, first, regime),)
            steps = settings.finetune_steps if needs else settings.steps
            own = self._named(arm.name, name, regime)
            own = self._add(arm, own, [name], [name], steps, regime, needs)
            self._measured_in[arm.name, name, regime] = own

    def _add_peer(self, arm: ArmSettings, name: str, regime: Regime) -> None:
        """The run of nnU-Net on a dataset: what it may spend, the run that it needs has spent."""
        settings = self.plan.settings
        lender = next(one for one in settings.arms if one.name == settings.nnunet.as_much_as)
        run = Run(
            self._named(arm.name, name, regime),
            TRAIN_PEER,
            {
                **self._common(arm, [name], [name], regime),
                "nnunet": self._peer,
                # A network of all datasets has spent a share on each.
                "share": 1 / len(self.names) if lender.kind == "joint" else 1.0,
                # It checks no images.
                "foreign": [],
                "foreign_content": [],
            },
            (self._measured_in[lender.name, name, regime],),
        )
        self._measured_in[arm.name, name, regime] = self._keep(run)

    def _pretrained(self, arm: ArmSettings, word: str, sources: Sequence[str], steps: int, regime: Regime) -> str:
        """The run that an arm fine-tunes from: shared by arms that differ in the fine-tuning alone."""
        # With what the arm changes, so that the name does not depend on the arms before it.
        width = [f"channels-{'-'.join(map(str, arm.channels))}"] if arm.channels else []
        kind = "_".join(["pretrained", *(f"{key}-{value:g}" for key, value in sorted(arm.numbers.items())), *width])
        return self._add(arm, self._named(kind, word, regime), sources, [], steps, regime)

    def _add(
        self,
        arm: ArmSettings,
        name: str,
        trained: Sequence[str],
        measured: Iterable[str],
        steps: int,
        regime: Regime,
        needs: tuple[str, ...] = (),
    ) -> str:
        """Add a run, unless there is the same one; its name, see `_keep`."""
        parameters = self._common(arm, trained, list(measured), regime)
        # All steps are those of one dataset: a network of many gets as many for each.
        parameters["steps"] = steps * len(trained) if arm.kind in ("joint", "joint_finetuned") else steps
        parameters["strategy"] = arm.strategy if needs else "all"
        function = TRAIN
        if arm.network == "paper":
            function, parameters["paper"] = TRAIN_PUBLISHED, dataclasses.asdict(self.plan.settings.paper)
        return self._keep(Run(name, function, parameters, needs))

    def _keep(self, run: Run) -> str:
        """Name of the run that does the same, whichever arm asked for it first; else its own name, to which a number is
        added where another run has it."""
        for own in self._runs.values():
            if (own.function, own.parameters, own.needs) == (run.function, run.parameters, run.needs):
                return own.name
        name, number = run.name, 1
        while name in self._runs:
            number += 1
            name = f"{run.name}-{number}"
        self._runs[name] = dataclasses.replace(run, name=name)
        return name

    def _common(
        self, arm: ArmSettings, trained: Sequence[str], measured: Sequence[str], regime: Regime
    ) -> dict[str, Any]:
        """Parameters that runs of every kind have."""
        count, seed, division = regime.count, regime.seed, self.divisions[regime.fold]
        return {
            "data": [self._folders[one] for one in trained],
            "hidden_groups": [division.hidden(one, count, seed) for one in trained],
            "content": [self._content[one] for one in trained],
            "training": self.plan.training_of(arm, seed, list(trained)).as_dict(),
            "measured": [
                {
                    "data": self._folders[one],
                    "groups": sorted(division.tested[one]),
                    "lesions": self._lesions[one],
                    "content": self._content[one],
                }
                for one in measured
            ],
            "foreign": self._foreign if measured else [],
            "foreign_content": self._foreign_content if measured else [],
        }


def _peer_facts(plan: MultiTaskPlan) -> dict[str, Any]:
    """Settings of nnU-Net with its version: another one makes other runs. Nothing where no arm is nnU-Net.

    Raises:
        UsageError: it is not installed.
    """
    if not plan.settings.peers:
        return {}
    own = dataclasses.asdict(plan.settings.nnunet)
    return {"settings": own, "version": installed_version(plan.settings.nnunet.python)}


def run_name(arm: str, what: str, regime: Regime, *, is_folded: bool = False) -> str:
    """Name of a run; what a name of a run cannot hold is replaced.

    Args:
        arm: of the arm, or of what several arms start from.
        what: dataset, or `EVERYTHING`.
        regime: of the run.
        is_folded: whether there are several folds, of which it is one.
    """
    fold = f".f{regime.fold}" if is_folded else ""
    count = "all" if regime.count == ALL else regime.count
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{arm}.{what}.{count}.s{regime.seed}{fold}")


def _require_foreign(content: Sequence[str], datasets: Sequence[Dataset], known: FileContents) -> None:
    for dataset in datasets if content else ():
        images = {known.of(case.image): case.image for case in dataset.cases}
        if found := [images[one] for one in content if one in images]:
            raise DatasetError(
                f"a foreign image is an image of dataset {dataset.name}",
                file=found[0],
                remedy="Name folders in foreign whose images no arm knows",
            )


def _is_planar(dataset: Dataset) -> bool:
    return dataset.cases[0].read_image().is_planar


def _require_one_dimension(datasets: Sequence[Dataset]) -> None:
    planar: dict[bool, str] = {}
    for dataset in datasets:
        planar.setdefault(_is_planar(dataset), dataset.name)
    if len(planar) > 1:
        raise DatasetError(
            f"2-D and 3-D images are mixed: {planar[True]} is 2-D, {planar[False]} is 3-D",
            remedy="Ask for slices of the volumes with '::axial', or make two experiments",
        )
