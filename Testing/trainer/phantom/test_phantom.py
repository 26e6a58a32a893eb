"""Phantoms: exact volumes, geometry that moves voxels and not anatomy, determinism, groups and folders."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError
from trainer.phantom import brain, heart, torso
from trainer.phantom.artefact import ARTEFACTS
from trainer.phantom.cohort import write_cohort, write_dataset
from trainer.phantom.scan import Scan, centred_grid, render, stored_order, voxel_centres_mm
from trainer.phantom.shape import Ellipsoid, Tube, Warp, WaveField, rotation_matrix
from trainer.phantom.task import FOREIGN, TASKS, draw_exams, draw_foreign

STILL = 0.0


def plain_scan(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], **changes: object) -> Scan:
    """A scan without any fault."""
    scan = Scan(
        shape=shape,
        ijk_to_scene=centred_grid(shape, spacing_mm, np.eye(3), np.zeros(3)),
        scene_to_lps=np.eye(4),
        sub_slices=1,
        blur_voxels=(0.0, 0.0, 0.0),
        noise=0.0,
        bias=None,
        bias_strength=0.0,
        gain=1000.0,
        is_magnitude=True,
        noise_seed=0,
    )
    return replace(scan, **changes)


def without_warp(anatomy: brain.Brain | heart.Heart | torso.Torso) -> brain.Brain | heart.Heart | torso.Torso:
    return replace(anatomy, warp=replace(anatomy.warp, amplitude_mm=STILL))


def label_volume_mm3(labels: NDArray[np.uint8], value: int, scan: Scan) -> float:
    return float(np.count_nonzero(labels == value) * abs(np.linalg.det(scan.ijk_to_scene[:3, :3])))


def test_rotation_matrix_is_a_rotation() -> None:
    turn = rotation_matrix((0.3, -0.8, 2.0))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1.0)


def test_rotation_about_z_takes_x_to_y() -> None:
    np.testing.assert_allclose(rotation_matrix((0, 0, np.pi / 2)) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_turned_ellipsoid_keeps_its_volume_on_a_turned_grid() -> None:
    solid = Ellipsoid((3.0, -5.0, 2.0), (21.0, 13.0, 9.0), (0.4, 0.2, -0.9))
    shape = (60, 60, 60)
    matrix = centred_grid(shape, (1.0, 1.1, 0.9), rotation_matrix((0.1, 0.7, 0.3)), np.zeros(3))
    inside = solid.contains(voxel_centres_mm(shape, matrix))
    assert inside.sum() * 0.99 == pytest.approx(solid.volume_mm3, rel=0.01)


def test_straight_tube_has_the_volume_of_a_cylinder_and_a_ball() -> None:
    tube = Tube(((-3.0, 4.0, -11.0), (0.75, -1.0, 2.75), (3.0, -4.0, 11.0)), 7.3)
    points = voxel_centres_mm((80, 60, 60), centred_grid((80, 60, 60), (0.5, 0.5, 0.5), np.eye(3), np.zeros(3)))
    expected = np.pi * 7.3**2 * np.linalg.norm((6, 8, 22)) + 4 / 3 * np.pi * 7.3**3
    assert tube.contains(points).sum() / 8 == pytest.approx(expected, rel=0.01)


def test_wave_field_has_mean_zero_and_variance_one_and_its_relative_form_the_same_zeros() -> None:
    field = WaveField.draw(np.random.default_rng(0), 12.0, 24)
    points = np.random.default_rng(1).uniform(-400, 400, size=(60_000, 3)).astype(np.float32)
    values, relative = field(points), field.relative(points)
    assert values.mean() == pytest.approx(0.0, abs=0.02)
    assert values.std() == pytest.approx(1.0, abs=0.02)
    assert np.abs(relative).max() <= 1
    assert np.array_equal(np.sign(values), np.sign(relative))


def test_ventricle_labels_have_the_volume_of_their_ellipsoids() -> None:
    person = replace(without_warp(brain.Brain.draw(np.random.default_rng(5))), size=(1.0, 1.0, 1.0))
    scan = plain_scan((52, 90, 50), (1.0, 1.0, 1.0))
    matrix = centred_grid(scan.shape, (1.0, 1.0, 1.0), np.eye(3), np.array([0.0, 0.0, 12.0]))
    picture = render(person, replace(scan, ijk_to_scene=matrix), "x")
    expected = sum(solid.volume_mm3 for solid in person.ventricles())
    assert label_volume_mm3(picture.labels, 3, scan) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("share", [1.0, 0.65])
def test_left_ventricle_and_myocardium_have_the_volume_of_cut_ellipsoids(share: float) -> None:
    person = without_warp(heart.Heart.draw(np.random.default_rng(2)))
    assert isinstance(person, heart.Heart)
    person = person.contracted(share)
    scan = plain_scan((150, 80, 80), (1.0, 1.0, 1.0))
    matrix = centred_grid(scan.shape, (1.0, 1.0, 1.0), np.eye(3), np.array([0.0, 0.0, -30.0]))
    labels = render(person, replace(scan, ijk_to_scene=matrix), "x").labels
    assert label_volume_mm3(labels, 1, scan) == pytest.approx(person.cavity_volume_mm3(), rel=0.01)
    outer = replace(
        person,
        cavity_radius_mm=person.cavity_radius_mm + person.wall_mm,
        cavity_length_mm=person.cavity_length_mm + person.wall_mm,
    )
    wall_mm3 = outer.cavity_volume_mm3() - person.cavity_volume_mm3()
    assert label_volume_mm3(labels, 2, scan) == pytest.approx(wall_mm3, rel=0.01)


def test_contraction_keeps_the_area_of_the_heart_muscle() -> None:
    person = heart.Heart.draw(np.random.default_rng(3))
    late = person.contracted(0.6)

    def area_mm2(one: heart.Heart) -> float:
        return (one.cavity_radius_mm + one.wall_mm) ** 2 - one.cavity_radius_mm**2

    assert late.cavity_radius_mm == pytest.approx(0.6 * person.cavity_radius_mm)
    assert area_mm2(late) == pytest.approx(area_mm2(person))
    assert person.contracted(1.0).wall_mm == pytest.approx(person.wall_mm)


def test_kidney_labels_have_the_volume_of_two_ellipsoids() -> None:
    person = replace(without_warp(torso.Torso.draw(np.random.default_rng(4))), size=(1.0, 1.0, 1.0))
    scan = plain_scan((160, 70, 200), (1.0, 1.0, 1.0), is_magnitude=False, gain=1.0)
    matrix = centred_grid(scan.shape, (1.0, 1.0, 1.0), np.eye(3), np.array([0.0, 35.0, -20.0]))
    labels = render(person, replace(scan, ijk_to_scene=matrix), "x").labels
    expected = sum(solid.volume_mm3 for solid in person.kidneys())
    assert label_volume_mm3(labels, 2, scan) == pytest.approx(expected, rel=0.01)


def test_ct_phantom_shows_hounsfield_values() -> None:
    exam = draw_exams(TASKS[2], seed=0, cases=1)[0]
    picture = replace(exam, scan=replace(exam.scan, noise=0.0)).render()
    voxels = picture.volume.voxels
    assert np.percentile(voxels, 1) == pytest.approx(-1000, abs=1)
    assert 60 < np.median(voxels[picture.labels == 1]) < 140
    assert voxels.max() > 300


def test_storing_a_grid_in_another_order_moves_no_voxel_centre() -> None:
    shape, matrix = (4, 5, 6), centred_grid((4, 5, 6), (1, 2, 3), rotation_matrix((0.1, 0.2, 0.3)), np.ones(3))
    other_shape, other = stored_order(shape, matrix, (1, 2, 0), (True, False, True))
    assert other_shape == (6, 4, 5)

    def sorted_rows(points: NDArray[np.float32]) -> NDArray[np.float64]:
        rows = np.round(points.astype(np.float64), 4)
        return rows[np.lexsort(rows.T)]

    centres, others = voxel_centres_mm(shape, matrix), voxel_centres_mm(other_shape, other)
    np.testing.assert_allclose(sorted_rows(centres), sorted_rows(others), atol=2e-4)


def test_label_of_a_world_point_does_not_depend_on_the_storage_order() -> None:
    person = torso.Torso.draw(np.random.default_rng(0))
    scan = plain_scan((12, 20, 24), (14.0, 12.0, 16.0), is_magnitude=False, gain=1.0)
    shape, matrix = stored_order(scan.shape, scan.ijk_to_scene, (2, 0, 1), (False, True, True))
    one = render(person, scan, "a").labels
    other = render(person, replace(scan, shape=shape, ijk_to_scene=matrix), "b").labels
    # Index axes (i, j, k) of the other are (k, i, j) of the first, so its array axes Z, Y, X are Y, X, Z of the first.
    np.testing.assert_array_equal(other[::-1, ::-1, :], one.transpose(1, 2, 0))


def test_rician_noise_in_air_has_the_mean_of_a_rayleigh_distribution() -> None:
    class Nothing:
        def paint(self, points_mm: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            return np.zeros(len(points_mm), np.float32), np.zeros(len(points_mm), np.uint8)

    magnitude = render(Nothing(), plain_scan((40, 40, 40), (1, 1, 1), noise=0.1), "x").volume.voxels
    assert magnitude.mean() == pytest.approx(1000 * 0.1 * np.sqrt(np.pi / 2), rel=0.01)
    signed = render(Nothing(), plain_scan((40, 40, 40), (1, 1, 1), noise=0.1, is_magnitude=False), "x").volume.voxels
    assert signed.mean() == pytest.approx(0.0, abs=2.0)
    assert signed.std() == pytest.approx(100.0, rel=0.02)


def test_thick_slices_average_what_lies_within_them() -> None:
    class Ramp:
        def paint(self, points_mm: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
            return (points_mm[:, 2] > 1).astype(np.float32), np.zeros(len(points_mm), np.uint8)

    scan = plain_scan((3, 1, 1), (1.0, 1.0, 8.0), sub_slices=4)
    # Samples of the middle slice lie at z = -3, -1, 1, 3: one of four is above 1.
    assert render(Ramp(), scan, "x").volume.voxels.ravel().tolist() == [0.0, 250.0, 1000.0]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.prefix)
def test_a_seed_decides_every_voxel_and_another_seed_another_person(task: object) -> None:
    first, again, other = (draw_exams(task, seed, 1)[0].render() for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.volume.voxels, again.volume.voxels)
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.volume.ijk_to_lps, again.volume.ijk_to_lps)
    assert first.volume.shape != other.volume.shape or not np.array_equal(first.labels, other.labels)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.prefix)
def test_every_label_is_in_every_case(task: object) -> None:
    for exam in draw_exams(task, 0, 6):
        assert set(np.unique(exam.render().labels)) == {0, *task.labels.values()}, exam.name


def test_a_longer_list_of_exams_begins_with_the_shorter_one() -> None:
    short, long = (draw_exams(TASKS[0], 0, cases) for cases in (5, 9))
    assert [exam.name for exam in long[:5]] == [exam.name for exam in short]
    assert [exam.scan.noise_seed for exam in long[:5]] == [exam.scan.noise_seed for exam in short]


def test_exams_of_one_group_show_one_person() -> None:
    exams = draw_exams(TASKS[0], 0, 4)
    assert [exam.group for exam in exams] == ["brain_p000", "brain_p001", "brain_p002", "brain_p002"]
    first, second = exams[2:]
    assert first.anatomy.fold is second.anatomy.fold
    assert first.scan.noise_seed != second.scan.noise_seed


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_objects_have_structure_and_no_label(name: str) -> None:
    picture = draw_foreign(name, 3)
    assert not picture.labels.any()
    assert picture.volume.voxels.std() > 0.1 * picture.volume.voxels.mean()
    assert picture.volume.spacing_mm == pytest.approx((2.8, 2.8, 2.8), rel=0.07)


def test_artefacts_change_what_they_say_and_nothing_else() -> None:
    volume = draw_exams(TASKS[0], 0, 1)[0].render().volume
    spoilt = {name: fault(volume, np.random.default_rng(0)) for name, fault in ARTEFACTS.items()}
    assert spoilt["wrong spacing"].spacing_mm[2] == pytest.approx(3 * volume.spacing_mm[2])
    np.testing.assert_array_equal(spoilt["wrong spacing"].voxels, volume.voxels)
    assert np.corrcoef(spoilt["inverted contrast"].voxels.ravel(), volume.voxels.ravel())[0, 1] == pytest.approx(-1)
    for name in ("inverted contrast", "ghosting", "spikes"):
        np.testing.assert_array_equal(spoilt[name].ijk_to_lps, volume.ijk_to_lps)
        assert not np.array_equal(spoilt[name].voxels, volume.voxels)


def test_spikes_are_three_lines_in_the_spectrum_of_every_slice() -> None:
    volume = draw_exams(TASKS[0], 0, 1)[0].render().volume
    added = ARTEFACTS["spikes"](volume, np.random.default_rng(0)).voxels - volume.voxels
    assert np.ptp(added, axis=0).max() < 1e-2 * np.ptp(added)
    power = np.abs(np.fft.rfft2(added[0])) ** 2
    assert np.sort(power.ravel())[-3 * 9 :].sum() > 0.8 * power.sum()


def test_cohort_folders_hold_what_they_declare(tmp_path: Path) -> None:
    folders = write_cohort(tmp_path, seed=1, cases=3, test_cases=2)
    assert [folder.name for folder in folders] == [task.dataset for task in TASKS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(task.dataset for task in TASKS)
    for folder, task in zip(folders, TASKS, strict=True):
        info = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        assert info["labels"] == {"background": 0, **task.labels}
        assert info["channel_names"] == {"0": task.modality}
        assert info["released_weights_may_use"] is True
        assert info["numTraining"] == 3
        rows = list(csv.DictReader((folder / "cases.csv").read_text(encoding="utf-8").splitlines()))
        images = {split: {p.name[:-12] for p in (folder / f"images{split}").iterdir()} for split in ("Tr", "Ts")}
        assert {row["case"] for row in rows} == images["Tr"] | images["Ts"]
        group = {row["case"]: row["group"] for row in rows}
        assert not {group[name] for name in images["Tr"]} & {group[name] for name in images["Ts"]}


def test_written_files_carry_the_oblique_geometry_and_the_exact_voxels(tmp_path: Path) -> None:
    task = TASKS[1]
    exam = draw_exams(task, 2, 1)[0]
    folder = write_dataset(tmp_path / task.dataset, task, [exam], [])
    picture = exam.render()
    image = sitk.ReadImage(str(folder / "imagesTr" / f"{exam.name}_0000.nii.gz"))
    labels = sitk.ReadImage(str(folder / "labelsTr" / f"{exam.name}.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), picture.volume.voxels)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(labels), picture.labels)
    for stored in (image, labels):
        corner = stored.TransformContinuousIndexToPhysicalPoint([20.0, 3.0, 5.0])
        np.testing.assert_allclose(corner, (picture.volume.ijk_to_lps @ [20, 3, 5, 1])[:3], atol=1e-3)


def test_an_existing_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / TASKS[0].dataset).mkdir()
    with pytest.raises(DatasetError, match="exists already"):
        write_cohort(tmp_path, seed=0, cases=1, test_cases=1)


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    exam = draw_exams(TASKS[0], 0, 1)[0]
    broken = replace(exam, anatomy=replace(exam.anatomy, warp=None))
    with pytest.raises(TypeError):
        write_dataset(tmp_path / "Dataset999_X", TASKS[0], [exam, broken], [])
    assert list(tmp_path.iterdir()) == []


def test_a_warp_of_no_amplitude_moves_nothing() -> None:
    points = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    assert Warp.draw(np.random.default_rng(1), 50.0, 0.0)(points) is points
