"""The models that come with MultiTaskSeg."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError

MODEL_3D = "mr3d.mts.safetensors"
MODEL_2D = "planar2d.mts.safetensors"


def released_model(planar: bool) -> Path:
    """Path of the released model for 2-D (``planar``) or 3-D images.

    The same relative place holds in the source tree, in an installed Slicer extension (where ``Resources`` lies
    beside ``MultiTaskSegLib``) and in a wheel (where it lies inside).

    Raises:
        ModelError: it is not installed.
    """
    name = MODEL_2D if planar else MODEL_3D
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parent / "Resources", package / "Resources"):
        path = folder / "Models" / name
        if path.is_file():
            return path
    raise ModelError(
        f"the released model {name} is not installed",
        remedy="Install MultiTaskSeg again or choose a model file of your own",
    )
