"""What is tried and what is warned of: the numbers as they are promised, a value on either side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.candidate import fitting_profiles
from MultiTaskSegLib.runtime.prediction.caution import cautions, weakness
from Testing.runtime.tiny_model import tiny_manifest

PERCENTILE = Intensity("percentile", 1.0, 99.0)


def slices(mm: float, intensity: Intensity = PERCENTILE) -> Profile:
    """Slices of a thickness, 1 mm in the plane."""
    return Profile(f"{mm} mm", "spacing", intensity, spacing_zyx_mm=(mm, 1.0, 1.0))


def volume(z_mm: float, in_plane_mm: float = 1.0) -> Volume:
    voxels = np.arange(60.0, dtype=np.float32).reshape(3, 4, 5)
    return Volume(voxels, np.diag([in_plane_mm, in_plane_mm, z_mm, 1.0]), "ramp")


def tried(seen: Volume, *profiles: Profile) -> list[Profile]:
    tasks = tuple(replace(tiny_manifest().tasks[0], profile=profile) for profile in profiles)
    return fitting_profiles(replace(tiny_manifest(), tasks=tasks), seen)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_profiles_are_tried_up_to_0_35_in_logarithms_farther_than_the_nearest(offset: float) -> None:
    near, inside, outside = (slices(float(np.exp(offset + d))) for d in (0.0, 0.34, 0.36))
    assert tried(volume(1.0), outside, near, inside) == [near, inside]


def test_a_profile_of_several_tasks_is_tried_once_and_in_the_model_s_order() -> None:
    one, other = slices(1.0), slices(1.1)
    assert tried(volume(1.0), other, one, other, one) == [other, one]


@pytest.mark.parametrize("lowest, suits", [(-1.0, True), (0.0, False), (5.0, False)])
def test_absolute_values_are_believed_where_some_lie_below_the_range(lowest: float, suits: bool) -> None:
    seen, ct, mr = volume(1.0), slices(1.0, Intensity("range", 0.0, 100.0)), slices(1.0)
    seen.voxels[0, 0, 0] = lowest
    seen.voxels[seen.voxels == 0] = max(lowest, 0.0)
    assert tried(seen, ct, mr) == ([ct, mr] if suits else [mr])


def test_where_no_scale_suits_every_profile_is_better_than_none() -> None:
    seen, ct = volume(1.0), slices(1.0, Intensity("range", -100.0, 100.0))
    assert tried(seen, ct) == [ct]


@pytest.mark.parametrize(("dice", "is_weak"), [(0.0, True), (0.599, True), (0.6, False), (1.0, False)])
def test_a_mean_dice_below_0_6_is_weak(dice: float, is_weak: bool) -> None:
    assert bool(weakness(replace(tiny_manifest().tasks[0], held_out_dice={"part": dice}))) == is_weak


@pytest.mark.parametrize(("count", "more"), [(1, None), (3, None), (4, "and 1 more"), (5, "and 2 more")])
def test_three_weak_labels_are_named(count: int, more: str | None) -> None:
    dice = {f"part_{n}": 0.1 + 0.05 * n for n in range(count)}
    (sentence,) = weakness(replace(tiny_manifest().tasks[0], held_out_dice=dice))
    assert sum(f"part {n}" in sentence for n in range(count)) == min(count, 3)
    assert ("more:" in sentence) == (more is not None)
    assert more is None or more in sentence


@pytest.mark.parametrize(
    ("z_mm", "in_plane_mm", "is_coarse"),
    [(9.9, 1.0, False), (10.1, 1.0, True), (5.0, 1.99, False), (5.0, 2.01, True), (0.1, 0.1, False)],
)
def test_voxels_more_than_twice_as_long_as_the_profile_s_along_any_axis_are_coarse(
    z_mm: float, in_plane_mm: float, is_coarse: bool
) -> None:
    task = replace(tiny_manifest().tasks[0], profile=slices(5.0))
    verdict = Verdict(False, 1.0, 2.0, 0.5, task.name, {})
    frame = input_frame(volume(z_mm, in_plane_mm), task.profile)
    found = cautions(frame, task, verdict, is_recognised=False, is_something_found=True)
    size = f"{in_plane_mm:.3g} × {in_plane_mm:.3g} × {z_mm:.3g} mm"
    seen = f"{max(1.0, in_plane_mm / 2):.3g} × {max(1.0, in_plane_mm / 2):.3g} × {max(5.0, z_mm / 2):.3g}"
    sentence = f"the voxels ({size}) are much coarser than in the training images (1 × 1 × 5 mm)"
    sentence += f"; the model saw them at {seen} mm"
    assert [text for text in found if "coarser" in text] == ([sentence] if is_coarse else [])
