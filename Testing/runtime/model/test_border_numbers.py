"""The bounds of a manifest as numbers: each value is taken at its bound, and refused just beyond.

Files that keep them are out in the world, so that a bound may become wider with reason and narrower never.
"""

from __future__ import annotations

from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.manifest_bounds import BOUNDS, COUNTS, check_bounds
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.model.training_data import ImageSizes
from Testing.runtime.model.test_manifest_bounds import complete, place

MANY, BILLION = 10**9, 1e9
NUMBERS: dict[str, tuple[float, float]] = {
    "format_version": (1, 2),
    "architecture.channels[]": (1, 4096),
    "architecture.strides[][]": (1, 8),
    "architecture.kernels[][]": (1, 15),
    "architecture.outputs": (1, 4096),
    "architecture.stems[]": (1, 32),
    "tasks[].labels[].value": (1, 255),
    "tasks[].labels[].colour[]": (0, 255),
    "tasks[].profile.intensity.low": (-BILLION, BILLION),
    "tasks[].profile.intensity.high": (-BILLION, BILLION),
    "tasks[].profile.further[].low": (-BILLION, BILLION),
    "tasks[].profile.further[].high": (-BILLION, BILLION),
    # From a micrometre to a metre.
    "tasks[].profile.spacing_zyx_mm[]": (0.001, 1000.0),
    "tasks[].profile.matrix": (8, 2048),
    "tasks[].channel_start": (0, 4095),
    "tasks[].temperature": (0.01, 100.0),
    "tasks[].surface_temperature": (0.01, 100.0),
    "tasks[].training_cases": (0, MANY),
    "tasks[].held_out_cases": (0, MANY),
    "tasks[].calibration.*": (0.0, 1e12),
    "tasks[].data.sizes.images": (0, MANY),
    "tasks[].data.sizes.voxels_zyx[][]": (1, 1_000_000),
    "tasks[].data.sizes.spacing_zyx_mm[][]": (1e-9, 1e6),
    "ood.floor": (0.0, 0.99),
    "ood.threshold": (1e-6, BILLION),
    # Of new images between one in a thousand and every other one may be flagged.
    "ood.tail_share": (0.001, 0.5),
    "ood.score_laws[].location": (-10.0, 10.0),
    "ood.score_laws[].scale": (0.001, 5.0),
    # With fewer the variance of a law is infinite.
    "ood.score_laws[].degrees": (3.0, BILLION),
    "ood.score_laws[].patients": (1, MANY),
    "quality.tasks[].patients": (0, MANY),
    "quality.tasks[].medians[]": (-1e6, 1e6),
    "quality.tasks[].scales[]": (1e-6, 1e6),
    # A Dice differs from another by 1 at most.
    "quality.tasks[].weights[]": (-1.0, 1.0),
    "quality.tasks[].intercept": (-1.0, 1.0),
    "quality.tasks[].tolerance": (0.0, 10.0),
    "quality.version": (1, 1),
    "precision.version": (1, 1),
    "precision.measured[].images": (1, MANY),
    "precision.measured[].differing_verdicts": (0, MANY),
}
SHARES = {
    "tasks[].held_out_dice.*", "ood.false_alarm_rate", "ood.false_alarm_rate_by_task.*", "ood.false_alarm_interval[]",
    "ood.false_alarm_intervals[][]", "quality.tasks[].margin", "precision.measured[].dice.*",
    "precision.measured[].dice_float32.*", "precision.measured[].auroc", "precision.measured[].auroc_float32",
}  # fmt: skip
LENGTHS = {
    "architecture.channels": 10,
    # One less than levels.
    "architecture.strides": 9,
    "architecture.kernels": 10,
    "architecture.stems": 128,
    "tasks": 128,
    "tasks[].labels": 255,
    "tasks[].inputs": 32,
    # Of all channels but the first.
    "tasks[].profile.further": 31,
    # Ten encoders and nine decoders.
    "ood.layers": 19,
    "ood.image_statistics": 16,
    "ood.score_laws": 128,
    "ood.false_alarm_intervals": 128,
    "quality.tasks": 128,
    "precision.measured": 8,
}


def described(key: str) -> Any:
    """A complete manifest as plain values."""
    plain = to_plain(complete(is_planar="matrix" in key))
    plain["tasks"][0]["data"]["sizes"] = to_plain(ImageSizes(3, ((9, 9),) * 3, ((1.0, 1.0),) * 3))
    return plain


def test_every_bound_is_in_these_tables() -> None:
    assert NUMBERS.keys() | SHARES == BOUNDS.keys()
    by_traits = {f"quality.tasks[].{name}" for name in ("traits", "medians", "scales", "weights")}
    assert LENGTHS.keys() | by_traits == COUNTS.keys()


@pytest.mark.parametrize("key", [*NUMBERS, *sorted(SHARES)])
def test_a_number_is_taken_at_its_bound_and_refused_just_beyond(key: str) -> None:
    plain, (low, high) = described(key), NUMBERS.get(key, (0.0, 1.0))
    container, last = place(plain, key)
    for value, step in ((low, -1), (high, 1)):
        container[last] = value
        check_bounds(plain)
        container[last] = value + step if isinstance(value, int) else value + step * max(1e-3 * abs(value), 1e-12)
        with pytest.raises(ModelError, match=r" is \S+, not from \S+ to \S+"):
            check_bounds(plain)


@pytest.mark.parametrize("key", LENGTHS)
def test_a_list_is_taken_at_its_length_and_refused_with_one_entry_more(key: str) -> None:
    plain, most = described(key), LENGTHS[key]
    container, last = place(plain, key)
    # Strides of 1, so that they do not multiply.
    entry = [1, 1, 1] if key == "architecture.strides" else container[last][0]
    container[last] = [entry] * most
    check_bounds(plain)
    container[last] = [entry] * (most + 1)
    with pytest.raises(ModelError, match=f"has {most + 1} entries, more than {most}"):
        check_bounds(plain)


@pytest.mark.parametrize(("number", "is_taken"), [(1e20, True), (-1e20, True), (1.01e20, False), (-1.01e20, False)])
def test_a_number_among_the_notes_may_be_as_large_as_a_seed_and_more(number: float, is_taken: bool) -> None:
    plain = {**described(""), "training": {"seed": number}}
    if is_taken:
        check_bounds(plain)
    else:
        with pytest.raises(ModelError, match=r"training\.seed is"):
            check_bounds(plain)


@pytest.mark.parametrize(("levels", "is_taken"), [(31, True), (32, False)])
def test_notes_are_nested_in_32_levels_and_no_more(levels: int, is_taken: bool) -> None:
    nested: Any = 1
    for _ in range(levels):
        nested = [nested]
    plain = {**described(""), "training": nested}
    if is_taken:
        check_bounds(plain)
    else:
        with pytest.raises(ModelError, match="nested deeper than 32 levels"):
            check_bounds(plain)


@pytest.mark.parametrize(
    ("number", "shown"), [(10**15 - 1, "999999999999999"), (10**15, "100000000000..."), (1.5e30, "1.5e+30")]
)
def test_a_number_beyond_its_bound_is_told_on_a_line(number: float, shown: str) -> None:
    plain = described("")
    plain["tasks"][0]["training_cases"] = number
    with pytest.raises(ModelError) as refusal:
        check_bounds(plain)
    assert refusal.value.what == f"tasks[0].training_cases is {shown}, not from 0 to 1e+09"
