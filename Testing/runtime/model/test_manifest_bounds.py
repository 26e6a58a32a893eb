"""Every number of a manifest has a bound, which released models keep; small files cannot ask for large memory."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
import torch
from safetensors import safe_open

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.model import data_file
from MultiTaskSegLib.runtime.model.manifest import LATER_FORMAT_VERSION, Manifest, TaskInfo
from MultiTaskSegLib.runtime.model.manifest_bounds import (
    BOUNDS,
    COUNTS,
    MAX_PICTURE_VALUES,
    MAX_TOTAL_STRIDE,
    check_bounds,
)
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest, save_model
from MultiTaskSegLib.runtime.model.precision_info import PrecisionFigures, PrecisionInfo
from MultiTaskSegLib.runtime.model.structure import from_plain, to_plain
from MultiTaskSegLib.runtime.model.training_data import ImageSizes
from MultiTaskSegLib.runtime.network.architecture import Architecture
from MultiTaskSegLib.runtime.ood.score_law import ScoreLaw
from MultiTaskSegLib.runtime.quality.quality_info import QualityInfo, TaskQuality
from Testing.hostile.model_bytes import resealed
from Testing.runtime.tiny_model import tiny_manifest, tiny_network, write_tiny_model

RESOURCES = Path(__file__).parents[3] / "MultiTaskSeg" / "Resources"
NAN, INF = float("nan"), float("inf")


def number_keys(kind: Any, key: str = "") -> Iterator[str]:
    """The keys, as in `BOUNDS`, of all numbers that a type can hold."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        for name, hint in get_type_hints(kind).items():
            yield from number_keys(hint, f"{key}.{name}" if key else name)
    elif origin in (Union, types.UnionType):
        yield from (found for argument in arguments for found in number_keys(argument, key))
    elif origin is tuple:
        yield from (found for argument in set(arguments) - {...} for found in number_keys(argument, f"{key}[]"))
    elif origin is dict:
        yield from number_keys(arguments[1], f"{key}.*")
    elif kind in (int, float):
        yield key


def list_keys(plain: Any, key: str = "") -> Iterator[str]:
    """The keys of all lists of plain values whose length the type leaves open."""
    if isinstance(plain, dict):
        for name, value in plain.items():
            yield from list_keys(value, f"{key}.{name}" if key else name)
    elif isinstance(plain, list):
        yield key
        for value in plain:
            yield from list_keys(value, f"{key}[]")


def of_two_channels(manifest: Manifest) -> Manifest:
    """The same for images of two channels, so that nothing is left out as it is of one."""
    architecture = replace(manifest.architecture, stems=(2,))
    tasks = tuple(
        replace(task, inputs=("T1", "FLAIR"), profile=replace(task.profile, further=(task.profile.intensity,)))
        for task in manifest.tasks
    )
    return replace(manifest, format_version=LATER_FORMAT_VERSION, architecture=architecture, tasks=tasks)


def complete(is_planar: bool = False) -> Manifest:
    """With all that a manifest may lack."""
    manifest = of_two_channels(tiny_manifest(is_planar))
    laws = (ScoreLaw(0.1, 0.2, 30.0, 12),) * 2
    between = (0.0, 0.1)
    limits = {"tail_share": 0.02, "score_laws": laws, "false_alarm_interval": between}
    ood = replace(manifest.ood, **limits, false_alarm_intervals=(between, between))
    known = TaskQuality(12, 0.1, ("entropy",), (0.2,), (0.1,), (-0.03,), 0.01)
    dice = {task.name: 0.8 for task in manifest.tasks}
    rounded = PrecisionInfo(1, (PrecisionFigures("bfloat16", "torch", dice, dict(dice), 20, 0, 0.95, 0.95),))
    return replace(manifest, ood=ood, quality=QualityInfo(1, (known, TaskQuality(3))), precision=rounded)


def test_every_number_that_a_manifest_can_hold_has_a_bound() -> None:
    assert set(number_keys(Manifest)) == set(BOUNDS)


def test_every_list_of_any_length_has_a_bound() -> None:
    fixed = {
        "architecture.strides[]",
        "architecture.kernels[]",
        "tasks[].labels[].colour",
        "tasks[].profile.spacing_zyx_mm",
        "ood.false_alarm_interval",
        "ood.false_alarm_intervals[]",
    }
    assert set(list_keys(to_plain(complete()))) - fixed == set(COUNTS)


