"""The models that come with MultiTaskSeg."""

from __future__ import annotations

from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.model_folder import ENDING, model_folder, user_models

MODEL_3D = f"mr3d{ENDING}"
MODEL_2D = f"planar2d{ENDING}"
MODEL_HEAD = f"head_brain{ENDING}"
FILES = (MODEL_3D, MODEL_2D, MODEL_HEAD)
NAMES = tuple(name.removesuffix(ENDING) for name in FILES)


def named_model(text: str) -> Path:
    """The path of a model file; where no such file lies here, that of a model of the list by its name (``mr3d``).

    Raises:
        ModelError: the released model is not installed.
        ResourceError: the folder of the user's models cannot be read.
    """
    path = Path(text)
    if path.exists() or path.name != text:
        return path
    for name in FILES:
        if text in (name, name.removesuffix(ENDING)):
            return _installed(name)
    own = user_models(model_folder(), NAMES)
    return own.get(text) or own.get(text.removesuffix(ENDING), path)


def released_models() -> list[Path]:
    """The released models that are installed."""
    paths = []
    for name in FILES:
        try:
            paths.append(_installed(name))
        except ModelError:
            continue
    return paths


def released_model(planar: bool) -> Path:
    """Path of the released model of several tasks for 2-D (``planar``) or 3-D images.

    Raises:
        ModelError: it is not installed.
    """
    return _installed(MODEL_2D if planar else MODEL_3D)


def _installed(name: str) -> Path:
    # The same relative place holds in the source tree, in an installed Slicer extension (where Resources lies beside
    # MultiTaskSegLib) and in a wheel (where it lies inside).
    package = Path(__file__).resolve().parents[2]
    for folder in (package.parent / "Resources", package / "Resources"):
        path = folder / "Models" / name
        if path.is_file():
            return path
    raise ModelError(
        f"the released model {name} is not installed",
        remedy="Install MultiTaskSeg again or choose a model file of your own",
    )
