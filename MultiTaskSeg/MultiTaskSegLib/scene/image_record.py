"""Which image a result belongs to: noted when a run starts, never changed, and compared before anything is shown."""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import slicer
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError
from MultiTaskSegLib.scene.attributes import PREFIX, write
from MultiTaskSegLib.scene.volume import world_ijk_to_ras
from MultiTaskSegLib.scene.volume_sequence import shown_frame

VOXELS, WORLD, FRAME, CHANNELS = "Voxels", "World", "Frame", "Channels"
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
        further: records of the image's other channels, in their order.
    """

    voxels: str
    world: tuple[float, ...]
    frame: str = ""
    further: tuple[ImageRecord, ...] = ()

    @classmethod
    def of(
        cls,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        further: Sequence[slicer.vtkMRMLScalarVolumeNode] = (),
    ) -> ImageRecord:
        """The record of a volume as it is now, with those of other channels.

        Raises:
            InputError: a parent transform is not linear.
        """
        world = tuple(float(value) for value in world_ijk_to_ras(volume_node).ravel())
        others = tuple(cls.of(node) for node in further)
        return cls(voxel_fingerprint(volume_node), world, shown_frame(volume_node), others)

    def require_unchanged(
        self,
        volume_node: slicer.vtkMRMLScalarVolumeNode,
        further: Sequence[slicer.vtkMRMLScalarVolumeNode] = (),
    ) -> None:
        """Refuse a result for a volume, or for other channels, that are not what they were when the run started.

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
        for record, node in zip(self.further, further, strict=True):
            record.require_unchanged(node)

    def write(self, node: slicer.vtkMRMLNode, further: Sequence[slicer.vtkMRMLScalarVolumeNode] = ()) -> None:
        """Write the record onto a node, from which `changed_since` reads it; ``further`` are the other channels."""
        write(node, {VOXELS: self.voxels, WORLD: json.dumps(self.world), FRAME: self.frame})
        if self.further:
            write(node, {CHANNELS: json.dumps([[one.voxels, one.world] for one in self.further])})
        for number, channel in enumerate(further):
            node.SetNodeReferenceID(_role(number), channel.GetID())


def forget_channels(node: slicer.vtkMRMLNode) -> None:
    """Take what was noted of other channels off a node."""
    for number in range(len(_noted_channels(node))):
        node.RemoveNodeReferenceIDs(_role(number))
    node.RemoveAttribute(f"{PREFIX}{CHANNELS}")


def changed_since(volume_node: slicer.vtkMRMLScalarVolumeNode, result_node: slicer.vtkMRMLNode) -> bool:
    """Whether a volume is not the image any more that a result (or the volume itself) has a record of.

    So it is, too, when another channel of that image is no longer what it was; one that was removed says nothing.
    Moving the image counts only where it changes the size or the direction of its voxels, which a model looks at.
    """
    voxels, world = (result_node.GetAttribute(f"{PREFIX}{key}") for key in (VOXELS, WORLD))
    if voxels is None or world is None or _differs(volume_node, voxels, json.loads(world)):
        return True
    for number, (other_voxels, other_world) in enumerate(_noted_channels(result_node)):
        channel = result_node.GetNodeReference(_role(number))
        if channel is not None and _differs(channel, other_voxels, other_world):
            return True
    return False


def _differs(volume_node: slicer.vtkMRMLScalarVolumeNode, voxels: str, world: list[float]) -> bool:
    """Whether voxels, or their size or direction, are others than those that were noted."""
    if volume_node.GetImageData() is None:
        return True
    try:
        axes = world_ijk_to_ras(volume_node)[:3, :3]
    except InputError:
        return True
    noted = np.reshape(world, (4, 4))[:3, :3]
    is_same_shape = np.allclose(axes, noted, rtol=TOLERANCE, atol=TOLERANCE * float(np.abs(noted).max()))
    return not is_same_shape or voxel_fingerprint(volume_node) != voxels


def _noted_channels(node: slicer.vtkMRMLNode) -> list[tuple[str, list[float]]]:
    """Fingerprint and place of each further channel that a node has a record of."""
    return [(str(voxels), world) for voxels, world in json.loads(node.GetAttribute(f"{PREFIX}{CHANNELS}") or "[]")]


def has_other_voxels(volume_node: slicer.vtkMRMLScalarVolumeNode, result_node: slicer.vtkMRMLNode) -> bool:
    """Whether a volume, or another channel of the image, has other voxels than a result has a record of."""
    pairs = [(volume_node, result_node.GetAttribute(f"{PREFIX}{VOXELS}"))]
    for number, (voxels, _world) in enumerate(_noted_channels(result_node)):
        pairs.append((result_node.GetNodeReference(_role(number)), voxels))
    return any(node is not None and voxel_fingerprint(node) != voxels for node, voxels in pairs)


def channels_of(result_node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """The volumes of the further channels of a result's image, in their order.

    Raises:
        InputError: one is not in the scene any more.
    """
    nodes = [result_node.GetNodeReference(_role(number)) for number in range(len(_noted_channels(result_node)))]
    if None in nodes:
        raise InputError(
            f"channel {nodes.index(None) + 2} of the image is not in the scene",
            file=result_node.GetName(),
            remedy="Load it and segment again",
        )
    return nodes


def _role(number: int) -> str:
    """Of the reference to a further channel; the image itself is channel 1."""
    return f"{PREFIX}Channel{number + 2}"


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
