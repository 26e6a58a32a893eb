"""Which image a result belongs to: noted when a run starts, never changed, and compared before anything is shown."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.attributes import PREFIX, write
from MultiTaskSegLib.scene.volume import world_ijk_to_ras
from MultiTaskSegLib.scene.volume_sequence import shown_frame

VOXELS, WORLD, FRAME = "Voxels", "World", "Frame"
TOLERANCE = 1e-4  # of voxel axes, relative: files keep fewer digits than nodes
KEPT_FINGERPRINTS = 64

_fingerprints: OrderedDict[int, str] = OrderedDict()


@dataclass(frozen=True)
class ImageRecord:
    """An image as it was when a run started.

    Attributes:
        voxels: fingerprint of the voxels.
        world: voxel index to RAS millimetres of the world, 16 numbers by row.
        frame: of a sequence, such as ``time=10ms``; empty for an ordinary volume.
    """

    voxels: str
    world: tuple[float, ...]
    frame: str = ""

    @classmethod
    def of(cls, volume_node: slicer.vtkMRMLScalarVolumeNode) -> ImageRecord:
        """The record of a volume as it is now.

        Raises:
            InputError: a parent transform is not linear.
        """
        world = tuple(float(value) for value in world_ijk_to_ras(volume_node).ravel())
        return cls(voxel_fingerprint(volume_node), world, shown_frame(volume_node))

    def require_unchanged(self, volume_node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Refuse a result for a volume that is not what it was when the run started.

        Raises:
            InputError: it shows another frame, or its voxels or its place in the world have changed.
        """
        now = ImageRecord.of(volume_node)
        what = ""
        if now.frame != self.frame:
            what = f"the volume shows {now.frame or 'no frame'} now, and the run was started with {self.frame}"
        elif now.voxels != self.voxels:
            what = "the voxels were changed during the run"
        elif not np.allclose(now.world, self.world, rtol=TOLERANCE, atol=TOLERANCE):
            what = "the volume was moved or its transform was changed during the run"
        if what:
            raise InputError(f"{what}: nothing was added", file=volume_node.GetName(), remedy="Start the run again")

    def write(self, node: slicer.vtkMRMLNode) -> None:
        """Write the record onto a node, from which `changed_since` reads it."""
        write(node, {VOXELS: self.voxels, WORLD: json.dumps(self.world), FRAME: self.frame})


def changed_since(volume_node: slicer.vtkMRMLScalarVolumeNode, result_node: slicer.vtkMRMLNode) -> bool:
    """Whether a volume is not the image any more that a result (or the volume itself) has a record of.

    Moving the image counts only where it changes the size or the direction of its voxels, which a model looks at.
    """
    voxels, world = (result_node.GetAttribute(f"{PREFIX}{key}") for key in (VOXELS, WORLD))
    if voxels is None or world is None or volume_node.GetImageData() is None:
        return True
    try:
        axes = world_ijk_to_ras(volume_node)[:3, :3]
    except InputError:
        return True
    noted = np.reshape(json.loads(world), (4, 4))[:3, :3]
    is_same_shape = np.allclose(axes, noted, rtol=TOLERANCE, atol=TOLERANCE * float(np.abs(noted).max()))
    return not is_same_shape or voxel_fingerprint(volume_node) != voxels


def voxel_fingerprint(volume_node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """The same for the same voxels, also after a scene was saved and loaded. Takes 0.1 s for 350 MB, and once only."""
    time_stamp = volume_node.GetImageData().GetMTime()  # no two states of any images in one session share one
    if time_stamp not in _fingerprints:
        _fingerprints[time_stamp] = array_fingerprint(slicer.util.arrayFromVolume(volume_node))
        while len(_fingerprints) > KEPT_FINGERPRINTS:
            _fingerprints.popitem(last=False)
    return _fingerprints[time_stamp]


def array_fingerprint(array: NDArray[np.generic]) -> str:
    """Checksum, type and shape of an array."""
    checksum = zlib.crc32(memoryview(np.ascontiguousarray(array)).cast("B"))
    return f"{checksum:08x} {array.dtype.name} {'x'.join(map(str, array.shape))}"
