"""What a multi-task experiment compares: the table ``[multi_task]`` of a configuration file."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import TrainingConfig, config_from_dict, read_experiment, require_known_datasets
from trainer.data.dataset import dataset_name
from trainer.nnunet_peer.settings import NnunetSettings
from trainer.paper_network.settings import PaperSettings
from trainer.pretraining.unfreezing import Strategy

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
ALL = 0
"""Of ``labelled_groups``: every group that is not tested on."""
SPLIT = ("split_seed", "validation_fraction", "minimum_validation_groups")
"""Settings of a training that say whom it holds out."""

Kind = Literal["dedicated", "transfer", "joint", "joint_finetuned", "nnunet"]


@dataclass(frozen=True)
class ArmSettings:
    """One way to get a network for every dataset.

    Attributes:
        name: one word.
        kind: ``dedicated``: a network for each dataset; ``transfer``: pre-trained on other datasets, then fine-tuned on
            each; ``joint``: one network for all; ``joint_finetuned``: that, then fine-tuned on each; ``nnunet``:
            nnU-Net for each dataset, see `NnunetSettings`.
        source: of ``transfer``: the ``largest`` other dataset, or all ``others`` together.
        strategy: of the fine-tuning, see `trainer.pretraining.finetune.finetune`.
        head: of the network; ``shared_foreground`` is the paper's.
        numbers: settings of the training that differ, for example ``{sampling_exponent = 1.0}``; not the seed. Of the
            published network the sampling alone.
        network: ``ours``, or ``paper``: network, loss and training as published, see `PaperSettings`.
        channels: of the network's levels, in place of the training's; not of the published network.
        datasets: which of ``data`` the arm is limited to; none: all. One network for all has no limit.
    """

    name: str
    kind: Kind
    source: Literal["largest", "others"] = "largest"
    strategy: Strategy = "all"
    head: Literal["per_task", "shared_foreground"] = "per_task"
    numbers: dict[str, float] = field(default_factory=dict)
    network: Literal["ours", "paper"] = "ours"
    channels: tuple[int, ...] = ()
    datasets: tuple[str, ...] = ()


ARMS = (
    ArmSettings("dedicated", "dedicated"),
    ArmSettings("transfer-largest", "transfer"),
    ArmSettings("transfer-largest-last", "transfer", strategy="last-layers"),
    ArmSettings("transfer-others", "transfer", source="others"),
    ArmSettings("transfer-others-last", "transfer", source="others", strategy="last-layers"),
    ArmSettings("joint-shared", "joint", head="shared_foreground"),
    ArmSettings("joint", "joint"),
    ArmSettings("joint-finetuned", "joint_finetuned"),
)


@dataclass(frozen=True)
class MultiTaskSettings:
    """The whole matrix.

    Attributes:
        data: dataset folders, relative to the data root; views as for `trainer.data.dataset.read_dataset`.
        title: of the report and of what is published.
        data_root: folder that holds the data; relative to the configuration file.
        lesions: which of ``data`` have lesions as labels, to be counted one by one.
        labelled_groups: groups (patients) of each dataset that have labels; 0: all that are not tested on.
        seeds: of weights, draws and of which groups have labels; three or more for intervals.
        steps: of the optimiser that every arm spends on each dataset.
        finetune_steps: how many of them are spent on fine-tuning, in the arms that fine-tune.
        test_fraction: share of the groups of each dataset that no training sees.
        minimum_test_groups: at least so many, but never more than a third.
        folds: 0, or how many parts the groups of each dataset are divided into for cross-validation, in place of the
            two above: every arm is trained once for each part, which that training does not see and is tested on, so
            that every group is tested once.
        spare_held_out: with folds, leave out of everything the groups that ``train`` holds out with these datasets and
            settings: what is chosen here can then be measured on them.
        foreign: folders of images that no arm knows, for the check; relative to the data root.
        foreign_images: how many of them, spread evenly.
        arms: what is compared; ``ours`` and ``reference`` must be among them.
        reference: what every other arm is compared with.
        ours: the arm whose claim is judged.
        paper: settings of the arms with the published network.
        nnunet: settings of the arms of nnU-Net.
    """

    data: tuple[str, ...]
    title: str = "One network for all"
    data_root: str = "."
    lesions: tuple[str, ...] = ()
    labelled_groups: tuple[int, ...] = (5, 20, ALL)
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 400
    finetune_steps: int = 200
    test_fraction: float = 0.3
    minimum_test_groups: int = 4
    folds: int = 0
    spare_held_out: bool = False
    foreign: tuple[str, ...] = ()
    foreign_images: int = 20
    arms: tuple[ArmSettings, ...] = ARMS
    reference: str = "dedicated"
    ours: str = "joint"
    paper: PaperSettings = field(default_factory=PaperSettings)
    nnunet: NnunetSettings = field(default_factory=NnunetSettings)

    def data_of(self, arm: ArmSettings) -> tuple[str, ...]:
        """The ``data`` that an arm is measured on, in their order."""
        return tuple(data for data in self.data if not arm.datasets or data in arm.datasets)

    @property
    def peers(self) -> tuple[ArmSettings, ...]:
        """The arms of nnU-Net."""
        return tuple(arm for arm in self.arms if arm.kind == "nnunet")


@dataclass(frozen=True)
class MultiTaskPlan:
    """Settings with the training configuration and the folders found.

    Attributes:
        settings: what is compared.
        training: how every network is trained, apart from what an arm changes.
        root: folder that the data's paths are relative to.
    """

    settings: MultiTaskSettings
    training: TrainingConfig
    root: Path

    def folder(self, data: str) -> Path:
        """A data path of the settings as a path on disk, its view included."""
        return Path(f"{self.root / data}")

    def training_of(self, arm: ArmSettings, seed: int, names: list[str]) -> TrainingConfig:
        """Configuration of a network of an arm that is trained on the datasets of these names.

        Raises:
            UsageError: a setting that the arm changes does not exist or is no number.
        """
        own = self.training.as_dict()
        whole = {key for key, value in own.items() if type(value) is int}
        numbers = {key: int(n) if key in whole and n.is_integer() else n for key, n in arm.numbers.items()}
        published = self.settings.paper.training_values() if arm.network == "paper" else {}
        width = {"channels": arm.channels} if arm.channels else {}
        values = own | dict(published) | numbers | width
        config = config_from_dict(values, f"arm {arm.name}")
        mirrors = {name: axes for name, axes in config.mirror_axes.items() if name in names}
        # A dataset that is alone is drawn every time: its weight would only make another run of the same training.
        among = names if len(names) > 1 else []
        weights = {name: weight for name, weight in config.sampling_weights.items() if name in among}
        return replace(config, seed=seed, head=arm.head, mirror_axes=mirrors, sampling_weights=weights)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without the folders on this machine."""
        settings = dataclasses.asdict(self.settings)
        del settings["nnunet"]["python"]
        return {"multi_task": settings, "training": self.training.as_dict()}


