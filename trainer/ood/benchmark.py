"""The whole of ``ood-benchmark``: every detector on the same known and foreign images, for one or several models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import Variant
from MultiTaskSegLib.runtime.predictor import Predictor, open_predictor
from trainer.data.dataset import Dataset, read_datasets
from trainer.identity.file_content import MEMORY_NAME, FileContents
from trainer.ood.catalogue import (
    FOREIGN_FAMILIES,
    KNOWN,
    TRAINING,
    Entry,
    Subject,
    catalogue,
    require_foreign,
    require_unseen_by,
)
from trainer.ood.detector.detector import Detector, detectors, patch_detectors, ways_of
from trainer.ood.detector.feature_detector import Frodo
from trainer.ood.detector.sample import Sample
from trainer.ood.detector.spectral_detector import spectral_detectors
from trainer.ood.feature_store import FeatureStore, Repeats, network_digest, reference_of
from trainer.ood.findings import ImageScores, summarise
from trainer.ood.page import UNTRAINED, write_page
from trainer.ood.shipped_check import shipped_figures
from trainer.report.progress import Progress
from trainer.report.run_folder import write_json_file
from trainer.training.weight_standardization import initialize


@dataclass(frozen=True)
class BenchmarkSettings:
    """How much to measure.

    Attributes:
        families: of foreign images, see `FOREIGN_FAMILIES`.
        artefact_cases: held-out cases per task that are spoilt by every artefact.
        passes: of Monte Carlo dropout; 0 leaves it out.
        untrained: whether a network with random weights is measured beside, as a control; never of an imported model.
        seed: of the random weights and of the bootstrap.
        variant: of the signature that the shipped check is measured with; None for each model's own.
    """

    families: tuple[str, ...] = FOREIGN_FAMILIES
    artefact_cases: int = 2
    passes: int = 0
    untrained: bool = True
    seed: int = 0
    variant: Variant | None = None


@dataclass
class _Measured:
    """Samples of one network by family; training images apart."""

    training: list[Sample] = field(default_factory=list)
    images: list[tuple[Entry, Sample]] = field(default_factory=list)

    @property
    def held_out(self) -> list[Sample]:
        """Known images that the network was not trained on."""
        return [sample for entry, sample in self.images if entry.family == KNOWN]


def run_benchmark(
    models: Sequence[Path],
    known: Sequence[Path],
    foreign: Sequence[Path],
    output: Path,
    settings: BenchmarkSettings | None = None,
    ensemble: Sequence[Path] = (),
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """Measure the models one after the other; write ``metrics.json`` and ``report.html`` to ``output``.

    Args:
        models: model files; the first one is the one reported first, the others tell how far the figures depend on
            the training (seeds) or which dataset was left out.
        known: dataset folders; those that a model was not trained on count as foreign for it (``left-out``).
        foreign: folders with foreign images.
        output: folder; what was measured before is not measured again.
        settings: how much to measure.
        ensemble: models that together with the first one make an ensemble.
        stream: for progress.

    Raises:
        DatasetError: one side is empty for a model, or a foreign image is one of a task.
        ModelError: an imported model has no reference, or a member of the ensemble has seen patients whom the first
            model has not.
        UsageError: it takes several channels, or is to be asked several times.
    """
    settings = settings or BenchmarkSettings()
    datasets = read_datasets(known)
    subjects = [subject_of(path, bool(ensemble) or settings.passes > 0) for path in models]
    members = [Predictor.load(path) for path in ensemble]
    results = []
    for number, predictor in enumerate(subjects):
        repeats = Repeats(settings.passes, ensemble=members) if number == 0 else Repeats()
        figures = measure(predictor, datasets, foreign, output / "features", settings, repeats, stream)
        results.append({"model": predictor.manifest.name, "sha256": predictor.model.digest} | figures)
        write_json_file(output / "metrics.json", {"models": results})
    write_page(results, output / "report.html")
    return {"models": results}


def subject_of(path: Path, is_repeated: bool) -> Subject:
    """A model to measure.

    Args:
        path: of its file.
        is_repeated: whether images are predicted several times.

    Raises:
        ModelError: it cannot be loaded, or has no reference.
        UsageError: it is imported, and takes several channels or is to predict several times.
    """
    predictor = open_predictor(path)
    if not isinstance(predictor, ImportedPredictor):
        return predictor
    reference_of(predictor)
    (task,) = predictor.manifest.tasks
    if task.input_count > 1:
        raise UsageError(
            f"the model {predictor.manifest.name} takes {task.input_count} channels, and foreign images have one",
            remedy="Measure a model of one channel",
        )
    if is_repeated:
        raise UsageError("an imported model predicts once", remedy="Leave out --passes and --ensemble")
    return predictor


def measure(
    predictor: Subject,
    datasets: Sequence[Dataset],
    foreign: Sequence[Path],
    folder: Path,
    settings: BenchmarkSettings,
    repeats: Repeats,
    stream: TextIO | None = None,
) -> dict[str, Any]:
    """All figures of one model."""
    families = (TRAINING, KNOWN, *settings.families)
    entries = [e for e in catalogue(predictor, datasets, foreign, settings.artefact_cases) if e.family in families]
    name = predictor.manifest.name
    contents = FileContents(folder / MEMORY_NAME)
    require_unseen_by(repeats.ensemble, entries)
    require_foreign(entries, contents)
    stores = _stores(predictor, folder, settings, repeats, contents)
    progress = Progress(len(entries) * len(stores), f"measuring {name}", stream)
    ticks = iter(range(1, 10**9))
    measured = {key: _samples(store, entries, lambda: progress.update(next(ticks))) for key, store in stores.items()}
    contents.keep()
    trained = measured[name]
    rows = [ImageScores.of(entry, sample) for entry, sample in trained.images]
    _score(_detectors(predictor, trained), trained, rows, "")
    if UNTRAINED in measured:
        layers = predictor.manifest.architecture.layer_names
        controls: list[Detector] = [*spectral_detectors(layers), Frodo(layers, per_task=True)]
        _score(controls, measured[UNTRAINED], rows, f"{UNTRAINED}: ")
    images = _reference_images(predictor, trained)
    shipped = shipped_figures(predictor, images, trained.images, settings.variant)
    return {"detectors": summarise(rows, settings.seed), "shipped": shipped, "images": [row.as_dict() for row in rows]}


def _stores(
    predictor: Subject, folder: Path, settings: BenchmarkSettings, repeats: Repeats, contents: FileContents
) -> dict[str, FeatureStore]:
    """Of the model, and of the control where there is one."""
    name = predictor.manifest.name
    if isinstance(predictor, ImportedPredictor):
        own = folder / network_digest(*predictor.model.networks)
        return {name: FeatureStore(predictor, None, own, None, contents)}
    networks = {name: predictor.network}
    if settings.untrained:
        networks[UNTRAINED] = untrained_network(predictor, settings.seed)
    return {
        key: FeatureStore(
            predictor, network, folder / network_digest(network), repeats if key == name else None, contents
        )
        for key, network in networks.items()
    }


def _detectors(predictor: Subject, measured: _Measured) -> list[Detector]:
    if isinstance(predictor, ImportedPredictor):
        return patch_detectors(predictor.manifest.encoder_layers)
    layers = predictor.manifest.architecture.layer_names
    return detectors(layers, ways_of([sample for _, sample in measured.images]))


def untrained_network(predictor: Predictor, seed: int) -> SegmentationNetwork:
    """A network of the same architecture with random weights: what the shape of the network alone can tell."""
    network = SegmentationNetwork(predictor.manifest.architecture)
    initialize(network, torch.Generator().manual_seed(seed))
    network = network.eval().requires_grad_(False).to(predictor.device)
    # Without this, oneDNN converts every feature map between layouts, several times slower.
    return network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def _reference_images(predictor: Subject, measured: _Measured) -> list[ReferenceImage]:
    index = {task.name: n for n, task in enumerate(predictor.manifest.tasks)}
    sides = [(sample, False) for sample in measured.training] + [(sample, True) for sample in measured.held_out]
    images = []
    for sample, held_out in sides:
        assert sample.own is not None
        images.append(
            ReferenceImage(index[sample.task], sample.group, held_out, sample.own.observed(sample.own.layers))
        )
    return images


def _samples(store: FeatureStore, entries: Sequence[Entry], advance: Callable[[], None]) -> _Measured:
    measured = _Measured()
    for entry in entries:
        image = store.get(entry)
        advance()
        if image is None:
            continue
        sample = Sample(
            entry.name,
            entry.group,
            entry.task,
            image.attempts,
            image.recognised,
            image.dimensions,
            image.disagreement,
            image.dice,
            image.own,
        )
        if entry.family == TRAINING:
            measured.training.append(sample)
        else:
            measured.images.append((entry, sample))
    return measured


def _score(chosen: Sequence[Detector], measured: _Measured, rows: Sequence[ImageScores], prefix: str) -> None:
    for detector in chosen:
        detector.fit(measured.training, measured.held_out)
        for row, (_, sample) in zip(rows, measured.images, strict=True):
            row.scores[prefix + detector.name] = detector.score(sample)
