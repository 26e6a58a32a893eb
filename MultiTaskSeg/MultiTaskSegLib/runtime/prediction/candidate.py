"""What an image may be: tasks of a model whose images are prepared alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.preparation import Prepared
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.ood.signature import Observed
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass

# Profiles whose voxel size fits about as well as the best one (within this much in log units) are all tried.
PROFILE_TOLERANCE = 0.35
SHOWN_TASKS = 4


@dataclass(frozen=True)
class Candidate:
    """One way to look at an image.

    Attributes:
        model: whose network and reference are asked.
        network_pass: runs that network.
        profile: how the image is prepared.
        tasks: those of the model with this profile and these channels, in the model's order.
    """

    model: Model
    network_pass: NetworkPass
    profile: Profile
    tasks: tuple[TaskInfo, ...]

    @property
    def stem(self) -> int:
        """Which of the network's stems takes the image."""
        return self.model.manifest.stem(self.tasks[0])

    def judge(self, spectra: Mapping[str, LayerSpectrum], prepared: Prepared) -> Verdict:
        """Only these tasks count: the images of the model's others were prepared differently."""
        reference, architecture = self.model.reference, self.model.manifest.architecture
        statistics = reference.spec.image_part(prepared.voxels, architecture.is_planar, max(architecture.stems))
        observed: Observed = {**spectra, **statistics}
        verdict = reference.judge(observed, among=[task.name for task in self.tasks])
        # Images of other channels went through another stem: a distance to them says nothing.
        alike = {task.name for task in self.model.manifest.tasks if task.inputs == self.tasks[0].inputs}
        return replace(verdict, distances={name: own for name, own in verdict.distances.items() if name in alike})


def candidates_of(model: Model, network_pass: NetworkPass, profiles: list[Profile]) -> list[Candidate]:
    """One candidate for each profile of a model and each list of channels that its images have."""
    tasks = model.manifest.tasks
    lists = [(p, inputs) for p in profiles for inputs in dict.fromkeys(t.inputs for t in tasks if t.profile == p)]
    return [
        Candidate(model, network_pass, p, tuple(t for t in tasks if t.profile == p and t.inputs == inputs))
        for p, inputs in lists
    ]


def only_task(tasks: Sequence[TaskInfo], profiles: Sequence[Profile]) -> TaskInfo | None:
    """The task that an image can only be of: nothing need be recognised, and its labels come with the spectra."""
    fitting = [task for task in tasks if task.profile in profiles]
    return fitting[0] if len(fitting) == 1 else None


def fitting_profiles(manifest: Manifest, volume: Volume) -> list[Profile]:
    """Profiles that suit the image's scale and voxel size: where no task is named, all of them are tried.

    Only tasks that take as many channels as the image has come into question.

    Raises:
        InputError: there is none.
    """
    fitting = [task for task in manifest.tasks if task.input_count == volume.channel_count]
    if not fitting:
        raise wrong_channels(manifest.tasks, volume)
    profiles = list(dict.fromkeys(task.profile for task in fitting))
    suitable = [p for p in profiles if p.suits(volume)] or profiles
    nearest = min(p.distance(volume) for p in suitable)
    return [p for p in suitable if p.distance(volume) <= nearest + PROFILE_TOLERANCE]


def wrong_channels(tasks: Sequence[TaskInfo], volume: Volume) -> InputError:
    """What is said of an image that has another number of channels than any of these tasks takes."""
    wanted = dict.fromkeys(
        f"{task.name} takes {len(task.inputs)} channels ({', '.join(task.inputs)})" if task.inputs else
        f"{task.name} takes one channel ({task.modality})" for task in tasks
    )  # fmt: skip
    shown = list(wanted)[:SHOWN_TASKS]
    more = f" and {len(wanted) - len(shown)} more" if len(wanted) > len(shown) else ""
    given = "one channel was given" if volume.channel_count == 1 else f"{volume.channel_count} channels were given"
    return InputError(
        f"{given}, but {'; '.join(shown)}{more}",
        file=volume.name or None,
        remedy="Give the images of all channels of the task, in this order or by name, and no other",
    )