def test_a_key_that_came_later_is_written_only_where_it_says_something() -> None:
    task = tiny_manifest().tasks[0]
    assert "inputs" not in to_plain(task)
    assert to_plain(replace(task, inputs=("T1", "FLAIR")))["inputs"] == ["T1", "FLAIR"]
    assert from_plain(TaskInfo, to_plain(replace(task, inputs=("T1", "FLAIR")))).inputs == ("T1", "FLAIR")
    assert not {"tail_share", "score_laws"} & set(to_plain(tiny_manifest().ood))
    assert "quality" not in to_plain(tiny_manifest())
    assert from_plain(Manifest, to_plain(complete())) == complete()


def test_the_widest_law_within_the_bounds_has_a_finite_limit_and_the_narrowest_a_positive_one() -> None:
    low, high = ({key.split("[].")[-1]: BOUNDS[key][end] for key in BOUNDS if "score_laws" in key} for end in (0, 1))
    share, most = BOUNDS["ood.tail_share"]
    widest = ScoreLaw(high["location"], high["scale"], low["degrees"], 1)
    nearest = ScoreLaw(low["location"], high["scale"], low["degrees"], 1)
    assert 0 < nearest.limit(most) < widest.limit(share) < 1e300


@pytest.mark.parametrize(
    "changes, complaint",
    [
        ({"score_laws": (ScoreLaw(0.1, 0.2, 30.0, 12),)}, "laws of the scores"),
        ({"score_laws": ()}, "laws of the scores"),
        ({"tail_share": None}, "laws of the scores"),
        ({"false_alarm_intervals": ((0.0, 0.1),)}, "intervals of the false alarms"),
    ],
)
def test_every_task_has_a_limit_of_its_own_or_none_has(changes: dict[str, Any], complaint: str) -> None:
    manifest = complete()
    check_manifest(manifest)
    with pytest.raises(ModelError, match=complaint):
        check_manifest(replace(manifest, ood=replace(manifest.ood, **changes)))


@pytest.mark.parametrize("path", sorted(RESOURCES.rglob("*.safetensors")), ids=lambda path: path.name)
def test_released_models_keep_the_bounds(path: Path) -> None:
    with safe_open(path, framework="pt") as archive:
        assert archive.metadata()["manifest"]
    check_manifest(read_manifest(path)[0])


def place(plain: Any, key: str) -> tuple[Any, Any]:
    """The container and the last key or index of the first number behind a key of `BOUNDS`."""
    steps = [step for part in key.replace("[]", ".[]").split(".") for step in [part] if step]
    for step in steps[:-1]:
        plain = plain[0] if step == "[]" else plain[step]
    return plain, 0 if steps[-1] == "[]" else "x" if steps[-1] == "*" else steps[-1]


@pytest.mark.parametrize("key", BOUNDS)
@pytest.mark.parametrize("value", [NAN, INF, -INF, "below", "above"], ids=str)
def test_a_number_out_of_its_bounds_is_refused_by_name_value_and_bound(key: str, value: float | str) -> None:
    plain = to_plain(complete(is_planar="matrix" in key))
    plain["tasks"][0]["data"]["sizes"] = to_plain(ImageSizes(3, ((9, 9),) * 3, ((1.0, 1.0),) * 3))
    low, high = BOUNDS[key]
    bad = {"below": low - max(1, abs(low)), "above": high + max(1, abs(high))}.get(str(value), value)
    container, last = place(plain, key)
    container[last] = bad
    with pytest.raises(ModelError, match=r" is \S+, not from \S+ to \S+") as refusal:
        check_bounds(plain)
    # Named as it is, with numbers in place of brackets.
    assert refusal.value.what.startswith(key.replace("[]", "[0]").replace("*", "x") + " is ")


def test_numbers_of_notes_are_finite_and_can_be_shown() -> None:
    plain = to_plain(tiny_manifest())
    plain["training"] = {"steps": 3, "config": {"seed": 2**64 - 1, "rates": [0.5, -1e9]}}
    check_bounds(plain)
    for bad in (NAN, INF, 10**400):
        plain["training"] = {"config": {"rates": [bad]}}
        with pytest.raises(ModelError, match=r"training\.config\.rates\[0\] is"):
            check_bounds(plain)


