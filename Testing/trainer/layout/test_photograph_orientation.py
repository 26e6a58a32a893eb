"""A colour picture that viewers turn is read as it is stored, on a grid that says how it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.image.content_window import content_window
from MultiTaskSegLib.runtime.image.geometry import canonical_reorientation
from trainer.layout.case import Case
from trainer.layout.photograph import PhotographReader

image_module = pytest.importorskip("PIL.Image", reason="Pillow writes the pictures of these tests")


def test_a_turned_colour_picture_is_looked_at_upright(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 3)).astype(np.uint8)
    tag = image_module.Exif()
    tag[0x112] = 3
    image_module.fromarray(pixels).save(tmp_path / "upright.png")
    image_module.fromarray(pixels[::-1, ::-1].copy()).save(tmp_path / "turned.png", exif=tag)
    upright, turned = (
        PhotographReader().image(Case(name, tmp_path / f"{name}.png", None, name)) for name in ("upright", "turned")
    )
    np.testing.assert_array_equal(turned.voxels, upright.voxels[:, ::-1, ::-1])
    shown = canonical_reorientation(turned).apply(turned.voxels)
    np.testing.assert_array_equal(shown, canonical_reorientation(upright).apply(upright.voxels))
    # The first stored pixel is the last one that is shown: column 8 of 9, row 5 of 6.
    np.testing.assert_array_equal(turned.ijk_to_lps @ [0, 0, 0, 1], [8, 5, 0, 1])


def test_grey_with_alpha_is_read_whatever_the_alpha_says(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (6, 9, 2)).astype(np.uint8)
    image_module.fromarray(pixels, "LA").save(tmp_path / "a.png")
    found = PhotographReader().image(Case("a", tmp_path / "a.png", None, "a")).voxels
    np.testing.assert_array_equal(found[0], pixels[..., 0])


def test_the_grey_of_a_pixel_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (61, 83, 3)).astype(np.uint8)
    found = {}
    for name, part in (("whole", pixels), ("part", pixels[3:, 5:])):
        image_module.fromarray(part.copy()).save(tmp_path / f"{name}.png")
        found[name] = PhotographReader().image(Case(name, tmp_path / f"{name}.png", None, name)).voxels
    np.testing.assert_array_equal(found["part"], found["whole"][:, 3:, 5:])


def test_a_colour_jpeg_is_as_large_as_the_same_picture_in_png(tmp_path: Path) -> None:
    inner = np.random.default_rng(0).integers(80, 250, (37, 46)).astype(np.uint8)
    grey = np.pad(inner, ((13, 5), (11, 9)))
    windows = []
    for name in ("a.png", "a.jpg"):
        picture = image_module.fromarray(np.stack([grey, grey, grey // 2], -1))
        picture.save(tmp_path / name, quality=97, subsampling=0)
        voxels = PhotographReader().image(Case("a", tmp_path / name, None, "a")).voxels
        windows.append(content_window(voxels, float(voxels.min())))
    assert windows[0] == windows[1]
