"""Pixels of several values that are grey all the same: stored as colours that are alike, or with an opaque alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError

_NEUTRAL_CHROMA = 128
_REMEDY = "Save it as a grey-scale image without transparency"


def grey(pixels: NDArray[Any], path: Path, is_luma: bool = False) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The grey values ``(Z, Y, X)`` of pixels ``(Z, Y, X)`` or ``(Z, Y, X, C)``, and what there is to know about it.

    Args:
        pixels: one value or three colours, alone or with alpha.
        path: the file, for messages.
        is_luma: whether three values are brightness and two chroma (YBR) that nobody has turned into colours.

    Raises:
        InputError: the pixels are in colour or partly transparent.
    """
    if pixels.ndim == 3:
        return pixels, ()
    count = pixels.shape[-1]
    if count not in (2, 3, 4):
        raise InputError(f"the image holds {count} values per pixel", file=path, remedy=_REMEDY)
    colours, alpha = np.split(pixels, [count if count == 3 else count - 1], axis=-1)
    if (alpha != alpha.reshape(-1)[:1]).any():
        raise InputError("the image is partly transparent", file=path, remedy=_REMEDY)
    if count == 2:
        return colours[..., 0], ()
    others = colours[..., 1:]
    is_grey = (others == colours[..., :1]).all() or (is_luma and (others == _NEUTRAL_CHROMA).all())
    if not is_grey:
        raise InputError("the image is in colour", file=path, remedy="Save it as a grey-scale image")
    return colours[..., 0], ("the image is stored in colour but grey; one channel is used",)