def read_multi_task(path: Path, data_root: Path | None = None) -> MultiTaskPlan:
    """Read a configuration file: the training's settings at its top level, the experiment in ``[multi_task]``.

    Args:
        path: TOML or YAML file.
        data_root: instead of the file's ``data_root``.

    Raises:
        UsageError: the file is missing or malformed, or the settings contradict themselves.
    """
    training, tables = read_experiment(path, {"multi_task": MultiTaskSettings})
    settings: MultiTaskSettings = tables["multi_task"]
    _check(settings, path)
    _check_kinds(settings, path)
    _check_folds(settings, path)
    _check_limits(settings, path)
    _check_peers(settings, path)
    _require_unset(training, path)
    require_known_datasets(training, [dataset_name(Path(data)) for data in settings.data])
    root = data_root or path.parent / settings.data_root
    plan = MultiTaskPlan(settings, training, root.absolute())
    for arm in settings.arms:
        plan.training_of(arm, 0, [])
    return plan


def _check(settings: MultiTaskSettings, path: Path) -> None:
    names = [arm.name for arm in settings.arms]
    published = [arm for arm in settings.arms if arm.network == "paper"]
    for what, is_wrong, remedy in (
        ("fewer than two datasets are named", len(settings.data) < 2, "Name at least two"),
        ("a dataset is named twice", len(set(settings.data)) < len(settings.data), "Name each once"),
        ("lesions names a dataset that is not in data", not set(settings.lesions) <= set(settings.data), "Correct it"),
        ("an arm has no name of one word", not all(NAME.fullmatch(name) for name in names), "Rename it"),
        ("two arms have the same name", len(set(names)) < len(names), "Rename one"),
        ("reference or ours is no arm", not {settings.reference, settings.ours} <= set(names), "Name two of the arms"),
        ("reference and ours are the same arm", settings.reference == settings.ours, "Name two of the arms"),
        ("numbers of an arm has a seed", any("seed" in arm.numbers for arm in settings.arms), "Give it in seeds"),
        ("numbers of an arm has snapshots", any("snapshots" in arm.numbers for arm in settings.arms), "Leave it out"),
        ("an arm with the published network fine-tunes, and only dedicated and joint do not",
         any(arm.kind not in ("dedicated", "joint") for arm in published), "Change its kind"),
        ("an arm with the published network has a head for each task",
         any(arm.head != "shared_foreground" for arm in published), 'Give it head = "shared_foreground"'),
        ("an arm with the published network has channels of its own", any(arm.channels for arm in published),
         "Use the table multi_task.paper"),
        ("numbers of an arm with the published network are not its sampling_exponent",
         any(set(arm.numbers) - {"sampling_exponent"} for arm in published), "Use the table multi_task.paper"),
        ("a seed is missing or given twice", not _are_different(settings.seeds), "Give different seeds"),
        ("labelled_groups is empty or has a number twice", not _are_different(settings.labelled_groups), "Correct it"),
        # With two, none could be kept back for the temperatures.
        ("labelled_groups has a number below 3", any(0 < n < 3 for n in settings.labelled_groups), "Give 3 or more"),
        ("labelled_groups has a number below 0", min(settings.labelled_groups, default=0) < 0, "0 means all"),
        ("steps must be more than finetune_steps, and both positive",
         not 0 < settings.finetune_steps < settings.steps, "Correct them"),
        ("test_fraction must lie between 0 and 1", not 0 < settings.test_fraction < 1, "Correct it"),
        ("foreign_images is negative", settings.foreign_images < 0, "Correct it"),
    ):  # fmt: skip
        if is_wrong:
            raise UsageError(what, file=path, remedy=remedy)


