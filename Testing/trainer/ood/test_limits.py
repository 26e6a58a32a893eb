"""Limits and shares of the benchmark from both of their sides, who is held out, and what the seeds decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.reference import ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import signature_spec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_images, write_tiny_model
from Testing.trainer.seen_groups import stand_in, trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import Dataset, read_dataset
from trainer.layout.case import Case
from trainer.ood.catalogue import ARTEFACT, KNOWN, LEFT_OUT, MATCHED, REAL, TRAINING, Entry, catalogue
from trainer.ood.detector.sample import Sample
from trainer.ood.findings import HARMFUL, ImageScores, families_of, summarise
from trainer.ood.localisation import cell_auroc, measure_localisation
from trainer.ood.separation import false_positive_rate
from trainer.ood.shipped_check import judge, shipped_figures
from trainer.reference.law_fitting import fit_limits
from trainer.reference.left_out_score import left_out_scores
from trainer.reference.spectral_reference import fit_reference


def scored(family: str, source: str, name: str, dice: float | None, score: float = 0.0) -> ImageScores:
    task = "A" if family in (KNOWN, ARTEFACT) else ""
    return ImageScores(family, source, name, name, task, "", dice, {"d": score})


@pytest.mark.parametrize("fall, harmful", [(0.09, False), (0.0999, False), (0.1001, True), (0.11, True)])
def test_an_artefact_is_harmful_when_dice_falls_by_a_tenth(fall: float, harmful: bool) -> None:
    rows = [scored(KNOWN, "A", "one", 0.8), scored(ARTEFACT, "noise", "one", 0.8 - fall)]
    assert bool(families_of(rows)[HARMFUL]) is harmful


def test_at_the_threshold_an_image_is_still_accepted() -> None:
    known = [float(n) for n in range(101)]
    assert false_positive_rate(known, [95.0]) == 1.0
    assert false_positive_rate(known, [95.01]) == 0.0


def test_intervals_follow_from_the_seed_and_figures_do_not() -> None:
    rng = np.random.default_rng(0)
    rows = [scored(KNOWN, "A", f"k{n}", None, float(rng.normal(0))) for n in range(15)]
    rows += [scored(REAL, "X", f"r{n}", None, float(rng.normal(1))) for n in range(15)]
    first, again, other = (summarise(rows, seed)["d"][REAL] for seed in (1, 1, 2))
    assert first == again
    assert first["auroc_interval"] != other["auroc_interval"]
    assert first["auroc"] == other["auroc"]
    assert first["auroc_interval"][0] < first["auroc"] < first["auroc_interval"][1]


PROFILE = Profile("p", "spacing", Intensity("percentile", 0.0, 100.0), spacing_zyx_mm=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("rows, counts", [(9, False), (10, True), (11, True)])
def test_a_cell_counts_as_inserted_from_one_half_on(rows: int, counts: bool) -> None:
    # Of 20 rows of a cell 9 are not enough, 10 are. Linear resampling to the same grid changes nothing.
    image = prepare(Volume(np.random.default_rng(0).random((1, 40, 40), dtype=np.float32), np.eye(4), ""), PROFILE)
    inserted = np.zeros((1, 40, 40), dtype=bool)
    inserted[0, :rows, :20] = True
    found = cell_auroc(inserted.astype(np.float32), inserted, image, (1, 20, 20))
    assert found == (1.0 if counts else None)


class AllSeeing:
    """Marks exactly what is not as it was in the dataset's images."""

    def __init__(self, predictor: Predictor, known: Dataset) -> None:
        self.manifest = predictor.manifest
        self.model = SimpleNamespace(digest="digest")
        self._images = [case.read_image() for case in known.cases]

    def locate(self, volume: Volume) -> tuple[Any, np.ndarray]:
        """A verdict and the map."""
        before = next(image for image in self._images if image.name == volume.name)
        verdict = SimpleNamespace(nearest_task="Dataset001_Balls", is_ood=True)
        return verdict, np.abs(volume.voxels - before.voxels).astype(np.float32)


