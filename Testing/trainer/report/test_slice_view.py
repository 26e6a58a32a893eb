"""Slice pictures: the right slice, upright, with the verdict in words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from trainer.report.report import png_bytes
from trainer.report.slice_view import CT_WINDOW_HU, CaseView, LabelStyle, best_slice, cut, grey_window, overview_figure

KNOWN = Verdict(False, 1.2, 2.0, 0.5, "heart", {"heart": 1.2})
FOREIGN = Verdict(True, 9.0, 2.0, 0.02, "heart", {"heart": 9.0})


def case_view(ijk_to_lps: NDArray[np.float64] | None = None, verdict: Verdict = KNOWN) -> CaseView:
    """A 4 x 5 x 6 image whose voxels number themselves, with one labelled voxel in slice 2."""
    voxels = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    labels[2, 1, 4] = 1
    volume = Volume(voxels, np.diag([1.0, 2.0, 3.0, 1.0]) if ijk_to_lps is None else ijk_to_lps)
    styles = (LabelStyle(1, "cavity $x$", (255, 0, 0)),)
    return CaseView("<title> $", volume, labels, labels.astype(np.float32), styles, verdict, "heart_$1$", "note")


def words(view: CaseView) -> list[str]:
    return [text.get_text() for axes in overview_figure([view]).axes for text in axes.texts]


def test_best_slice_shows_every_label_before_it_shows_much_of_one() -> None:
    labels = np.zeros((3, 8, 8), dtype=np.uint8)
    labels[0] = 1
    labels[1, :2] = 1
    labels[1, 5:7] = 2
    assert best_slice(labels, axis=0) == 1


def test_best_slice_without_labels_is_the_middle() -> None:
    assert best_slice(np.zeros((5, 8, 6), dtype=np.uint8), axis=2) == 3


def test_axial_cut_is_the_labelled_slice_with_square_millimetres() -> None:
    shown = cut(case_view())
    np.testing.assert_array_equal(shown.image, np.arange(60, 90).reshape(5, 6))
    assert shown.labels[1, 4] == 1
    assert shown.aspect == pytest.approx(2.0)


def test_a_foreign_image_is_cut_in_the_middle_whatever_its_labels_say() -> None:
    view = case_view(verdict=FOREIGN)
    elsewhere = replace(view, labels=np.roll(view.labels, 2, axis=0))
    np.testing.assert_array_equal(cut(elsewhere).image, np.arange(60, 90).reshape(5, 6))


def test_coronal_cut_has_the_top_of_the_patient_upwards() -> None:
    shown = cut(replace(case_view(), plane="coronal"))
    assert shown.image.shape == (4, 6)
    assert shown.image[0, 0] == 96
    assert shown.labels[1, 4] == 1
    assert shown.aspect == pytest.approx(3.0)


def test_a_flipped_image_is_shown_as_the_same_patient() -> None:
    view = case_view()
    flipped = np.diag([-1.0, 2.0, -3.0, 1.0])
    flipped[:3, 3] = (5.0, 0.0, 9.0)
    other = replace(
        view,
        volume=Volume(view.volume.voxels[::-1, :, ::-1].copy(), flipped),
        labels=view.labels[::-1, :, ::-1],
        uncertainty=view.uncertainty[::-1, :, ::-1],
    )
    for one, two in zip((cut(view).image, cut(view).labels), (cut(other).image, cut(other).labels), strict=True):
        np.testing.assert_array_equal(one, two)


def test_ct_is_shown_in_a_soft_tissue_window_and_other_images_by_percentiles() -> None:
    hounsfield = np.linspace(-1000, 1500, 1000, dtype=np.float32).reshape(10, 10, 10)
    assert grey_window(Volume(hounsfield, np.eye(4))) == CT_WINDOW_HU
    low, high = grey_window(Volume(hounsfield + 1000, np.eye(4)))
    assert (low, high) == pytest.approx(np.percentile(hounsfield + 1000, (1, 99.5)))


def test_a_constant_image_has_a_window_of_some_width() -> None:
    low, high = grey_window(Volume(np.ones((2, 2, 2), np.float32), np.eye(4)))
    assert high > low


def test_verdict_is_said_in_words_not_by_colour_alone() -> None:
    assert {"In distribution", r"Recognised as: heart_\$1\$"} <= set(words(case_view()))
    foreign = words(case_view(verdict=FOREIGN))
    assert {"OUT OF DISTRIBUTION", "Do not trust the segmentation."} <= set(foreign)
    assert not any("Recognised" in text for text in foreign)


def test_overview_draws_names_with_any_character() -> None:
    assert png_bytes(overview_figure([case_view(), case_view(verdict=FOREIGN)]))
