"""The manifest of a model file: everything about a model that is not a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.model.precision_info import PrecisionInfo
from MultiTaskSegLib.runtime.model.structure import LATER
from MultiTaskSegLib.runtime.model.training_data import TrainingData
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.network.precision import Lower
from MultiTaskSegLib.runtime.ood.image_statistics import FIRST_STATISTICS
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw, TaskLimits
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, Variant
from MultiTaskSegLib.runtime.quality.quality_info import UNKNOWN, QualityInfo, TaskQuality

FORMAT_VERSION = 1
"""Of files that programs of every version read."""
LATER_FORMAT_VERSION = 2
"""Of files that need more: images of several channels, or regions."""
FORMAT_VERSIONS = (FORMAT_VERSION, LATER_FORMAT_VERSION)


@dataclass(frozen=True)
class LabelInfo:
    """One structure.

    Attributes:
        value: voxel value in label maps, 1 to 255.
        name: the dataset's own name.
        display_name: for people, ``left_ventricle`` is "left ventricle".
        colour: red, green, blue, 0 to 255.
        terminology: seven parts joined by ``~`` as Slicer stores them.
    """

    value: int
    name: str
    display_name: str
    colour: tuple[int, int, int]
    terminology: str


@dataclass(frozen=True)
class TaskInfo:
    """One dataset's segmentation task.

    Attributes:
        name: the dataset's name.
        modality: for example ``T1``.
        anatomy: body region.
        labels: in the order of the head channels; none in a model that was pre-trained without labels, which knows
            images but segments nothing.
        profile: grid and intensity scale.
        channel_start: head channel of the task's background; its labels follow.
        temperature: divisor of the logits that calibrates the probabilities (Guo et al. 2017).
        licence: of the training data, as far as known.
        training_cases: number of cases trained on.
        held_out_cases: number of cases never trained on, behind ``held_out_dice`` and ``calibration``.
        held_out_dice: mean Dice by label name on held-out cases.
        calibration: reliability figures on held-out cases.
        single_component: the labels together are one connected piece in (almost) every training case, so only the most
            probable piece of a result is kept.
        surface_temperature: divisor of the logits within 2 voxels of the predicted surface, on the network's grid
            (`surface_band`); None: ``temperature`` there, too.
        data: who made the images, who may use them, and what they show.
        inputs: names of the image's channels in the order in which the network takes them; none for one channel
            without a name.
        are_regions: whether labels may overlap: each has an output of its own (a sigmoid), there is none for the
            background, and in a label map later ones are painted over earlier ones.
    """

    name: str
    modality: str
    anatomy: str
    labels: tuple[LabelInfo, ...]
    profile: Profile
    channel_start: int
    temperature: float
    licence: str
    training_cases: int
    held_out_cases: int
    held_out_dice: dict[str, float] = field(default_factory=dict)
    calibration: dict[str, float] = field(default_factory=dict)
    single_component: bool = False
    surface_temperature: float | None = None
    data: TrainingData = field(default_factory=TrainingData)
    inputs: tuple[str, ...] = field(default=(), metadata=LATER)
    are_regions: bool = field(default=False, metadata=LATER)

    @property
    def input_count(self) -> int:
        """How many channels an image of the task has."""
        return max(1, len(self.inputs))

    @property
    def channels(self) -> slice:
        """The task's head channels, background first; regions have no background."""
        first = self.channel_start
        return slice(first, first + len(self.labels) + (not self.are_regions))


