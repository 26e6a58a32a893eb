"""From the settings to runs, with everything checked that can be checked before a training starts."""

from __future__ import annotations

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

TRAIN = "trainer.multi_task.steps:train_network"
EVERYTHING = "all"


class Design:
    """The runs of an experiment and what they are called.

    The same training for two arms, as the network of all datasets from which one is fine-tuned in two ways, is one run.

    Args:
        plan: settings and folders.
        contents: knows what files hold.

    Raises:
        DatasetError: a folder is missing or too small, has no masks, or 2-D and 3-D images are mixed.
    """

    def __init__(self, plan: MultiTaskPlan, contents: FileContents | None = None) -> None:
        self.plan, known = plan, contents or FileContents()
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
        self._foreign = [str(path) for path in foreign_paths(plan, is_planar=_is_planar(datasets[0]))]
        self._runs: dict[str, Run] = {}
        for count in plan.settings.labelled_groups:
            for seed in plan.settings.seeds:
                for arm in plan.settings.arms:
                    self._add_arm(arm, count, seed)

    @property
    def runs(self) -> list[Run]:
        """In the order in which they should begin: a number of labels and a seed are complete before the next."""
        return list(self._runs.values())

    def run_of(self, arm: ArmSettings, name: str, count: int, seed: int) -> str:
        """Name of the run in which an arm is measured on a dataset."""
        return run_name(arm.name, EVERYTHING if arm.kind == "joint" else name, count, seed)

    def _add_arm(self, arm: ArmSettings, count: int, seed: int) -> None:
        settings, every = self.plan.settings, self.division.names
        first = settings.steps - settings.finetune_steps
        if arm.kind == "joint":
            self._add(arm, run_name(arm.name, EVERYTHING, count, seed), every, every, settings.steps, (count, seed))
            return
        for name in every:
            needs: tuple[str, ...] = ()
            if arm.kind == "transfer":
                others = self.division.strangers(name)
                sources = [self.division.largest_other(name)] if arm.source == "largest" else others
                word = sources[0] if arm.source == "largest" else f"others-of-{name}"
                needs = (self._pretrained(arm, word, sources, first, (count, seed)),)
            elif arm.kind == "joint_finetuned":
                needs = (self._pretrained(arm, EVERYTHING, every, first, (count, seed)),)
            steps = settings.finetune_steps if needs else settings.steps
            self._add(arm, run_name(arm.name, name, count, seed), [name], [name], steps, (count, seed), needs)

    def _pretrained(
        self, arm: ArmSettings, word: str, sources: Sequence[str], steps: int, regime: tuple[int, int]
    ) -> str:
        """The run that an arm fine-tunes from: shared by arms that differ in the fine-tuning alone."""
        kind = "_".join(["pretrained", *(f"{key}-{value:g}" for key, value in sorted(arm.numbers.items()))])
        name = run_name(kind, word, *regime)
        self._add(arm, name, sources, [], steps, regime)
        return name

    def _add(
        self,
        arm: ArmSettings,
        name: str,
        trained: Sequence[str],
        measured: Iterable[str],
        steps: int,
        regime: tuple[int, int],
        needs: tuple[str, ...] = (),
    ) -> None:
        count, seed = regime
        parameters: dict[str, Any] = {
            "data": [self._folders[one] for one in trained],
            "hidden_groups": [self.division.hidden(one, count, seed) for one in trained],
            "content": [self._content[one] for one in trained],
            "training": self.plan.training_of(arm, seed, list(trained)).as_dict(),
            # All steps are those of one dataset: a network of many gets as many for each.
            "steps": steps * len(trained) if arm.kind in ("joint", "joint_finetuned") else steps,
            "strategy": arm.strategy if needs else "all",
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
        }
        self._runs.setdefault(name, Run(name, TRAIN, parameters, needs))


def run_name(arm: str, what: str, count: int, seed: int) -> str:
    """Name of a run.

    Args:
        arm: of the arm, or of what several arms start from.
        what: dataset, or `EVERYTHING`.
        count: groups with labels.
        seed: of the run.
    """
    return f"{arm}.{what}.{'all' if count == ALL else count}.s{seed}".replace("::", "-").replace(",", "-")


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
