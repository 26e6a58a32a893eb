"""What a model file says of a model that nnU-Net v2 trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest, OodInfo, TaskInfo
from MultiTaskSegLib.runtime.model.structure import LATER
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.nnunet.plans import ModelPlan
from MultiTaskSegLib.runtime.nnunet.preparation_plan import CT, NONE
from MultiTaskSegLib.runtime.quality.quality_info import UNKNOWN, QualityInfo, TaskQuality

FORMAT_VERSION = 2
KIND: Literal["nnunet"] = "nnunet"
VALIDATION = "validation_cases"
"""In the manifest's ``training``: cases that a single imported fold was not trained on."""
IMAGE_SPACING = "image_spacing_mm"
"""In the manifest's ``training``: median spacing of the images of the training along the network's axes."""


@dataclass(frozen=True)
class Fold:
    """One network of the model.

    Attributes:
        name: ``0`` to ``4``, or ``all``.
        checkpoint: name of the file that it was read from.
        epochs: that it was trained.
    """

    name: str
    checkpoint: str
    epochs: int


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Attributes:
        trainer: name of the class that trained it.
        folds: its networks, whose scores are averaged.
        mirror_axes: spatial axes of the patch along which results may be averaged over mirrored patches; they are not,
            which is ``--disable_tta`` of nnU-Net.
    """

    trainer: str
    folds: tuple[Fold, ...]
    mirror_axes: tuple[int, ...]


@dataclass(frozen=True)
class ImportedManifest:
    """Description of an imported model.

    Attributes:
        format_version: of the model file.
        kind: which program trained it.
        name: of the model.
        created_by: program and version that wrote the file.
        intended_use: what the model may be used for.
        licence: of the weights, as whoever imported them says.
        origin: who trained it.
        plan: its configuration of the plans, from the network's shape to what is segmented.
        tasks: the one that it segments; its profile is that of the image's own statistics in the check.
        ood: the out-of-distribution check; None where there is no reference, so that nothing is checked.
        training: what is known of reference and calibration.
        quality: how good results are; None where nobody measured it.
    """

    format_version: int
    kind: Literal["nnunet"]
    name: str
    created_by: str
    intended_use: str
    licence: str
    origin: Origin
    plan: ModelPlan
    tasks: tuple[TaskInfo, ...]
    ood: OodInfo | None = None
    training: dict[str, Any] = field(default_factory=dict)
    quality: QualityInfo | None = field(default=None, metadata=LATER)

    def quality_of(self, task: TaskInfo) -> TaskQuality:
        """What is known of the quality of a task's results."""
        if self.quality is None:
            return UNKNOWN
        return self.quality.tasks[[own.name for own in self.tasks].index(task.name)]

    def task(self, name: str) -> TaskInfo:
        """The task of that name.

        Raises:
            KeyError: there is none.
        """
        return {task.name: task for task in self.tasks}[name]

    def absolute_scales(self, task: str) -> tuple[bool, ...]:
        """By channel, whether values are taken as they are, so that each means something; of any task, there is one."""
        return tuple(own.scheme in (CT, NONE) for own in self.plan.preparation.normalisations)

    @property
    def has_labels(self) -> bool:
        """Whether the model segments anything, which all of this kind do."""
        return True

    @property
    def is_planar(self) -> bool:
        """Whether its network sees slices alone. It takes volumes all the same, slice by slice."""
        return self.plan.network.dimension == 2

    @property
    def architecture(self) -> Architecture:
        """Strides and channels of the encoder's maps, in the terms of networks of our own.

        Raises:
            ModelError: the first stage has a stride, which no network here has.
        """
        network = self.plan.network
        if any(step != 1 for step in network.strides[0]):
            raise ModelError("networks whose first stage has a stride cannot be checked")
        strides = tuple(_of_space(step) for step in network.strides[1:])
        return Architecture(
            network.features,
            strides,
            tuple(_of_space(kernel) for kernel in network.kernels),
            self.plan.structures.outputs,
        )

    @property
    def encoder_layers(self) -> tuple[str, ...]:
        """Names of the maps that a check can look at: those of the encoder.

        Raises:
            ModelError: as `architecture`.
        """
        return tuple(name for name in self.architecture.layer_names if name.startswith("encoder"))

    def in_own_terms(self, ood: OodInfo) -> Manifest:
        """The same model as one that was trained here, as far as its check is concerned.

        It sees the channels that the profile of the task has a scale for; in earlier files that is the first.
        """
        (task,) = self.tasks
        count = task.profile.channel_count
        tasks = (replace(task, inputs=task.inputs if count > 1 else ()),)
        architecture = replace(self.architecture, stems=(count,))
        return Manifest(FORMAT_VERSION, self.name, self.created_by, self.intended_use, architecture, tasks, ood)

    @property
    def is_calibrated(self) -> bool:
        """Whether probabilities were measured on labelled images that no fold was trained on."""
        return bool(self.tasks[0].calibration)


def _of_space(sides: tuple[int, ...]) -> Triple:
    """Three numbers; in 2-D slices never see each other."""
    z, y, x = (1,) * (3 - len(sides)) + sides
    return z, y, x