@dataclass(frozen=True)
class OodInfo:
    """Settings and measured behaviour of the out-of-distribution check.

    Attributes:
        variant, layers, floor: the signature, see `SignatureSpec`.
        threshold: scores above it are out of distribution, where tasks have no limits of their own.
        false_alarm_rate: share of held-out images above the threshold; with limits of each task, share of all known
            images that are above their task's when their patients are left out of everything that the check fits.
        false_alarm_rate_by_task: the same by task.
        image_statistics: of the variant ``composite``: names of the image's own statistics.
        tail_share: share of new images of each task that are expected beyond its limit; None where one threshold serves
            all tasks.
        score_laws: what limits and p-values come from, in the order of the tasks.
        false_alarm_interval: 95 % interval of ``false_alarm_rate``, which counts patients.
        false_alarm_intervals: the same of each task, in their order.
    """

    variant: Variant
    layers: tuple[str, ...]
    floor: float
    threshold: float
    false_alarm_rate: float
    false_alarm_rate_by_task: dict[str, float]
    image_statistics: tuple[str, ...] = FIRST_STATISTICS
    tail_share: float | None = field(default=None, metadata=LATER)
    score_laws: tuple[ScoreLaw, ...] = field(default=(), metadata=LATER)
    false_alarm_interval: tuple[float, float] | None = field(default=None, metadata=LATER)
    false_alarm_intervals: tuple[tuple[float, float], ...] = field(default=(), metadata=LATER)

    @property
    def limits(self) -> TaskLimits | None:
        """Limits of the tasks; None where one threshold serves all."""
        return None if self.tail_share is None else TaskLimits(self.score_laws, self.tail_share)

    @property
    def spec(self) -> SignatureSpec:
        """The signature.

        Raises:
            ModelError: there is no such signature.
        """
        return SignatureSpec(self.variant, self.layers, self.floor, self.image_statistics)


@dataclass(frozen=True)
class Manifest:
    """Description of a model.

    Attributes:
        format_version: of the model file.
        name: of the model.
        created_by: program and version.
        intended_use: what the model may be used for.
        architecture: of the network.
        tasks: what it segments.
        ood: the out-of-distribution check.
        training: provenance: settings, steps, duration, library versions.
        quality: how good results are, in the order of the tasks; None where nobody measured it.
        precision: what lower precisions cost; None: nobody has measured it, and the model runs in float32.
    """

    format_version: int
    name: str
    created_by: str
    intended_use: str
    architecture: Architecture
    tasks: tuple[TaskInfo, ...]
    ood: OodInfo
    training: dict[str, Any] = field(default_factory=dict)
    quality: QualityInfo | None = field(default=None, metadata=LATER)
    precision: PrecisionInfo | None = field(default=None, metadata=LATER)

    @property
    def permitted_precisions(self) -> tuple[Lower, ...]:
        """The lower precisions that the model may run in."""
        return () if self.precision is None else self.precision.permitted

    @property
    def stems(self) -> tuple[tuple[str, ...], ...]:
        """By stem of the network, the names of the channels that it takes; none for one channel without a name."""
        return stems_of([task.inputs for task in self.tasks])

    def stem(self, task: TaskInfo) -> int:
        """Which of the network's stems takes a task's images."""
        return self.stems.index(task.inputs)

    def task(self, name: str) -> TaskInfo:
        """The task of that name.

        Raises:
            KeyError: there is none.
        """
        return {task.name: task for task in self.tasks}[name]

    def quality_of(self, task: TaskInfo) -> TaskQuality:
        """What is known of the quality of a task's results."""
        if self.quality is None:
            return UNKNOWN
        return self.quality.tasks[[own.name for own in self.tasks].index(task.name)]

    def absolute_scales(self, task: str) -> tuple[bool, ...]:
        """By channel of a task, whether values are on a scale of their own (Hounsfield units), of which each means
        something."""
        return tuple(own.method == "range" for own in self.task(task).profile.intensities)

    @property
    def has_labels(self) -> bool:
        """Whether the model segments anything; one that was pre-trained without labels does not."""
        return any(task.labels for task in self.tasks)

    @property
    def is_planar(self) -> bool:
        """Whether the model is for 2-D images."""
        return all(task.profile.grid == "fit" for task in self.tasks)


def stems_of(inputs: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """The stems of a network for tasks with these lists of channels: one for each list, that of one channel first.

    >>> stems_of([("FLAIR", "T1"), (), ("FLAIR", "T1")])
    ((), ('FLAIR', 'T1'))
    """
    return tuple(sorted(dict.fromkeys(inputs), key=bool))


def needed_format(tasks: Sequence[TaskInfo]) -> int:
    """The lowest version of the format that can describe these tasks."""
    return LATER_FORMAT_VERSION if any(task.inputs or task.are_regions for task in tasks) else FORMAT_VERSION