def test_a_map_that_sees_everything_is_perfect_and_the_map_before_says_nothing(tmp_path: Path) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "m.mts.safetensors"), "cpu")
    balls = BallDataset("Dataset001_Balls", (2.0, 2.0, 2.0), shape=(24, 28, 28), patients=8)
    folder = balls.write(tmp_path)
    foreign = BallDataset("Foreign", (2.0, 2.0, 2.0), shape=(24, 28, 28), patients=1).write(tmp_path / "other")
    images = sorted((foreign / "imagesTr").iterdir())
    # No group of these was trained on: all eight are held out, of which six are taken.
    somebody = trained_on({"Dataset001_Balls": ["somebody"]})
    all_seeing = AllSeeing(predictor, read_dataset(folder))
    all_seeing.manifest = replace(predictor.manifest, training=somebody)

    def places(seed: int) -> dict[str, Any]:
        return measure_localisation(all_seeing, [folder], images, tmp_path / f"{seed}.json", seed=seed)  # type: ignore[arg-type]

    found = places(0)
    assert len({row["image"] for row in found["images"]}) == 6
    assert [row["kind"] for row in found["images"][:2]] == ["patch", "streak"]
    assert all(row["auroc"] > 0.95 for row in found["images"])
    assert {row["control"] for row in found["images"]} == {0.5}
    assert (found["patch"]["control"], found["streak"]["control"]) == (0.5, 0.5)
    assert {row["source"] for row in found["images"] if row["kind"] == "streak"} == {""}


def planar_case(name: str, group: str) -> Case:
    return Case(name, Path(f"{name}.png"), Path(f"{name}_label.png"), group)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[Entry]:
    """Known images of patients p0 (two scans) to p4, of whom p0 and p3 were held out; thirty others."""
    monkeypatch.setattr(Case, "read_image", lambda case: SimpleNamespace(is_planar=True))
    known = [planar_case("p0a", "p0"), planar_case("p0b", "p0"), *(planar_case(f"p{n}", f"p{n}") for n in range(1, 5))]
    others = [planar_case(f"o{n:02d}", f"o{n:02d}") for n in range(30)]
    datasets = [
        Dataset(Path(name), name, "X-ray", "chest", {1: "lung"}, tuple(cases))
        for name, cases in (("Known", known), ("Other", others))
    ]
    training = trained_on({"Known": ["p1", "p2", "p4"]})
    manifest = SimpleNamespace(tasks=[stand_in("Known")], training=training, is_planar=True)
    return catalogue(SimpleNamespace(manifest=manifest), datasets, [], artefact_cases=2)  # type: ignore[arg-type]


def test_a_dataset_that_is_no_task_gives_no_patient_whom_a_training_of_the_network_has_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A task that was left out of the model since, or one of the model that it was started from.
    monkeypatch.setattr(Case, "read_image", lambda case: SimpleNamespace(is_planar=True))
    known = [planar_case(f"p{n}", f"p{n}") for n in range(5)]
    others = [planar_case(f"o{n}", f"o{n}") for n in range(4)]
    datasets = [
        Dataset(Path(name), name, "X-ray", "chest", {1: "lung"}, tuple(cases))
        for name, cases in (("Known", known), ("Other", others))
    ]
    training = trained_on({"Known": ["p1", "p2", "p4"], "Other": ["o0", "o3"]})
    manifest = SimpleNamespace(tasks=[stand_in("Known")], training=training, is_planar=True)
    found = catalogue(SimpleNamespace(manifest=manifest), datasets, [], artefact_cases=1)  # type: ignore[arg-type]
    assert sorted(names(found, LEFT_OUT)) == ["o1", "o2"]


def names(entries: list[Entry], family: str) -> list[str]:
    return [entry.name for entry in entries if entry.family == family]


def test_known_images_are_those_of_held_out_patients_and_all_their_scans(entries: list[Entry]) -> None:
    assert names(entries, KNOWN) == ["p0a", "p0b", "p3"]
    assert names(entries, TRAINING) == ["p1", "p2", "p4"]


def test_of_a_source_24_images_are_taken_and_6_of_them_on_a_known_grid(entries: list[Entry]) -> None:
    left_out = names(entries, LEFT_OUT)
    assert len(left_out) == len(set(left_out)) == 24
    assert (left_out[0], left_out[-1]) == ("o00", "o29")
    matched = [entry for entry in entries if entry.family == MATCHED]
    assert len(matched) == 6
    assert {entry.like.name for entry in matched if entry.like} == {"p0a"}
    assert {entry.task for entry in entries if entry.family in (LEFT_OUT, MATCHED)} == {""}


def test_one_scan_of_each_held_out_patient_is_spoilt_by_one_fault_at_three_strengths(entries: list[Entry]) -> None:
    spoilt = [entry for entry in entries if entry.family == ARTEFACT]
    assert {entry.name for entry in spoilt} == {"p0a", "p3"}
    assert "wrong_spacing" not in {entry.source for entry in spoilt}
    assert len(spoilt) == 2 * 14 * 3
    seeds: dict[tuple[str, str], set[int]] = {}
    for entry in spoilt:
        assert entry.artefact is not None
        assert entry.artefact.kind == entry.source
        seeds.setdefault((entry.name, entry.source), set()).add(entry.artefact.seed)
    assert [entry.artefact.severity for entry in spoilt if entry.artefact][:3] == [1, 2, 3]
    # One seed for the three strengths; others for other images and kinds.
    assert {len(found) for found in seeds.values()} == {1}
    assert len({seed for found in seeds.values() for seed in found}) == 2 * 14