def test_notes_are_nested_up_to_a_limit() -> None:
    for depth, is_good in ((30, True), (32, False), (500, False), (50_000, False)):
        nested: Any = 1
        for _ in range(depth):
            nested = [nested]
        plain = {**to_plain(tiny_manifest()), "training": nested}
        if is_good:
            check_bounds(plain)
        else:
            with pytest.raises(ModelError, match="nested deeper than 32 levels"):
                check_bounds(plain)


@pytest.mark.parametrize("text", ["\x1b[2J", "a\x00b", "\x9b31m", "\udcff"])
def test_texts_hold_no_control_characters_and_no_halves_of_characters(text: str) -> None:
    for change in ({"name": text}, {"training": {text: 1}}, {"training": {"a": [text]}}):
        with pytest.raises(ModelError, match="which is no text"):
            check_bounds({**to_plain(tiny_manifest()), **change})
    check_bounds({**to_plain(tiny_manifest()), "intended_use": "Lékař 脳\n\tmore"})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_strides_multiply_to_a_limit_along_each_axis(axis: int) -> None:
    plain = to_plain(tiny_manifest())
    steps = [[8 if n == axis else 1 for n in range(3)], [8 if n == axis else 1 for n in range(3)]]
    double = [2 if n == axis else 1 for n in range(3)]
    plain["architecture"]["strides"] = [*steps, double]
    check_bounds(plain)
    plain["architecture"]["strides"] = [*steps, double, double]
    with pytest.raises(ModelError, match=f"multiply to 256 along {'zyx'[axis]}, more than {MAX_TOTAL_STRIDE}"):
        check_bounds(plain)


def pictured(channels: int, matrix: int) -> Manifest:
    """A planar model with so many channels and pixels along a side."""
    manifest = tiny_manifest(is_planar=True)
    profile = Profile("p", "fit", Intensity("percentile", 1.0, 99.0), matrix=matrix)
    return replace(
        manifest,
        architecture=Architecture((channels, 4), ((1, 2, 2),), ((1, 1, 1),) * 2, 5),
        tasks=tuple(replace(task, profile=profile) for task in manifest.tasks),
        ood=replace(manifest.ood, layers=("encoder0",)),
    )


def test_the_maps_of_a_picture_have_a_size_that_memory_can_hold() -> None:
    assert MAX_PICTURE_VALUES == 32 * 2048**2
    check_manifest(pictured(32, 2048))
    check_manifest(pictured(128, 1024))
    for channels, matrix in ((33, 2048), (129, 1024)):
        with pytest.raises(ModelError, match=f"tasks of {matrix} pixels make maps of"):
            check_manifest(pictured(channels, matrix))


def test_no_tensor_is_read_of_a_file_that_asks_for_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = write_tiny_model(tmp_path / "good.mts.safetensors")

    def ask(manifest: dict[str, Any], _: object, __: object) -> None:
        manifest["architecture"]["strides"] = [[1, 10**6, 10**6]]

    bad = resealed(good, tmp_path / "bad.mts.safetensors", ask)

    class Archive:
        """Gives the metadata away and nothing else."""

        def __init__(self, path: Path, framework: str) -> None:
            self._metadata = safe_open(path, framework=framework).metadata()

        def __enter__(self) -> Archive:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

        def metadata(self) -> dict[str, str]:
            return self._metadata

    monkeypatch.setattr(data_file, "safe_open", Archive)
    with pytest.raises(ModelError, match=r"strides\[0\]\[2\] is 1000000, not from 1 to 8") as refusal:
        load_model(bad)
    assert refusal.value.file == str(bad)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "good.mts.safetensors")
    before = path.read_bytes()
    model = load_model(path)
    wild = replace(
        model.manifest, tasks=(replace(model.manifest.tasks[0], temperature=1e-300), model.manifest.tasks[1])
    )
    with safe_open(path, framework="pt") as archive:
        stored = {n: archive.get_tensor(n) for n in archive.keys() if n.startswith("reference.")}  # noqa: SIM118
    with pytest.raises(ModelError, match="temperature is 1e-300"):
        save_model(path, wild, tiny_network(), stored)
    with pytest.raises(ModelError, match="temperature is 1e-300"):
        rewrite_manifest(path, wild, path)
    with pytest.raises(ModelError, match="missing or of the wrong type"):
        save_model(path, model.manifest, tiny_network(), {n: t for n, t in stored.items() if n != "reference.tasks"})
    assert path.read_bytes() == before
    save_model(path, model.manifest, tiny_network(), stored)
    assert torch.isfinite(load_model(path).network.head.bias).all()
