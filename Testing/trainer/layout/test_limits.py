"""Limits of the layouts as promised, with a value on either side of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import Case, LabelMap
from trainer.layout.class_folders import require_classes
from trainer.layout.listing import Listing
from trainer.layout.nnunet import read_labels
from trainer.layout.view import sliced


@pytest.mark.parametrize("count, is_allowed", [(1, False), (2, True), (255, True), (256, False)])
def test_there_are_2_to_255_classes(count: int, is_allowed: bool) -> None:
    counts = {f"class{number}": 2 for number in range(count)}
    if is_allowed:
        require_classes(counts, Path("D"))
    else:
        with pytest.raises(DatasetError, match=f"there are {count} classes, not 2 to 255"):
            require_classes(counts, Path("D"))


@pytest.mark.parametrize("images, says", [(0, "class b has 0 images"), (1, "class b has 1 image:"), (2, "")])
def test_a_class_has_at_least_two_images(images: int, says: str) -> None:
    if not says:
        require_classes({"a": 2, "b": images}, Path("D"))
    else:
        with pytest.raises(DatasetError, match=says):
            require_classes({"a": 2, "b": images}, Path("D"))


@pytest.mark.parametrize("value, is_allowed", [(-1, False), (1, True), (255, True), (256, False)])
def test_label_values_are_1_to_255(value: int, is_allowed: bool) -> None:
    info = {"labels": {"background": 0, "a": value}}
    if is_allowed:
        assert read_labels(info, Path("D")) == {value: "a"}
    else:
        with pytest.raises(DatasetError, match=r"1 to 255|not an integer"):
            read_labels(info, Path("D"))


def test_a_value_of_0_is_background_by_any_name_and_alone_no_label() -> None:
    assert read_labels({"labels": {"nothing": 0, "a": 2}}, Path("D")) == {2: "a"}
    with pytest.raises(DatasetError, match="1 to 255"):
        read_labels({"labels": {"nothing": 0}}, Path("D"))


@dataclass(frozen=True)
class Spreads:
    """A volume whose slices have given standard deviations."""

    of_slices: tuple[float, ...]

    def image(self, case: Case) -> Volume:
        pattern = np.where(np.indices((4, 4)).sum(axis=0) % 2, 1.0, -1.0)
        voxels = np.stack([spread * pattern for spread in self.of_slices]).astype(np.float32)
        # Along +z and the canonical order is that of the file.
        return Volume(voxels, np.diag([1.0, 1.0, 3.0, 1.0]))

    def labels(self, case: Case) -> LabelMap:
        raise AssertionError("labels are not looked at")

    def files(self, case: Case) -> tuple[Path, ...]:
        return ()


@pytest.mark.parametrize("weak, is_kept", [(0.0, False), (0.0199, False), (0.0201, True), (1.0, True)])
def test_a_slice_is_an_image_from_a_fiftieth_of_the_largest_spread_on(weak: float, is_kept: bool) -> None:
    case = Case("c", Path("i"), None, "g", Spreads((weak, 1.0, 0.5)))
    found = sliced(Listing("T1", {}, (case,), {}), "axial").cases
    assert len(found) == (3 if is_kept else 2)