def _check_kinds(settings: MultiTaskSettings, path: Path) -> None:
    """Of what arms of one kind alone have: given for another one, it would change nothing, and nobody would know."""
    usual = ArmSettings("", "joint")
    for arm in settings.arms:
        has_source = arm.kind == "transfer" or arm.source == usual.source
        _require(has_source, f"arm {arm.name} has a source and is no transfer", path)
        has_strategy = arm.kind in ("transfer", "joint_finetuned") or arm.strategy == usual.strategy
        _require(has_strategy, f"arm {arm.name} has a strategy of fine-tuning and does not fine-tune", path)


def _check_folds(settings: MultiTaskSettings, path: Path) -> None:
    """Of cross-validation."""
    usual = (MultiTaskSettings.test_fraction, MultiTaskSettings.minimum_test_groups)
    is_told = (settings.test_fraction, settings.minimum_test_groups) != usual
    split = [f"{key} in numbers of arm {arm.name}" for arm in settings.arms for key in SPLIT if key in arm.numbers]
    for what, is_wrong, remedy in (
        ("folds is 1 or negative", settings.folds == 1 or settings.folds < 0, "Give 2 or more, or 0"),
        ("spare_held_out needs folds", settings.spare_held_out and not settings.folds, "Give folds, or leave it out"),
        # As where every run sets something anew: nobody would know.
        ("test_fraction or minimum_test_groups has no effect with folds", settings.folds and is_told, "Leave it out"),
        # A training with what has won would hold out others than those who were spared.
        (f"spare_held_out, and {', '.join(split)}", settings.spare_held_out and split, "Give it at the top level"),
    ):
        if is_wrong:
            raise UsageError(what, file=path, remedy=remedy)


def _check_limits(settings: MultiTaskSettings, path: Path) -> None:
    """Of arms on some datasets."""
    limited = [arm for arm in settings.arms if arm.datasets]
    for arm in limited:
        _require(
            set(arm.datasets) <= set(settings.data), f"datasets of arm {arm.name} has one that is not in data", path
        )
        _require(arm.kind != "joint", f"arm {arm.name} is one network for all and has datasets of its own", path)
        # The claim is about all datasets, or about none.
        is_judged = arm.name in (settings.reference, settings.ours)
        _require(not is_judged, f"reference or ours is limited to some datasets: {arm.name}", path)


def _check_peers(settings: MultiTaskSettings, path: Path) -> None:
    """Of arms of nnU-Net."""
    usual = ArmSettings("", "nnunet")
    lenders = {arm.name: arm for arm in settings.arms if arm.kind in ("dedicated", "joint")}
    for arm in settings.peers:
        is_plain = dataclasses.replace(arm, name="", datasets=()) == usual
        _require(is_plain, f"arm {arm.name} is nnU-Net and has more than name, kind and datasets", path)
        is_judged = arm.name in (settings.reference, settings.ours)
        _require(not is_judged, f"reference or ours is nnU-Net: {arm.name}", path)
        lender = lenders.get(settings.nnunet.as_much_as)
        if lender is None:
            raise UsageError(
                "as_much_as of nnU-Net is no arm of kind dedicated or joint", file=path, remedy="Name one of them"
            )
        is_lent = set(settings.data_of(arm)) <= set(settings.data_of(lender))
        _require(is_lent, f"arm {arm.name} has datasets on which {lender.name} is not measured", path)


def _require(is_right: bool, otherwise: str, path: Path) -> None:
    if not is_right:
        raise UsageError(otherwise, file=path, remedy="Correct the arm")


def _require_unset(training: TrainingConfig, path: Path) -> None:
    """Refuse what every run sets anew: given for all of them, it would change nothing, and nobody would know."""
    for key, remedy in (("seed", "Use seeds in [multi_task]"), ("head", "Give the head of each arm")):
        if getattr(training, key) != getattr(TrainingConfig(), key):
            raise UsageError(f"{key} at the top level has no effect here", file=path, remedy=remedy)


def _are_different(values: tuple[int, ...]) -> bool:
    return bool(values) and len(set(values)) == len(values)
