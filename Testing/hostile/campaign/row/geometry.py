"""Every way in which voxels can be stored, under a transform, through a real MRML scene and back: none is displaced."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.image.volume import LPS_TO_RAS, Volume
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.runtime.orientation import OBLIQUE_DEG, SPACINGS_MM, axis_matrices, grid
from Testing.runtime.test_reoriented_copies import arrange, ball, stored_as
from Testing.runtime.tiny_model import write_tiny_model

TOLERANCE_MM = 1e-6
MOVED_DEG, MOVED_MM = (11.0, -37.0, 52.0), (-4.0, 60.0, 11.0)


@cache
def loaded(path: Path) -> Predictor:
    """The tiny model."""
    return Predictor.load(path, "cpu")


def attempt(case: str, ground: Ground) -> None:
    """``AXES, OBLIQUE, SPACING``: number of the axis matrix, names of angle and voxel size."""
    number, oblique, spacing = case.split(", ")
    axes = axis_matrices()[int(number)]
    try:
        import slicer
    except ImportError as error:
        raise NotHere("slicer-core is not installed") from error
    from MultiTaskSegLib.scene.segmentation import add_segmentation
    from MultiTaskSegLib.scene.volume import image_from_node
    from Testing.hostile.campaign.scene import opened_scene
    from Testing.slicer import scene_samples

    opened_scene()
    predictor = loaded(ground.once("tiny.mts.safetensors", write_tiny_model))
    labels = labels_as_stored_first(predictor, oblique, spacing)
    first = grid(np.eye(3), OBLIQUE_DEG[oblique], SPACINGS_MM[spacing])
    stored = stored_as(Volume(ball("straight").voxels, first), axes)
    node = slicer.util.addVolumeFromArray(stored.voxels, ijkToRAS=LPS_TO_RAS @ stored.ijk_to_lps, name="Scan")
    moved = grid(np.eye(3), MOVED_DEG, (1.0, 1.0, 1.0), MOVED_MM)
    scene_samples.linear_transform(node, moved)
    image = image_from_node(node)
    off_mm = np.abs(image.ijk_to_ras - moved @ LPS_TO_RAS @ stored.ijk_to_lps).max()
    require(off_mm <= TOLERANCE_MM, f"the image lies {off_mm:g} mm off")
    found = predictor.segment(image).labels
    require(labels.any(), "there is no structure whose place could be judged")
    different = int((found != arrange(labels, axes)).sum())
    require(different == 0, f"{different} voxels have another label")
    segmentation = add_segmentation(node, found, scene_samples.LEGEND, "Result")
    compare(node, segmentation, found, moved @ LPS_TO_RAS @ stored.ijk_to_lps)
    slicer.mrmlScene.Clear()


@cache
def labels_as_stored_first(predictor: Predictor, oblique: str, spacing: str) -> np.ndarray:
    """Labels ``(Z, Y, X)`` of the image in the same place of the world, its axes as they were drawn."""
    moved = grid(np.eye(3), MOVED_DEG, (1.0, 1.0, 1.0), MOVED_MM)
    first = grid(np.eye(3), OBLIQUE_DEG[oblique], SPACINGS_MM[spacing])
    # In LPS the same turn of the world is another matrix.
    return predictor.segment(Volume(ball("straight").voxels, LPS_TO_RAS @ moved @ LPS_TO_RAS @ first)).labels


def compare(node: object, segmentation: object, labels: np.ndarray, ijk_to_ras: np.ndarray) -> None:
    """Require that each segment's voxels lie in the world where the labels do."""
    from Testing.slicer.scene.test_scene_geometry import in_world, segment_in_world

    for value, name in ((1, "anterior"), (2, "posterior")):
        wanted = in_world(np.argwhere(labels == value)[:, ::-1], ijk_to_ras)
        placed = segment_in_world(segmentation, name) if len(wanted) else wanted
        require(len(placed) == len(wanted), f"{name}: {len(placed)} voxels, not {len(wanted)}")
        off_mm = np.abs(placed - wanted).max() if len(wanted) else 0.0
        require(off_mm <= TOLERANCE_MM, f"{name}: {off_mm:g} mm displaced")


GEOMETRY = ListedTrial(
    "geometry",
    "48 axis orders and flips, 3 angles, 3 voxel sizes, under a transform, through a real MRML scene",
    "no voxel has another label or lies elsewhere",
    tuple(f"{axes}, {oblique}, {spacing}" for axes in range(48) for oblique in OBLIQUE_DEG for spacing in SPACINGS_MM),
    attempt,
)
