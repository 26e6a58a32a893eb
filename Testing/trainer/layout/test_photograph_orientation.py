"""A colour picture that viewers turn is read as it is stored, on a grid that says how it is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