def far_off(image: ReferenceImage) -> ReferenceImage:
    """The same image with feature maps of quite another scale and place."""
    spectra = {
        name: LayerSpectrum(100 * part.singular_values, part.voxels, part.channel_means + 50)
        if isinstance(part, LayerSpectrum)
        else part
        for name, part in image.spectra.items()
    }
    return replace(image, spectra=spectra)


def test_the_shares_of_the_shipped_check_are_those_of_its_limits(tmp_path: Path) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "m.mts.safetensors"), "cpu")
    tasks = [task.name for task in predictor.manifest.tasks]
    known = tiny_images()
    spec = predictor.manifest.ood.spec
    reference = fit_reference(spec, tasks, known)
    limits = fit_limits(left_out_scores(spec, reference, known), 2)

    def judged(number: int, family: str, image: Any, source: str, task: str) -> tuple[Entry, Sample]:
        attempt = SimpleNamespace(observed=lambda layers: image.spectra, outputs=dict.fromkeys(tasks))
        sample = Sample(str(number), image.group, task, (attempt,), "", np.zeros(6))  # type: ignore[arg-type]
        return Entry(family, source, str(number), image.group, task, Path("x")), sample

    held_out = [image for image in known if image.held_out]
    images = [judged(n, KNOWN, image, tasks[image.task], tasks[image.task]) for n, image in enumerate(held_out)]
    foreign = [far_off(image) for image in known]
    images += [judged(n, REAL, image, "foreign", "") for n, image in enumerate(foreign)]
    images += [judged(n, REAL, image, "alike", "") for n, image in enumerate(known[2:5])]
    images += [judged(n, MATCHED, image, "folder 0", "") for n, image in enumerate(known[:2])]
    found = shipped_figures(predictor, known, images)

    def is_beyond(sample: Sample) -> bool:
        score, task = judge(reference, sample)
        return score > limits.limit(tasks.index(task))

    flagged = {
        family: [is_beyond(sample) for entry, sample in images if entry.family == family] for family in (REAL, MATCHED)
    }
    count = len(foreign)
    assert all(flagged[REAL][:count])
    assert not any(flagged[REAL][count:] + flagged[MATCHED])
    assert found["limits"] == pytest.approx({name: limits.limit(task) for task, name in enumerate(tasks)})
    alarms = found["false_alarms"]
    # Of three training patients none has a score of his own.
    assert (alarms["images"], alarms["patients"]) == (6, 6)
    assert alarms["rate"] == pytest.approx(np.mean([own["rate"] for own in alarms["by_task"].values()]))
    assert alarms["interval"][0] <= alarms["rate"] < alarms["interval"][1]
    assert found["sensitivity"] == pytest.approx({family: np.mean(flags) for family, flags in flagged.items()})
    assert found["sensitivity_by_source"] == pytest.approx(
        {
            "real: foreign": 1.0, "real: alike": 0.0, "matched: folder 0": 0.0,
        }
    )  # fmt: skip
    assert found["known_images"] == len(held_out)
    assert {name: figures["patients"] for name, figures in found["p_value_within_tasks"].items()} == {
        name: len({image.group for image in held_out if tasks[image.task] == name}) for name in tasks
    }
    # All or none of the images of few patients: no share is without an interval.
    for family in (REAL, MATCHED):
        low, high = found["sensitivity_interval"][family]
        assert low <= found["sensitivity"][family] <= high
        assert high - low > 0.1
    for family in (REAL, MATCHED):
        balanced = (found["specificity"] + found["sensitivity"][family]) / 2
        assert found["balanced_accuracy"][family] == pytest.approx(balanced)
    assert found["recognised"] == np.mean([judge(reference, s)[1] == e.task for e, s in images if e.family == KNOWN])


def test_the_profile_under_which_an_image_lies_nearest_decides_about_it() -> None:
    known = tiny_images()
    tasks = ["Dataset001_Balls", "Dataset002_Cubes"]
    reference = fit_reference(signature_spec(ARCHITECTURE, "composite", ARCHITECTURE.layer_names), tasks, known)

    def attempt(image: Any) -> Any:
        return SimpleNamespace(observed=lambda layers: image.spectra, outputs=dict.fromkeys(tasks))

    def judged(*images: Any) -> tuple[float, str]:
        attempts = tuple(attempt(image) for image in images)
        return judge(reference, Sample("x", "x", "", attempts, "", np.zeros(6)))

    near, far = judged(known[0]), judged(far_off(known[0]))
    assert near[0] < far[0]
    assert judged(known[0], far_off(known[0])) == judged(far_off(known[0]), known[0]) == near
