"""Features of the benchmark's images on disk, so that an interrupted benchmark goes on where it was."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.imported.imported_judgement import required_reference
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.data_fingerprint import case_content
from trainer.data.label_resampling import LABELS_BY
from trainer.data.prepared_label import PREPARED_BY
from trainer.identity.file_content import FileContents
from trainer.identity.fingerprint import fingerprint
from trainer.identity.weights_digest import weights_digest
from trainer.ood.catalogue import KNOWN, TRAINING, Entry, Subject
from trainer.ood.detector.disagreement import (
    MAX_CROP_VOXELS,
    central_crop,
    disagreement_of,
    dropout_predictions,
    ensemble_predictions,
)
from trainer.ood.detector.features import (
    ImageFeatures,
    load_features,
    predicted_labels,
    save_features,
)
from trainer.ood.detector.sample import dimensions_of
from trainer.ood.look import ImportedLook, Look, OwnLook, Truth
from trainer.report.run_folder import write_json_file

MC_DROPOUT, ENSEMBLE = "mc_dropout", "ensemble"
# Changes whenever what an earlier version has stored must not be used any more.
STORE_VERSION = 3


@dataclass(frozen=True)
class StoredImage:
    """What was measured on one image.

    Attributes:
        attempts: features under each profile that suits the image.
        own: features under the profile of the image's own task, of known images as they are; a known image may well
            suit others only (a scan with thinner slices than those trained on), and is still one that the check knows.
        recognised: task whose known images are nearest by the model's own reference.
        dimensions: from `dimensions_of`.
        dice: mean over labels against the truth on the network's grid, None without truth.
        disagreement: by way of predicting several times.
    """

    attempts: tuple[ImageFeatures, ...]
    own: ImageFeatures | None
    recognised: str
    dimensions: NDArray[np.float64]
    dice: float | None
    disagreement: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Repeats:
    """How images are predicted several times.

    Attributes:
        passes: of Monte Carlo dropout; 0 for none.
        rate: share of activations that dropout sets to 0.
        ensemble: further networks of the same tasks; none for no ensemble.
    """

    passes: int = 0
    rate: float = 0.1
    ensemble: Sequence[Predictor] = ()

    def fingerprint(self, way: str) -> str:
        """Changes with all that a way's predictions depend on, so that no stored result of other settings is taken."""
        members = [network_digest(predictor.network) for predictor in self.ensemble]
        settings = members if way == ENSEMBLE else [self.passes, self.rate]
        return fingerprint(settings)[:8]


