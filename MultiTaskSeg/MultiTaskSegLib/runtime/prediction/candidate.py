"""What an image may be: tasks of a model whose images are prepared alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Candidate:
    """One way to look at an image.

    Attributes:
        model: whose network and reference are asked.
        network_pass: runs that network.
        profile: how the image is prepared.
        tasks: those of the model with this profile, in the model's order.
    """

    model: Model
    network_pass: NetworkPass
    profile: Profile
    tasks: tuple[TaskInfo, ...]

    def judge(self, spectra: Mapping[str, LayerSpectrum], prepared: Prepared) -> Verdict:
        """Only these tasks count: the images of the model's others were prepared differently."""
        reference, planar = self.model.reference, self.model.manifest.architecture.is_planar
        observed: Observed = {**spectra, **reference.spec.image_part(prepared.voxels, planar)}
        return reference.judge(observed, among=[task.name for task in self.tasks])


def candidates_of(model: Model, network_pass: NetworkPass, profiles: list[Profile]) -> list[Candidate]:
    """One candidate for each profile of a model."""
    tasks = model.manifest.tasks
    return [Candidate(model, network_pass, p, tuple(t for t in tasks if t.profile == p)) for p in profiles]


def fitting_profiles(manifest: Manifest, volume: Volume) -> list[Profile]:
    """Profiles that suit the image's scale and voxel size: where no task is named, all of them are tried."""
    profiles = list(dict.fromkeys(task.profile for task in manifest.tasks))
    suitable = [p for p in profiles if p.suits(volume)] or profiles
    nearest = min(p.distance(volume) for p in suitable)
    return [p for p in suitable if p.distance(volume) <= nearest + PROFILE_TOLERANCE]
