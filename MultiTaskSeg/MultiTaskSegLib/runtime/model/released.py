"""The models that come with MultiTaskSeg."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError

ENDING = ".mts.safetensors"
MODEL_3D = f"mr3d{ENDING}"
MODEL_2D = f"planar2d{ENDING}"


def named_model(text: str) -> Path:
    """The path of a model file; of a released one where its name is given (``mr3d``) and no such file lies here.

    Raises:
        ModelError: the released model is not installed.
    """
    path = Path(text)
    for name in (MODEL_3D, MODEL_2D):
        if text in (name, name.removesuffix(ENDING)) and not path.exists():
            return released_model(planar=name == MODEL_2D)
    return path


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