class FeatureStore:
    """Measures images with a network, once.

    Files are named after everything that their content depends on: what the image's files hold, what is done to it, and
    the tasks of the model. The folder belongs to the network's weights.

    Args:
        predictor: gives tasks and profiles.
        network: the predictor's own, or another of the same architecture as a control; None for an imported model.
        folder: for the files.
        repeats: further predictions of each image that is not a training image.
        contents: knows what files hold; stores of several networks may share it.
    """

    def __init__(
        self,
        predictor: Subject,
        network: SegmentationNetwork | None,
        folder: Path,
        repeats: Repeats | None = None,
        contents: FileContents | None = None,
    ) -> None:
        self.predictor, self.folder = predictor, folder
        self._network, self._look = network, _look(predictor, network)
        self.repeats = repeats or Repeats()
        self._contents = contents or FileContents()
        self._tasks = [_meaning(task) for task in predictor.manifest.tasks]
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, entry: Entry) -> StoredImage | None:
        """The image's features; None when it cannot be prepared (a crop can leave nothing but air)."""
        name = self._name(entry)
        about = self.folder / f"{name}.json"
        if not about.is_file():
            try:
                self._measure(entry, name, about)
            except InputError as error:
                write_json_file(about, {"refused": str(error)})
            # Images differ in size: what a large one needed would stay with the process through all the small ones.
            release_freed_memory()
        facts: dict[str, Any] = json.loads(about.read_text(encoding="utf-8"))
        if "refused" in facts:
            return None
        attempts = tuple(load_features(self._attempt_path(name, n)) for n in range(facts["attempts"]))
        recognised = min(self._nearest(attempt) for attempt in attempts)[1]
        repeated = {} if entry.family == TRAINING else self._repeated(entry, name, recognised)
        own = None if facts["own"] is None else load_features(self._attempt_path(name, facts["own"]))
        return StoredImage(attempts, own, recognised, np.array(facts["dimensions"]), facts["dice"], repeated)

    def _name(self, entry: Entry) -> str:
        """File name of an image, which no other content of its files has."""
        content = [case_content(case, self._contents) for case in entry.cases]
        return f"{entry.key}-{fingerprint([STORE_VERSION, PREPARED_BY, LABELS_BY, self._tasks, content])[:12]}"

    def _repeated(self, entry: Entry, name: str, task: str) -> dict[str, NDArray[np.float64]]:
        wanted = [way for way, on in ((MC_DROPOUT, self.repeats.passes), (ENSEMBLE, self.repeats.ensemble)) if on]
        result = {}
        for way in wanted:
            path = self.folder / f"{name}.{way}-{self.repeats.fingerprint(way)}.{task}.json"
            if not path.is_file():
                write_json_file(path, self._repeat(entry, task, way).tolist())
            result[way] = np.array(json.loads(path.read_text(encoding="utf-8")))
        return result

    def _attempt_path(self, name: str, number: int) -> Path:
        return self.folder / f"{name}.{number}.npz"

    @torch.inference_mode()
    def _measure(self, entry: Entry, name: str, about: Path) -> None:
        volume, labels = entry.load()
        own = [task.profile for task in self.predictor.manifest.tasks if task.name == entry.task]
        attempts = own if entry.family == TRAINING else self.predictor.candidate_profiles(volume)
        is_known = entry.family in (TRAINING, KNOWN)
        profiles = list(dict.fromkeys([*attempts, *(own if is_known else [])]))
        truth = None if labels is None else Truth(entry.task, labels, entry.label_names)
        value: float | None = None
        for number, profile in enumerate(profiles):
            features, dice = self._look(volume, profile, truth)
            save_features(self._attempt_path(name, number), features)
            value = value if dice is None else dice
        # The facts come last: their presence says that the image is complete. NaN (no label at all) becomes null.
        facts = {
            "attempts": len(attempts),
            "own": profiles.index(own[0]) if is_known else None,
            "dimensions": dimensions_of(volume).tolist(),
            "dice": value,
        }
        write_json_file(about, facts)

    def _nearest(self, features: ImageFeatures) -> tuple[float, str]:
        reference = reference_of(self.predictor)
        verdict = reference.judge(features.observed(reference.spec.layers), among=list(features.outputs))
        return verdict.score, verdict.nearest_task

    @torch.inference_mode()
    def _repeat(self, entry: Entry, task_name: str, way: str) -> NDArray[np.float64]:
        """Disagreement on a crop around the foreground, which bounds the cost."""
        task, device, network = self.predictor.manifest.task(task_name), self.predictor.device, self._network
        assert network is not None, "only networks of our own are asked several times"
        voxels = prepare(entry.load()[0], task.profile).voxels
        labels = predicted_labels(network, voxels, task.channels, device)
        crop = central_crop(voxels, labels, MAX_CROP_VOXELS, network.architecture.total_stride)
        if way == ENSEMBLE:
            members = [(network, task), *((p.network, p.manifest.task(task_name)) for p in self.repeats.ensemble)]
            return disagreement_of(ensemble_predictions(members, crop, device=device))
        generator = torch.Generator(device).manual_seed(zlib.crc32(entry.key.encode()))
        passes, rate = self.repeats.passes, self.repeats.rate
        return disagreement_of(
            dropout_predictions(network, task, crop, device=device, generator=generator, passes=passes, rate=rate)
        )


def _meaning(task: TaskInfo) -> list[Any]:
    """What features and Dice of a task depend on beside the weights."""
    return [task.name, to_plain(task.profile), task.channel_start, [[label.name, label.value] for label in task.labels]]


def _look(predictor: Subject, network: SegmentationNetwork | None) -> Look:
    if isinstance(predictor, ImportedPredictor):
        return ImportedLook(predictor)
    return OwnLook(predictor, predictor.network if network is None else network)


def reference_of(predictor: Subject) -> SpectralReference:
    """What the model compares images with.

    Raises:
        ModelError: it has no reference.
    """
    if isinstance(predictor, ImportedPredictor):
        return required_reference(predictor.model)
    return predictor.model.reference


def network_digest(*networks: nn.Module) -> str:
    """Short SHA-256 of the weights: features belong to them, whatever reference a model file holds."""
    if len(networks) == 1:
        return weights_digest(networks[0].state_dict())[:12]
    weights = {f"{n}.{name}": w for n, network in enumerate(networks) for name, w in network.state_dict().items()}
    return weights_digest(weights)[:12]
