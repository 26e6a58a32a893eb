"""The predictor's contract: check and segment agree, wrong requests are refused, and what matters is warned of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import InputError, ResourceError, UsageError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import reference_tensors, save_model
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.prediction import pass_parts
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.tiny_model import (
    tiny_images,
    tiny_manifest,
    tiny_network,
    tiny_reference,
    write_tiny_model,
)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors"), "cpu")


def noise(shape: tuple[int, int, int] = (9, 12, 10), spacing_mm: float = 2.0) -> Volume:
    voxels = np.random.default_rng(3).normal(100, 20, shape).astype(np.float32)
    return Volume(voxels, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]), "noise")


def with_profiles(folder: Path, *profiles: Profile) -> Predictor:
    """The tiny model with one profile per task."""
    manifest = tiny_manifest()
    tasks = tuple(replace(task, profile=p) for task, p in zip(manifest.tasks, profiles, strict=True))
    images = tiny_images()
    tensors = reference_tensors(images, tiny_reference())
    save_model(folder / "m.mts.safetensors", replace(manifest, tasks=tasks), tiny_network(), tensors)
    return Predictor.load(folder / "m.mts.safetensors", "cpu")


def spacing_profile(name: str, mm: float, intensity: Intensity = Intensity("percentile", 1.0, 99.0)) -> Profile:  # noqa: B008
    return Profile(name, "spacing", intensity, spacing_zyx_mm=(mm, mm, mm))


def test_check_gives_the_verdict_of_segment(predictor: Predictor) -> None:
    volume = noise()
    assert predictor.check(volume) == predictor.segment(volume).verdict


def test_two_runs_give_the_same_result(predictor: Predictor) -> None:
    first, second = predictor.segment(noise()), predictor.segment(noise())
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.uncertainty, second.uncertainty)
    assert first.verdict == second.verdict


def test_auto_takes_the_task_with_the_nearest_known_images(predictor: Predictor) -> None:
    result = predictor.segment(noise())
    distances = result.verdict.distances
    assert result.task.name == result.verdict.nearest_task == min(distances, key=distances.__getitem__)


def test_a_named_task_is_used_even_when_another_is_nearer_and_the_user_is_told(predictor: Predictor) -> None:
    volume = noise()
    nearest = predictor.check(volume).nearest_task
    other = next(task.name for task in predictor.manifest.tasks if task.name != nearest)
    result = predictor.segment(volume, other)
    assert result.task.name == other
    assert any(nearest in warning and other in warning for warning in result.warnings)
    assert not any("looks more like" in w for w in predictor.segment(volume, nearest).warnings)


def test_an_unknown_task_is_wrong_use_and_the_known_ones_are_listed(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="Dataset001_Balls, Dataset002_Cubes"):
        predictor.segment(noise(), "Dataset003_Cones")


def test_a_2_d_image_is_refused_by_a_3_d_model(predictor: Predictor) -> None:
    with pytest.raises(InputError, match=r"2-D.*3-D"):
        predictor.check(noise((1, 12, 10)))
    with pytest.raises(InputError, match=r"2-D.*3-D"):
        predictor.segment(noise((12, 1, 10)), "Dataset001_Balls")


def test_a_3_d_image_is_refused_by_a_2_d_model(tmp_path: Path) -> None:
    planar = Predictor.load(write_tiny_model(tmp_path / "planar.mts.safetensors", is_planar=True), "cpu")
    with pytest.raises(InputError, match=r"3-D.*2-D"):
        planar.segment(noise())
    assert planar.segment(noise((1, 12, 10))).labels.shape == (1, 12, 10)


@pytest.mark.parametrize("name", ["gpu", "cuda:7", ""])
def test_an_unknown_device_is_wrong_use(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda or mps"):
        Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), name)


def test_a_missing_card_is_a_lack_of_resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    with pytest.raises(ResourceError, match="--device cpu"):
        Predictor.load(path, "cuda")
    assert Predictor.load(path).device.type == "cpu"


def test_an_empty_result_is_warned_of(tmp_path: Path) -> None:
    predictor = Predictor.load(write_tiny_model(tmp_path / "tiny.mts.safetensors"), "cpu")
    with torch.no_grad():
        predictor.network.head.bias[[0, 3]] += 1000
    result = predictor.segment(noise())
    assert not result.labels.any()
    assert f"no structure of {result.task.name} was found" in result.warnings
    report = result.report()
    assert report["uncertainty"]["mean_foreground"] is None
    assert all(label["mean_confidence"] is None and label["voxels"] == 0 for label in report["labels"])


def test_a_found_structure_is_not_warned_of(predictor: Predictor) -> None:
    result = predictor.segment(noise())
    assert result.labels.any()
    assert not any("was found" in warning for warning in result.warnings)


def test_an_image_out_of_distribution_says_so_first(predictor: Predictor) -> None:
    result = predictor.segment(noise())
    assert result.verdict.is_ood, "the tiny reference is invented, so every image is far from it"
    assert result.warnings[0].startswith("OUT OF DISTRIBUTION")


def test_what_was_mended_while_reading_is_passed_on(predictor: Predictor) -> None:
    volume = replace(noise(), warnings=("3 voxels were NaN",))
    assert predictor.segment(volume).warnings[0] == "3 voxels were NaN"


def test_much_coarser_voxels_are_warned_of(predictor: Predictor) -> None:
    words = "the voxels (4.1 × 4.1 × 4.1 mm) are much coarser than in the training images (2 × 2 × 2 mm)"
    words += "; the model saw them at 2.05 × 2.05 × 2.05 mm"
    for look in (predictor.segment, predictor.check):
        assert words in look(noise(spacing_mm=4.1)).warnings
        assert "coarser" not in " ".join(look(noise(spacing_mm=3.9)).warnings)


def test_lack_of_memory_changes_nothing_but_the_time(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = noise((12, 80, 12))
    expected = predictor.segment(volume)
    plain, failures = TorchBackend.first, []

    def first(self: TorchBackend, stage: str, window: torch.Tensor, pad_z: bool) -> torch.Tensor:
        if window.numel() > 16_000:
            failures.append(window.numel())
            raise RuntimeError("CUDA out of memory")
        return plain(self, stage, window, pad_z)

    # So little at a time that even this image can be taken in smaller parts.
    monkeypatch.setattr(pass_parts, "slab_voxels_for", lambda device: 2_000)
    monkeypatch.setattr(TorchBackend, "first", first)
    found = predictor.segment(volume)
    assert failures
    assert (found.labels == expected.labels).mean() > 0.999  # a tie may fall the other way by rounding
    np.testing.assert_allclose(found.uncertainty, expected.uncertainty, atol=2e-3)
    assert found.verdict.score == pytest.approx(expected.verdict.score, rel=1e-4)
    assert any("memory was short" in warning for warning in found.warnings)
    assert not any("memory" in warning for warning in expected.warnings)


def test_progress_rises_from_0_to_1(predictor: Predictor) -> None:
    told: list[tuple[float, str]] = []
    predictor.segment(noise(), progress=lambda share, step: told.append((share, step)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert [step for _, step in told][-2:] == ["labels", "done"]


def test_a_named_task_gives_what_auto_gives_for_the_same_task(predictor: Predictor) -> None:
    auto = predictor.segment(noise())
    named = predictor.segment(noise(), auto.task.name)
    np.testing.assert_array_equal(named.labels, auto.labels)
    np.testing.assert_allclose(named.uncertainty, auto.uncertainty, atol=1e-6)
    assert named.verdict.score == pytest.approx(auto.verdict.score, rel=1e-9)


def test_profiles_with_far_off_voxel_sizes_are_not_tried(tmp_path: Path) -> None:
    predictor = with_profiles(tmp_path, spacing_profile("fine", 0.2), spacing_profile("same", 2.0))
    assert predictor.segment(noise()).task.name == "Dataset002_Cubes"
    assert predictor.segment(noise(spacing_mm=0.2)).task.name == "Dataset001_Balls"


def test_profiles_that_fit_alike_are_all_tried_and_each_task_is_measured_under_its_own(tmp_path: Path) -> None:
    both = with_profiles(tmp_path, spacing_profile("a", 2.0), spacing_profile("b", 2.2))
    verdict = both.check(noise())
    alone = {task.name: both.segment(noise(), task.name).verdict for task in both.manifest.tasks}
    assert verdict.distances == {name: alone[name].distances[name] for name in alone}
    assert verdict.score == min(verdict.distances.values())


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_task_of_another_profile_is_a_rival_when_it_is_about_as_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    both = with_profiles(tmp_path, spacing_profile("a", 2.0), spacing_profile("b", 2.2))
    nearness = both.check(noise()).log_nearness
    nearest, other = sorted(nearness, key=lambda name: nearness[name])
    monkeypatch.setattr(
        "MultiTaskSegLib.runtime.prediction.recognition.CLOSE_CALL", factor * (nearness[other] - nearness[nearest])
    )
    found = both.check(noise())
    assert found.nearest_task == nearest
    assert found.rivals == ((other,) if factor > 1 else ())


def test_tasks_of_different_profiles_are_compared_in_the_same_units_as_those_of_one(tmp_path: Path) -> None:
    """A task whose images differ more has a larger unit, of which half counts, whichever profile the other has."""
    both = with_profiles(tmp_path, spacing_profile("a", 2.0), spacing_profile("b", 2.2))
    before = both.check(noise())
    nearest, other = sorted(before.log_nearness, key=lambda name: before.log_nearness[name])
    reference = both.model.reference
    # The nearest task's unit grows so much that by half of it the other one becomes nearer, though not by raw distance.
    task = reference.task_names.index(nearest)
    gap = before.log_nearness[other] - before.log_nearness[nearest]
    for scale in reference.scales.values():
        scale[task] *= np.exp(-(2.0 * gap + 0.2))
    after = both.check(noise())
    raised = after.log_nearness[nearest] - before.log_nearness[nearest]
    lowered = after.log_nearness[other] - before.log_nearness[other]
    logs = np.log([after.distances[name] / before.distances[name] for name in (nearest, other)])
    assert logs == pytest.approx([2.0 * gap + 0.2, 0.0])
    assert raised - lowered == pytest.approx(0.5 * (2.0 * gap + 0.2))
    assert after.nearest_task == other


def test_a_picture_without_air_is_not_taken_for_hounsfield_units(tmp_path: Path) -> None:
    ct = spacing_profile("ct", 2.0, Intensity("range", -200.0, 300.0))
    predictor = with_profiles(tmp_path, ct, spacing_profile("mr", 2.0))
    assert predictor.segment(noise()).task.name == "Dataset002_Cubes"
    air = noise()
    air.voxels[0] = -1000
    assert set(predictor.check(air).distances) == {"Dataset001_Balls", "Dataset002_Cubes"}


def test_a_constant_image_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="constant"):
        predictor.check(Volume(np.full((5, 6, 7), 3.0, dtype=np.float32), np.eye(4)))


def test_the_report_counts_voxels_and_averages_confidence_over_the_whole_image(predictor: Predictor) -> None:
    result = predictor.segment(noise())
    labels = np.random.default_rng(5).integers(0, 4, result.labels.shape, dtype=np.uint8)
    rows = replace(result, labels=labels).report()["labels"]
    for row in rows:
        chosen = labels == row["value"]
        assert row["voxels"] == chosen.sum()
        assert row["mean_confidence"] == pytest.approx(result.confidence[chosen].mean(), rel=1e-5)
    assert rows
