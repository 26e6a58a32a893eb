"""Images of several channels: only tasks that take as many are compared, and what is wrong is told in words."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.errors import InputError, ModelError
from MultiTaskSegLib.runtime.hosting.candidate_memory import CandidateMemory
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan, plan_run
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.machine.compute_device import ComputeDevice
from MultiTaskSegLib.runtime.model.manifest import FORMAT_VERSION, LATER_FORMAT_VERSION
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.ood.cell_features import FEATURES
from MultiTaskSegLib.runtime.prediction.channel_swap import swapped
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.channel_model import (
    CHANNELS,
    ONE,
    REGIONS,
    SHAPE,
    TWO,
    ball_image,
    channel_manifest,
    write_channel_model,
)

HOST = ComputeDevice("cpu", "CPU", None, None)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(write_channel_model(tmp_path_factory.mktemp("model") / "c.mts.safetensors"), "cpu", "torch")


def test_only_tasks_that_take_as_many_channels_are_compared(predictor: Predictor) -> None:
    alone, pair = predictor.check(ball_image(99, 1)), predictor.check(ball_image(99))
    assert set(alone.distances) == {ONE}
    assert alone.nearest_task == ONE
    assert set(pair.distances) == {TWO, REGIONS}
    assert not alone.is_ood
    assert not pair.is_ood


@pytest.mark.parametrize("task", ["auto", TWO])
def test_a_wrong_number_of_channels_says_what_the_tasks_want(predictor: Predictor, task: str) -> None:
    three = replace(ball_image(1), further=(*ball_image(1).further, ball_image(2).voxels))
    with pytest.raises(InputError, match=r"3 channels were given, but .*_Two takes 2 channels \(FLAIR, T1c\)"):
        predictor.segment(three, task)
    if task == TWO:
        with pytest.raises(InputError, match="one channel was given, but Dataset002_Two takes 2"):
            predictor.segment(ball_image(1, 1), task)
    else:
        with pytest.raises(InputError, match="Dataset001_One takes one channel"):
            predictor.check(three)
    for purpose in (CHECK, LOCATE, Purpose(task)):
        # Where the number fits no task the plan leaves it to the predictor to say so.
        assert plan_run(predictor.manifest, [], three, purpose, HOST, HOST) == RunPlan("cpu")


def test_swapped_channels_are_flagged_and_told_in_words(predictor: Predictor) -> None:
    right = predictor.segment(ball_image(50), TWO)
    wrong = predictor.segment(swapped(ball_image(50), 0, 1), TWO)
    assert not any("swapped" in warning for warning in right.warnings)
    assert wrong.verdict.is_ood
    told = [warning for warning in wrong.warnings if "channel FLAIR and channel T1c swapped" in warning]
    assert len(told) == 1
    assert any("swapped" in warning for warning in predictor.check(swapped(ball_image(50), 0, 1)).warnings)


def test_swapped_channels_are_told_where_the_limit_lies_too_high_to_flag_them(predictor: Predictor) -> None:
    model = predictor.model
    manifest, reference = model.manifest, copy(model.reference)
    reference.threshold = 1e9
    lenient = Predictor(replace(model, manifest=manifest, reference=reference), "cpu", "torch")
    verdict = lenient.check(swapped(ball_image(50), 0, 1))
    assert not verdict.is_ood
    assert any("channel FLAIR and channel T1c swapped" in warning for warning in verdict.warnings)


def test_a_foreign_image_that_looks_alike_either_way_is_not_called_swapped(predictor: Predictor) -> None:
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    verdict = predictor.check(replace(ball_image(1), voxels=noise, further=(noise[::-1].copy(),)))
    assert verdict.is_ood
    assert not any("swapped" in warning for warning in verdict.warnings)


def test_swapping_twice_gives_the_image_back() -> None:
    image = ball_image(3)
    back = swapped(swapped(image, 0, 1), 0, 1)
    assert back.voxels is image.voxels
    assert back.further[0] is image.further[0]


def test_check_and_segment_agree_and_runs_repeat(predictor: Predictor) -> None:
    image = ball_image(60)
    assert predictor.check(image) == predictor.segment(image).verdict
    first, second = predictor.segment(image, TWO), predictor.segment(image, TWO)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.uncertainty, second.uncertainty)


def test_regions_are_kept_as_overlapping_in_the_file_for_slicer_and_in_the_report(
    predictor: Predictor, tmp_path: Path
) -> None:
    result = predictor.segment(ball_image(61), REGIONS)
    assert result.regions is not None
    assert result.regions.shape == (2, *SHAPE)
    labels = result.task.labels
    painted = np.zeros(SHAPE, dtype=np.uint8)
    for label, region in zip(labels, result.regions, strict=True):
        painted[region] = label.value
    np.testing.assert_array_equal(result.labels, painted)
    report = result.write(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report
    assert report["channels"] == list(CHANNELS)
    assert [row["voxels"] for row in report["labels"]] == [int(region.sum()) for region in result.regions]
    stored = sitk.ReadImage(str(tmp_path / "segmentation.seg.nrrd"))
    layers = np.moveaxis(sitk.GetArrayFromImage(stored), -1, 0)
    for number, (label, region, layer) in enumerate(zip(labels, result.regions, layers, strict=True)):
        np.testing.assert_array_equal(layer, label.value * region)
        assert stored.GetMetaData(f"Segment{number}_Layer") == str(number)
        assert stored.GetMetaData(f"Segment{number}_LabelValue") == str(label.value)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "segmentation.nii.gz"))), painted
    )
    # Slicer takes segments from a list of layers; a vector at each voxel it does not take for one.
    head = (tmp_path / "segmentation.seg.nrrd").read_bytes().partition(b"\n\n")[0]
    assert b"\nkinds: list domain domain domain\n" in head
    assert stored.GetSpacing() == pytest.approx((2.0, 2.0, 2.0))


def test_labels_that_exclude_each_other_have_no_regions(predictor: Predictor) -> None:
    result = predictor.segment(ball_image(62), TWO)
    assert result.regions is None
    assert result.report()["channels"] == list(CHANNELS)
    assert "channels" not in predictor.segment(ball_image(62, 1)).report()


def test_the_map_of_foreign_places_looks_at_every_channel(predictor: Predictor) -> None:
    plain = ball_image(63)
    spoilt = plain.further[0].copy()
    spoilt[1:4, 1:4, 1:4] += 2000
    _, known = predictor.locate(plain)
    _, found = predictor.locate(replace(plain, further=(spoilt,)))
    assert known.shape == SHAPE
    assert found[1:4, 1:4, 1:4].mean() > known[1:4, 1:4, 1:4].mean() + 0.3
    memories = {memory.mean.shape[0] for memory in predictor.model.memories}
    assert memories == {FEATURES, 2 * FEATURES}


def test_what_surrounds_all_channels_is_cut_off_and_nothing_else(predictor: Predictor) -> None:
    profile = predictor.manifest.task(TWO).profile
    first, second = (np.zeros((6, 9, 9), dtype=np.float32) for _ in range(2))
    first[1:3, 2:4, 2:8], second[2:5, 3:7, 3:5] = 5, 7
    image = replace(ball_image(1), voxels=first, further=(second,))
    window = input_frame(image, profile).window
    assert (window.start, window.shape) == ((1, 2, 2), (4, 5, 6))
    alone = replace(image, further=())
    assert input_frame(alone, predictor.manifest.task(ONE).profile).window.shape == (2, 2, 6)


def test_each_channel_is_scaled_for_itself(predictor: Predictor) -> None:
    profile, image = predictor.manifest.task(TWO).profile, ball_image(64)
    prepared = prepare(image, profile)
    louder = prepare(replace(image, further=(10 * image.further[0] + 3,)), profile)
    np.testing.assert_allclose(louder.voxels, prepared.voxels, atol=1e-5)
    with pytest.raises(InputError, match="channel 2 of the image is constant"):
        prepare(replace(image, further=(np.full(SHAPE, 4, dtype=np.float32),)), profile)
    with pytest.raises(InputError, match="has 1 channels"):
        prepare(replace(image, further=()), profile)


def test_more_channels_take_more_memory(predictor: Predictor) -> None:
    manifest, image = predictor.manifest, ball_image(65)
    task = manifest.task(TWO)
    frame = input_frame(image, task.profile)
    memory = [
        CandidateMemory(manifest.architecture, manifest.ood.layers, frame, (task,), True, torch.device("cpu"), n)
        for n in (1, 2)
    ]
    assert memory[1].grid_bytes == 2 * memory[0].grid_bytes
    assert memory[1].preparing_bytes > memory[0].preparing_bytes
    assert memory[1].checking(0).peak_bytes >= memory[0].checking(0).peak_bytes


def test_the_file_and_its_card_say_which_channels_and_what_overlaps(predictor: Predictor, tmp_path: Path) -> None:
    manifest = load_model(write_channel_model(tmp_path / "c.mts.safetensors")).manifest
    assert manifest == predictor.manifest
    assert manifest.format_version == LATER_FORMAT_VERSION
    card = model_card(manifest, "digest")
    assert "channels of an image, in this order: FLAIR, T1c" in card
    assert "2 regions, which may overlap" in card


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"inputs": ("FLAIR", "FLAIR")}, "two channels of one name"),
        ({"inputs": ("FLAIR", "T1c", "T2")}, "stems"),
        ({"inputs": ()}, "stems|channels"),
        ({"are_regions": True, "single_component": True}, "one piece"),
    ],
)
def test_a_task_whose_channels_contradict_the_rest_is_refused(change: dict[str, object], what: str) -> None:
    manifest = channel_manifest()
    check_manifest(manifest)
    spoilt = tuple(replace(task, **change) if task.name == TWO else task for task in manifest.tasks)  # type: ignore[arg-type]
    if "inputs" in change:
        spoilt = tuple(replace(task, **change) if task.inputs else task for task in spoilt)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=what):
        check_manifest(replace(manifest, tasks=spoilt))


def test_an_old_format_cannot_hold_channels_or_regions() -> None:
    with pytest.raises(ModelError, match="format version 1"):
        check_manifest(replace(channel_manifest(), format_version=FORMAT_VERSION))
