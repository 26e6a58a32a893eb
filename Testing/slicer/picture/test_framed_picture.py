"""The picture of a row as a PNG file, framed in the colour of its verdict; read back by another program."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK

from MultiTaskSegLib.picture.framed_picture import FRAME_PIXELS, framed_picture
from MultiTaskSegLib.picture.png import png
from MultiTaskSegLib.verdict_words import FOREIGN, KNOWN, UNCHECKED, UNUSUAL


def read_back(data: bytes, folder) -> np.ndarray:
    (folder / "picture.png").write_bytes(data)
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / "picture.png")))


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (160, 121)])
def test_a_png_file_holds_every_pixel(tmp_path, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read_back(png(pixels), tmp_path), pixels)
    np.testing.assert_array_equal(read_back(png(pixels[::-1, ::-1]), tmp_path), pixels[::-1, ::-1])


@pytest.mark.parametrize(
    ("verdict", "main_colour"),
    [
        (KNOWN, (27, 127, 59)),
        (UNUSUAL, (154, 91, 0)),
        (FOREIGN, (179, 38, 30)),
        (UNCHECKED, (92, 95, 102)),
        ("", (92, 95, 102)),
    ],
)
def test_the_frame_has_the_colour_of_the_banner_and_hides_nothing(tmp_path, verdict, main_colour):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)
    found = read_back(framed_picture(pixels, verdict), tmp_path)
    inside = np.s_[FRAME_PIXELS:-FRAME_PIXELS, FRAME_PIXELS:-FRAME_PIXELS]
    np.testing.assert_array_equal(found[inside], pixels)
    frame = np.ones(found.shape[:2], bool)
    frame[inside] = False
    assert (found[frame] == main_colour).all()
