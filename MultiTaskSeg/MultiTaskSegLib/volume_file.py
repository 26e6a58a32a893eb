"""The voxels of an image as a file for the worker. No torch here."""

from __future__ import annotations

import errno
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.runtime import errors
from MultiTaskSegLib.runtime.image.volume import Volume

CHUNK_BYTES = 128 * 2**20  # written at a time; in between it is seen whether anybody still wants it


def write_volume(volume: Volume, folder: Path, stop: threading.Event, stem: str = "voxels") -> dict[str, Any]:
    """Write the voxels to ``folder`` and return the part of the request that describes them.

    Only those of the first channel. Ends early when ``stop`` is set.

    Raises:
        ResourceError: the temporary folder cannot be written or the disk is full.
    """
    path = folder / f"{stem}.npy"
    voxels = np.ascontiguousarray(volume.voxels)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(voxels))
            flat = voxels.reshape(-1)
            step = max(CHUNK_BYTES // voxels.itemsize, 1)
            for start in range(0, flat.size, step):
                if stop.is_set():
                    break
                file.write(flat[start : start + step].data)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        what = "the disk is full" if error.errno == errno.ENOSPC else f"the voxels cannot be written ({error})"
        raise errors.ResourceError(what, file=path, remedy="Free space in the temporary folder") from error
    known = {"name": volume.name, "warnings": list(volume.warnings), "measured": volume.measured}
    return {"voxels": str(path), "ijk_to_ras": volume.ijk_to_ras.tolist(), **known}
