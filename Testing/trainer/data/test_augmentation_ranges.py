"""What augmentation may draw: both ends of every range, and how often, with chance replaced by given numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from trainer.data.augmentation import Augmentation, Vector, draw_augmentation

PATCH = (9, 60, 48)
# Control points stand 3 x 6 x 6 to a patch.
POINT_DISTANCE = (3.0, 10.0, 8.0)
NEUTRAL = Augmentation((0.0, 0.0, 0.0), ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


class Given:
    """Chance that always lands at the same share of a range, and in the same place when asked yes or no."""

    def __init__(self, place: float, chance: float = 0.0) -> None:
        self.place, self.chance = place, chance

    def uniform(self, low: Any, high: Any, size: int | None = None) -> Any:
        value = low + self.place * (np.asarray(high) - low)
        return np.broadcast_to(value, size) if size else value

    def random(self) -> float:
        return self.chance

    def integers(self, limit: int) -> int:
        return 7


def drawn(place: float, chance: float = 0.0, spacing: Vector = (1.0, 1.0, 1.0), mirror: str = "") -> Augmentation:
    return draw_augmentation(Given(place, chance), (0.0, 0.0, 0.0), spacing, PATCH, False, mirror)  # type: ignore[arg-type]


def changed(record: Augmentation) -> set[str]:
    """What differs from a record that changes nothing."""
    names = [f.name for f in fields(Augmentation) if not f.name.endswith("_seed")]
    return {name for name in names if not np.allclose(getattr(record, name), getattr(NEUTRAL, name))}


ENDS = {
    "gamma": (np.exp(-0.4), np.exp(0.4)),
    "contrast": (0.75, 1.25),
    "brightness": (-0.1, 0.1),
    "noise_sigma": (0.0, 0.08),
    "blur_sigma": (0.4, 1.0),
    "shrink": (1.0, 2.0),
    "bias": (0.0, 0.3),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_range_of_intensity_changes_has_both_ends(name: str) -> None:
    assert (getattr(drawn(0.0), name), getattr(drawn(1.0), name)) == pytest.approx(ENDS[name])


def test_control_points_move_by_up_to_a_fifth_of_their_distance() -> None:
    assert drawn(0.0).elastic_voxels == (0.0, 0.0, 0.0)
    assert drawn(1.0).elastic_voxels == pytest.approx([0.2 * distance for distance in POINT_DISTANCE])
    assert drawn(1.0, spacing=(3.0, 1.0, 1.0)).elastic_voxels == pytest.approx((0.0, 2.0, 1.6))


# At both sides of every probability: what is still done.
@pytest.mark.parametrize(
    "chance, expected",
    [
        (0.149, {"matrix", "gamma", "contrast", "brightness", "noise_sigma", "blur_sigma", "shrink", "bias"}),
        (0.151, {"matrix", "gamma", "contrast", "brightness", "noise_sigma", "bias"}),
        (0.199, {"matrix", "gamma", "contrast", "brightness", "noise_sigma", "bias"}),
        (0.201, {"matrix", "gamma", "contrast", "brightness", "bias"}),
        (0.299, {"matrix", "gamma", "contrast", "brightness", "bias"}),
        (0.301, {"matrix"}),
        (0.599, {"matrix"}),
        (0.601, set()),
    ],
)
def test_each_change_is_made_with_its_probability(chance: float, expected: set[str]) -> None:
    elastic = {"elastic_voxels"} if chance < 0.4 else set()
    assert changed(drawn(1.0, chance)) == expected | elastic


@pytest.mark.parametrize("chance, is_deformed", [(0.399, True), (0.401, False)])
def test_two_of_five_patches_are_deformed(chance: float, is_deformed: bool) -> None:
    assert any(drawn(1.0, chance).elastic_voxels) is is_deformed


@pytest.mark.parametrize("chance, sign", [(0.499, -1.0), (0.501, 1.0)])
def test_a_named_axis_is_mirrored_every_second_time(chance: float, sign: float) -> None:
    # With chance below 0.6 the patch is rotated, too: the sign of the volume tells one mirrored axis.
    assert np.sign(np.linalg.det(np.array(drawn(0.5, chance, mirror="y").matrix))) == sign


def turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation of vectors (z, y, x) about one of their axes."""
    a, b = (other for other in range(3) if other != axis)
    matrix, angle = np.eye(3), np.radians(degrees)
    matrix[a, a] = matrix[b, b] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize("place, sign", [(0.0, -1.0), (1.0, 1.0)])
def test_volumes_turn_by_up_to_20_degrees_in_the_plane_and_12_out_of_it_and_are_scaled(
    place: float, sign: float
) -> None:
    rotation = turn(0, sign * 20) @ turn(1, sign * 12) @ turn(2, sign * 12)
    expected = rotation * np.exp(sign * (0.28 + 0.1))
    np.testing.assert_allclose(np.array(drawn(place).matrix), expected, atol=1e-12)


@pytest.mark.parametrize("place, sign", [(0.0, -1.0), (1.0, 1.0)])
@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (9.0, 2.0, 3.0)])
def test_thick_slices_turn_by_up_to_30_degrees_and_keep_their_distance(
    place: float, sign: float, spacing: Vector
) -> None:
    in_mm = turn(0, sign * 30) @ np.diag([1.0, *(2 * [np.exp(sign * (0.28 + 0.1))])])
    _, y, x = spacing
    expected = np.diag([1.0, 1 / y, 1 / x]) @ in_mm @ np.diag([1.0, y, x])
    np.testing.assert_allclose(np.array(drawn(place, spacing=spacing).matrix), expected, atol=1e-12)


@pytest.mark.parametrize("thickness, is_flat", [(2.99, False), (3.0, True)])
def test_slices_are_thick_from_three_times_their_larger_pixel_side_on(thickness: float, is_flat: bool) -> None:
    matrix = np.array(drawn(1.0, spacing=(thickness, 0.5, 1.0)).matrix)
    assert (not matrix[0, 1:].any()) is is_flat
