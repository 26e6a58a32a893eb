"""From the settings to runs, with everything checked that can be checked before a training starts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.data.data_fingerprint import dataset_fingerprint
from trainer.data.dataset import Dataset, read_datasets, require_masks
from trainer.experiment.run import Run
from trainer.identity.file_content import FileContents
from trainer.multi_task.division import Division, divide
from trainer.multi_task.foreign import foreign_paths
from trainer.multi_task.settings import ALL, ArmSettings, MultiTaskPlan
from trainer.nnunet_peer.peer_process import installed_version

TRAIN = "trainer.multi_task.steps:train_network"
TRAIN_PUBLISHED = "trainer.multi_task.steps:train_published_network"
TRAIN_PEER = "trainer.multi_task.steps:train_peer_network"
EVERYTHING = "all"


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
        self.division: Division = divide(datasets, plan.settings)
        self._folders = dict(zip(self.division.names, (str(plan.folder(d)) for d in plan.settings.data), strict=True))
        self._content = {dataset.name: dataset_fingerprint(dataset, known) for dataset in datasets}
        self._lesions = {
            name: data in plan.settings.lesions
            for name, data in zip(self.division.names, plan.settings.data, strict=True)
        }
        foreign = foreign_paths(plan, is_planar=_is_planar(datasets[0]))
        self._foreign, self._foreign_content = [str(path) for path in foreign], known.of_all(foreign)
        _require_foreign(self._foreign_content, datasets, known)
        self._runs: dict[str, Run] = {}
        self._measured_in: dict[tuple[str, str, int, int], str] = {}
        for count in plan.settings.labelled_groups:
            for seed in plan.settings.seeds:
                # What an arm of nnU-Net may spend is known when another has spent it.
                for arm in sorted(plan.settings.arms, key=lambda arm: arm.kind == "nnunet"):
                    self._add_arm(arm, count, seed)

    @property
    def runs(self) -> list[Run]:
        """In the order in which they should begin: a number of labels and a seed are complete before the next."""
        return list(self._runs.values())

    def datasets_of(self, arm: ArmSettings) -> list[str]:
        """Names of the datasets on which an arm is measured."""
        wanted = self.plan.settings.data_of(arm)
        return [name for name, data in zip(self.division.names, self.plan.settings.data, strict=True) if data in wanted]

    def run_of(self, arm: ArmSettings, name: str, count: int, seed: int) -> str:
        """Name of the run in which an arm is measured on one of its datasets."""
        return self._measured_in[arm.name, name, count, seed]

    def _add_arm(self, arm: ArmSettings, count: int, seed: int) -> None:
        settings, every = self.plan.settings, self.division.names
        first = settings.steps - settings.finetune_steps
        if arm.kind == "joint":
            whole = run_name(arm.name, EVERYTHING, count, seed)
            whole = self._add(arm, whole, every, every, settings.steps, (count, seed))
            self._measured_in |= {(arm.name, name, count, seed): whole for name in every}
            return
        for name in self.datasets_of(arm):
            needs: tuple[str, ...] = ()
            if arm.kind == "nnunet":
                self._add_peer(arm, name, count, seed)
                continue
            if arm.kind == "transfer":
                others = self.division.strangers(name)
                sources = [self.division.largest_other(name)] if arm.source == "largest" else others
                word = sources[0] if arm.source == "largest" else f"others-of-{name}"
                needs = (self._pretrained(arm, word, sources, first, (count, seed)),)
            elif arm.kind == "joint_finetuned":
                needs = (self._pretrained(arm, EVERYTHING, every, first, (count, seed)),)
            steps = settings.finetune_steps if needs else settings.steps
            own = run_name(arm.name, name, count, seed)
            own = self._add(arm, own, [name], [name], steps, (count, seed), needs)
            self._measured_in[arm.name, name, count, seed] = own

    def _add_peer(self, arm: ArmSettings, name: str, count: int, seed: int) -> None:
        """The run of nnU-Net on a dataset: what it may spend, the run that it needs has spent."""
        settings = self.plan.settings
        lender = next(one for one in settings.arms if one.name == settings.nnunet.as_much_as)
        run = Run(
            run_name(arm.name, name, count, seed),
            TRAIN_PEER,
            {
                **self._common(arm, [name], [name], (count, seed)),
                "nnunet": self._peer,
                # A network of all datasets has spent a share on each.
                "share": 1 / len(self.division.names) if lender.kind == "joint" else 1.0,
                # It checks no images.
                "foreign": [],
                "foreign_content": [],
            },
            (self.run_of(lender, name, count, seed),),
        )
        self._measured_in[arm.name, name, count, seed] = self._keep(run)

    def _pretrained(
        self, arm: ArmSettings, word: str, sources: Sequence[str], steps: int, regime: tuple[int, int]
    ) -> str:
        """The run that an arm fine-tunes from: shared by arms that differ in the fine-tuning alone."""
        # With what the arm changes, so that the name does not depend on the arms before it.
        width = [f"channels-{'-'.join(map(str, arm.channels))}"] if arm.channels else []
        kind = "_".join(["pretrained", *(f"{key}-{value:g}" for key, value in sorted(arm.numbers.items())), *width])
        return self._add(arm, run_name(kind, word, *regime), sources, [], steps, regime)

    def _add(
        self,
        arm: ArmSettings,
        name: str,
        trained: Sequence[str],
        measured: Iterable[str],
        steps: int,
        regime: tuple[int, int],
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
        self, arm: ArmSettings, trained: Sequence[str], measured: Sequence[str], regime: tuple[int, int]
    ) -> dict[str, Any]:
        """Parameters that runs of every kind have."""
        count, seed = regime
        return {
            "data": [self._folders[one] for one in trained],
            "hidden_groups": [self.division.hidden(one, count, seed) for one in trained],
            "content": [self._content[one] for one in trained],
            "training": self.plan.training_of(arm, seed, list(trained)).as_dict(),
            "measured": [
                {
                    "data": self._folders[one],
                    "groups": sorted(self.division.tested[one]),
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


def run_name(arm: str, what: str, count: int, seed: int) -> str:
    """Name of a run; what a name of a run cannot hold is replaced.

    Args:
        arm: of the arm, or of what several arms start from.
        what: dataset, or `EVERYTHING`.
        count: groups with labels.
        seed: of the run.
    """
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{arm}.{what}.{'all' if count == ALL else count}.s{seed}")


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
