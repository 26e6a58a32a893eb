"""What a transfer experiment compares: the table ``[transfer]`` of a configuration file."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import TrainingConfig, read_experiment, require_known_datasets
from trainer.data.dataset import dataset_name, split_view
from trainer.pretraining.pretrain import SourceTask
from trainer.pretraining.unfreezing import Strategy

SCRATCH = "scratch"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class SourceSettings:
    """Where to pre-train.

    Attributes:
        name: one word.
        task: of the pre-training.
        domain: what the images are, for example ``T1 brain MRI``; compared with the targets' domains.
        data: dataset folders, relative to the data root; views as for `trainer.data.dataset.read_dataset`.
        pretexts: of a self-supervised source; empty: all.
    """

    name: str
    task: SourceTask
    domain: str
    data: tuple[str, ...]
    pretexts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetSettings:
    """What to learn.

    Attributes:
        name: one word.
        domain: as of the sources.
        data: dataset folder, relative to the data root.
        lesions: whether its labels are lesions, to be counted one by one.
        labelled_cases: cases to fine-tune on; 0: all.
    """

    name: str
    domain: str
    data: str
    lesions: bool = False
    labelled_cases: int = 0


@dataclass(frozen=True)
class TransferSettings:
    """The whole matrix.

    Attributes:
        title: of the report and of what is published.
        data_root: folder that holds the data; relative to the configuration file.
        sources, targets: at least one each.
        seeds: of weights and draws; three or more for intervals.
        strategy: how the pre-trained weights are treated.
        pretrain_steps, finetune_steps: of the optimiser.
        images_to_predict: images of a target from which a source's use is predicted.
    """

    sources: tuple[SourceSettings, ...]
    targets: tuple[TargetSettings, ...]
    title: str = "Transfer"
    data_root: str = "."
    seeds: tuple[int, ...] = (0, 1, 2)
    strategy: Strategy = "all"
    pretrain_steps: int = 1000
    finetune_steps: int = 500
    images_to_predict: int = 24


@dataclass(frozen=True)
class TransferPlan:
    """Settings with the training configuration and the folders found.

    Attributes:
        settings: what is compared.
        training: how every network is trained; its seed is replaced by each of the seeds.
        root: folder that the data's paths are relative to.
    """

    settings: TransferSettings
    training: TrainingConfig
    root: Path

    def folder(self, data: str) -> Path:
        """A data path of the settings as a path on disk, its view included."""
        return Path(f"{self.root / data}")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the folder on this machine."""
        return {"transfer": dataclasses.asdict(self.settings), "training": self.training.as_dict()}


def read_transfer(path: Path, data_root: Path | None = None) -> TransferPlan:
    """Read a configuration file: the training's settings at its top level, the experiment in ``[transfer]``.

    Args:
        path: TOML or YAML file.
        data_root: instead of the file's ``data_root``.

    Raises:
        UsageError: the file is missing or malformed, or the settings contradict themselves.
    """
    training, tables = read_experiment(path, {"transfer": TransferSettings})
    settings: TransferSettings = tables["transfer"]
    _check(settings, path)
    folders = [*(data for source in settings.sources for data in source.data), *(t.data for t in settings.targets)]
    require_known_datasets(training, list(dict.fromkeys(dataset_name(Path(data)) for data in folders)))
    root = data_root or path.parent / settings.data_root
    return TransferPlan(settings, training, root.absolute())


def is_same_data(source: SourceSettings, target: TargetSettings) -> bool:
    """Whether a source is the target itself, with the target's own labels."""
    folders = {split_view(Path(data)) for data in source.data}
    return source.task == "segmentation" and split_view(Path(target.data)) in folders


def is_matched(source: SourceSettings, target: TargetSettings) -> bool:
    """Whether the source is what Zoetmulder et al. found best: segmentation in the target's domain."""
    return source.task == "segmentation" and source.domain == target.domain


def _check(settings: TransferSettings, path: Path) -> None:
    names = [source.name for source in settings.sources] + [target.name for target in settings.targets]
    wrong = [name for name in names if not NAME.fullmatch(name)]
    if wrong or SCRATCH in names or len(set(names)) < len(names):
        what = f"{wrong[0]!r} is no name" if wrong else f"two names are equal, or one is {SCRATCH}"
        raise UsageError(what, file=path, remedy="Give each source and target one word of its own")
    if not settings.sources or not settings.targets or not settings.seeds:
        raise UsageError("sources, targets and seeds need one entry each", file=path, remedy="Add what is missing")
    if len(set(settings.seeds)) < len(settings.seeds):
        raise UsageError("a seed is given twice", file=path, remedy="Give different seeds")
    if min(settings.pretrain_steps, settings.finetune_steps, settings.images_to_predict) < 1:
        raise UsageError("steps and images_to_predict must be positive", file=path, remedy="Correct them")
    if any(not source.data for source in settings.sources):
        raise UsageError("a source has no data", file=path, remedy="Name at least one folder")
