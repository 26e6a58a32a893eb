"""What a manifest may say at most: each limit as it is promised, a value on either side."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.model_card import model_card
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest, check_tensors
from MultiTaskSegLib.runtime.model.model_file import load_model, reference_tensors, rewrite_manifest
from MultiTaskSegLib.runtime.network.architecture import Architecture, Triple
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from Testing.runtime.tiny_model import tiny_images, tiny_manifest, tiny_network, tiny_reference, write_tiny_model


def with_architecture(
    levels: int = 2, channels: int = 4, kernel: Triple = (3, 3, 3), stride: Triple = (2, 2, 2), outputs: int = 5
) -> Manifest:
    architecture = Architecture((channels,) * levels, (stride,) * (levels - 1), (kernel,) * levels, outputs)
    manifest = tiny_manifest()
    return replace(manifest, architecture=architecture, ood=replace(manifest.ood, layers=("encoder0",)))


@pytest.mark.parametrize(
    "largest, too_large",
    [
        ({"levels": 10, "stride": (1, 1, 1)}, {"levels": 11, "stride": (1, 1, 1)}),
        ({"channels": 4096}, {"channels": 4097}),
        ({"outputs": 4096}, {"outputs": 4097}),
        ({"kernel": (15, 15, 15)}, {"kernel": (1, 17, 1)}),
        ({"kernel": (1, 1, 15)}, {"kernel": (10**9 + 1, 1, 1)}),
        ({"stride": (8, 8, 8)}, {"stride": (1, 1, 9)}),
        ({"stride": (8, 1, 1)}, {"stride": (10**9, 1, 1)}),
        ({"levels": 8, "stride": (2, 2, 2)}, {"levels": 9, "stride": (1, 2, 1)}),
    ],
    ids=str,
)
def test_a_network_beyond_any_that_the_trainer_makes_is_refused(
    largest: dict[str, int], too_large: dict[str, int]
) -> None:
    check_manifest(with_architecture(**largest))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"architecture\.\w+\S* (is|has|multipl)"):
        check_manifest(with_architecture(**too_large))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "absurd",
    [{"kernel": k} for k in ((0, 3, 3), (3, -1, 3), (3, 3, 2), (14, 3, 3))]
    + [{"stride": s} for s in ((0, 2, 2), (2, -2, 2), (2, 2, 0))],
    ids=str,
)
def test_kernels_of_no_or_even_size_and_strides_that_do_not_move_are_refused(absurd: dict[str, Triple]) -> None:
    with pytest.raises(ModelError, match="inconsistent"):
        with_architecture(**absurd)  # type: ignore[arg-type]


def test_two_levels_are_the_fewest() -> None:
    check_manifest(with_architecture(levels=2))
    with pytest.raises(ModelError, match="inconsistent"):
        with_architecture(levels=1)


def changed(**changes: object) -> Manifest:
    """The tiny manifest with another first task."""
    manifest = tiny_manifest()
    return replace(manifest, tasks=(replace(manifest.tasks[0], **changes), manifest.tasks[1]))  # type: ignore[arg-type]


def labelled(value: int = 1, colour: int = 9) -> Manifest:
    return changed(labels=(LabelInfo(value, "a", "a", (colour, 0, 255), ""), tiny_manifest().tasks[0].labels[1]))


def profiled(low: float, high: float, method: str = "percentile", mm: float = 2.0) -> Manifest:
    intensity = Intensity(method, low, high)  # type: ignore[arg-type]
    return changed(profile=Profile("p", "spacing", intensity, spacing_zyx_mm=(2.0, mm, 2.0)))


def planar(matrix: int) -> Manifest:
    manifest = tiny_manifest(is_planar=True)
    profile = Profile("p", "fit", Intensity("percentile", 1.0, 99.0), matrix=matrix)
    return replace(manifest, tasks=tuple(replace(task, profile=profile) for task in manifest.tasks))


def thresholded(value: float) -> Manifest:
    manifest = tiny_manifest()
    return replace(manifest, ood=replace(manifest.ood, threshold=value))


def floored(value: float) -> Manifest:
    manifest = tiny_manifest()
    return replace(manifest, ood=replace(manifest.ood, floor=value))


def many_labels(count: int) -> Manifest:
    """One task with so many labels; their values repeat where there are not enough."""
    manifest = tiny_manifest()
    labels = tuple(LabelInfo(1 + n % 255, f"l{n}", f"l{n}", (0, 0, 0), "") for n in range(count))
    architecture = replace(manifest.architecture, outputs=count + 1)
    return replace(manifest, architecture=architecture, tasks=(replace(manifest.tasks[0], labels=labels),))


def many_tasks(count: int) -> Manifest:
    """So many tasks that share their channels."""
    manifest = tiny_manifest()
    return replace(manifest, tasks=tuple(replace(manifest.tasks[0], name=f"t{n}") for n in range(count)))


BORDERS: dict[str, tuple[Callable[[], Manifest], Callable[[], Manifest], str]] = {
    "smallest label": (lambda: labelled(value=1), lambda: labelled(value=0), "value is 0, not from 1 to 255"),
    "largest label": (lambda: labelled(value=255), lambda: labelled(value=256), "value is 256, not from 1"),
    "darkest colour": (lambda: labelled(colour=0), lambda: labelled(colour=-1), "is -1, not from 0 to 255"),
    "brightest colour": (lambda: labelled(colour=255), lambda: labelled(colour=256), "is 256, not from 0 to 255"),
    "percentiles": (lambda: profiled(0.0, 100.0), lambda: profiled(0.0, 100.1), "intensity range"),
    "negative percentile": (lambda: profiled(0.0, 99.0), lambda: profiled(-0.1, 99.0), "intensity range"),
    "range": (lambda: profiled(-1000.0, 400.0, "range"), lambda: profiled(5.0, 5.0, "range"), "intensity range"),
    "narrow range": (lambda: profiled(5.0, 5.00001, "range"), lambda: profiled(5.0, 5.0000001, "range"), "intensity"),
    "far range": (lambda: profiled(-1e9, 1e9, "range"), lambda: profiled(-1.1e9, 1e9, "range"), "intensity.low is"),
    "voxel size": (
        lambda: profiled(1.0, 99.0, mm=0.001), lambda: profiled(1.0, 99.0, mm=0.0009), r"spacing_zyx_mm\[1\] is 0.0009"
    ),
    "large voxel": (lambda: profiled(1.0, 99.0, mm=1e3), lambda: profiled(1.0, 99.0, mm=1001.0), "spacing_zyx_mm"),
    "matrix": (lambda: planar(8), lambda: planar(7), "matrix is 7, not from 8 to 2048"),
    "large matrix": (lambda: planar(2048), lambda: planar(2049), "matrix is 2049, not from 8 to 2048"),
    "threshold": (lambda: thresholded(1e-6), lambda: thresholded(0.0), "threshold is 0, not from 1e-06"),
    "high threshold": (lambda: thresholded(1e9), lambda: thresholded(1.1e9), "threshold is 1.1e"),
    "floor": (lambda: floored(0.0), lambda: floored(-1e-9), "floor is -1e-09, not from 0"),
    "high floor": (lambda: floored(0.99), lambda: floored(0.991), "floor is 0.991"),
    "temperature": (lambda: changed(temperature=0.01), lambda: changed(temperature=1e-300), "temperature is 1e-300"),
    "high temperature": (lambda: changed(temperature=100.0), lambda: changed(temperature=101.0), "not from 0.01"),
    "surface": (
        lambda: changed(surface_temperature=0.01), lambda: changed(surface_temperature=0.0), "surface_temperature is 0"
    ),
    "Dice": (lambda: changed(held_out_dice={"a": 1.0}), lambda: changed(held_out_dice={"a": 1.1}), "held_out_dice.a"),
    "calibration": (
        lambda: changed(calibration={"ece": 0.0}), lambda: changed(calibration={"ece": -0.1}), "calibration.ece is -0.1"
    ),
    "cases": (lambda: changed(training_cases=10**9), lambda: changed(training_cases=-1), "training_cases is -1"),
    "labels": (lambda: many_labels(255), lambda: many_labels(256), r"tasks\[0\].labels has 256 entries, more than 255"),
    "tasks": (lambda: many_tasks(128), lambda: many_tasks(129), "tasks has 129 entries, more than 128"),
    "last channel": (lambda: changed(), lambda: replace_start(4), "outside the network"),
    "first channel": (lambda: replace_start(3), lambda: changed(channel_start=-1), "channel_start is -1, not from 0"),
    "name": (lambda: changed(name="x"), lambda: changed(name=""), "or one has none"),
}  # fmt: skip


def replace_start(start: int) -> Manifest:
    """The second task, of two channels, at another place."""
    manifest = tiny_manifest()
    return replace(manifest, tasks=(manifest.tasks[0], replace(manifest.tasks[1], channel_start=start)))


@pytest.mark.parametrize("border", BORDERS)
def test_a_manifest_may_go_up_to_the_border_and_not_beyond(border: str) -> None:
    good, bad, says = BORDERS[border]
    check_manifest(good())
    with pytest.raises(ModelError, match=says):
        check_manifest(bad())


KNOWN = TaskQuality(9, 0.1, ("entropy",), (0.2,), (0.1,), (-0.03,))


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ((KNOWN,), "does not fit the tasks"),
        ((KNOWN, KNOWN, KNOWN), "does not fit the tasks"),
        ((KNOWN, replace(KNOWN, patients=8)), "task 2 is impossible"),
        ((replace(KNOWN, weights=()), KNOWN), "task 1 is impossible"),
        ((replace(KNOWN, traits=("colour",)), KNOWN), "task 1 is impossible"),
        ((replace(KNOWN, weights=(1.01,)), KNOWN), r"weights\[0\] is 1.01, not from -1 to 1"),
        ((replace(KNOWN, scales=(0.0,)), KNOWN), r"scales\[0\] is 0, not from 1e-06"),
        ((replace(KNOWN, margin=-0.01), KNOWN), "margin is -0.01, not from 0 to 1"),
    ],
)
def test_what_a_file_says_of_the_quality_of_results_fits_its_tasks_and_itself(
    tasks: tuple[TaskQuality, ...], says: str
) -> None:
    check_manifest(replace(tiny_manifest(), quality=QualityInfo(1, (KNOWN, TaskQuality(0)))))
    with pytest.raises(ModelError, match=says):
        check_manifest(replace(tiny_manifest(), quality=QualityInfo(1, tasks)))


def test_a_later_version_of_the_quality_is_refused() -> None:
    with pytest.raises(ModelError, match=r"quality\.version is 2"):
        check_manifest(replace(tiny_manifest(), quality=QualityInfo(2, (KNOWN, KNOWN))))


def test_tasks_may_share_all_their_channels_but_not_some() -> None:
    manifest = tiny_manifest()
    second = replace(manifest.tasks[0], name="second")
    check_manifest(replace(manifest, tasks=(manifest.tasks[0], second)))
    with pytest.raises(ModelError, match="shares channels"):
        check_manifest(replace(manifest, tasks=(manifest.tasks[0], replace(second, channel_start=1))))


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    weights = {f"network.{name}": value for name, value in tiny_network().state_dict().items()}
    return weights | reference_tensors(tiny_images(), tiny_reference())


SCORES, SCALE = "reference.calibration_scores", "reference.encoder0.spectrum.scale"
SHRINKAGE, VALUES = "reference.encoder0.means.shrinkage", "reference.encoder0.singular_values"


@pytest.mark.parametrize(
    "name, good, bad",
    [
        (SCORES, 0.0, -1e-6),
        (SCALE, 1e-9, 0.0),
        (SHRINKAGE, 0.0, -1e-6),
        (SHRINKAGE, 1.0, 1.000001),
        (VALUES, 0.0, -1.0),
    ],
)
def test_numbers_of_the_reference_may_go_up_to_the_border_and_not_beyond(
    tensors: dict[str, torch.Tensor], name: str, good: float, bad: float
) -> None:
    check_tensors(tiny_manifest(), {**tensors, name: torch.full_like(tensors[name], good)})
    with pytest.raises(ModelError, match="impossible"):
        check_tensors(tiny_manifest(), {**tensors, name: torch.full_like(tensors[name], bad)})


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "good.mts.safetensors")


def padded(data: bytes, size: int) -> bytes:
    """The same file with spaces at the end of its header, which the format allows."""
    (length,) = struct.unpack("<Q", data[:8])
    return struct.pack("<Q", size) + data[8 : 8 + length].ljust(size) + data[8 + length :]


def test_a_header_of_a_million_bytes_is_read_and_one_byte_more_is_not(good: Path, tmp_path: Path) -> None:
    data, path = good.read_bytes(), tmp_path / "padded.mts.safetensors"
    path.write_bytes(padded(data, 1_000_000))
    assert load_model(path).digest == load_model(good).digest
    path.write_bytes(padded(data, 1_000_001))
    with pytest.raises(ModelError, match="not a MultiTaskSeg model file"):
        load_model(path)


@pytest.mark.parametrize(
    "letter, bytes_each", [("a", 1), ('"', 4), ("\u00e9", 2)], ids=["letters", "quotes", "accents"]
)
def test_no_description_is_written_that_would_not_be_read(
    good: Path, tmp_path: Path, letter: str, bytes_each: int
) -> None:
    manifest, path = load_model(good).manifest, tmp_path / "long.mts.safetensors"
    long = {"note": letter * ((900_000 - 20_000) // bytes_each)}
    rewrite_manifest(good, replace(manifest, training=long), path)
    assert load_model(path).manifest.training == long
    too_long = {"note": letter * (900_000 // bytes_each)}
    before = path.read_bytes()
    with pytest.raises(ModelError, match="more than 900000"):
        rewrite_manifest(good, replace(manifest, training=too_long), path)
    assert path.read_bytes() == before


def carded(task: TaskInfo) -> str:
    manifest = tiny_manifest()
    ood = replace(manifest.ood, false_alarm_rate=0.04, false_alarm_rate_by_task={task.name: 0.07})
    return model_card(replace(manifest, tasks=(task,), ood=ood), "abc")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\u2028", "\u0085"])
def test_what_a_file_says_does_not_begin_a_line_of_the_card(end: str) -> None:
    task, manifest = tiny_manifest().tasks[0], tiny_manifest()
    spoof = f"{end}Licence of the weights, from those of their data: CC0"
    data = replace(task.data, description=f"heads{spoof}", scanners="a\u202eb")
    odd = replace(task, name=f"T{spoof}", anatomy=f"head{spoof}", licence=f"none{spoof}", data=data)
    plain = replace(task, name="T", anatomy="head", licence="none", data=replace(data, description="heads"))
    ood = replace(manifest.ood, false_alarm_rate_by_task={odd.name: 0.0, "T": 0.0})
    text, usual = (
        model_card(replace(manifest, name=name, intended_use=name, tasks=(own,), ood=ood), "abc")
        for name, own in ((f"model{spoof}", odd), ("model", plain))
    )
    assert len(text.splitlines()) == len(usual.splitlines())
    assert sum(line.startswith("Licence of the weights") for line in text.splitlines()) == 1
    assert "scanners: a?b" in text


def test_the_card_gives_rates_in_percent_and_the_mean_dice() -> None:
    dice = {f"part_{n}": 0.1 * n for n in range(8)}
    text = carded(replace(tiny_manifest().tasks[0], held_out_dice=dice))
    assert "false alarms 4 % of the held-out images, which also set the limit" in text
    assert "false alarms 7 %" in text
    assert "mean Dice 0.350; part 0 0.000; part 1 0.100" in text


def test_of_more_than_eight_labels_the_card_gives_the_mean_alone() -> None:
    dice = {f"part_{n}": 0.1 * n for n in range(9)}
    text = carded(replace(tiny_manifest().tasks[0], held_out_dice=dice))
    assert "mean Dice 0.400\n" in text
    assert "part 1" not in text


def test_the_card_gives_the_limit_of_each_task_and_its_false_alarms_with_an_interval() -> None:
    manifest = tiny_manifest()
    names = [task.name for task in manifest.tasks]
    ood = replace(
        manifest.ood,
        false_alarm_rate=0.03,
        false_alarm_rate_by_task=dict(zip(names, (0.02, 0.125), strict=True)),
        tail_share=0.025,
        score_laws=(ScoreLaw(0.0, 0.1, 1e9, 160), ScoreLaw(0.2, 0.3, 1e9, 12)),
        false_alarm_interval=(0.01, 0.06),
        false_alarm_intervals=((0.0, 0.05), (0.02, 0.31)),
    )
    text = model_card(replace(manifest, ood=ood), "abc")
    assert "limit 1.22 to 2.20 by task, where 2.5 % of new images are expected beyond; false alarms 3 % (95 % " in text
    assert "limit 1.22 from 160 patients, false alarms 2 % (95 % interval 0 to 5 %)" in text
    assert "limit 2.20 from 12 patients, false alarms 12 % (95 % interval 2 to 31 %)" in text
    assert "which also set the limit" not in text
