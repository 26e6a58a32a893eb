"""Broken image files through Slicer's own reader and through ours, which refuses also what Slicer's takes."""

from __future__ import annotations

from collections.abc import Callable

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.image.image_file import read_image, require_contrast
from MultiTaskSegLib.runtime.image.volume import Volume
from Testing.hostile.campaign.read_by_slicer_alone import READ_BY_SLICER_ALONE
from Testing.hostile.campaign.row.images import is_for, kinds
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require

TAKEN = "kinds that Slicer's own reader takes"
REFUSED = "of these refused by our reader of files"
USED = "of these not noticed in Slicer's scene, where their voxels or headers are already mended"


def is_one_file(name: str) -> bool:
    """Whether a kind is an image file: folders of DICOM files are another reader's."""
    return not name.startswith(("dicom", "path"))


def attempt(case: str, ground: Ground) -> None:
    """The name of a kind of broken image."""
    try:
        import slicer
    except ImportError as error:
        raise NotHere("slicer-core is not installed") from error
    from MultiTaskSegLib.scene.volume import image_from_node
    from Testing.hostile.campaign.scene import opened_scene, read_by_slicer

    path = kinds()[case].make(ground.folder)
    opened_scene()
    node = read_by_slicer(path)
    try:
        is_used = node is not None and not is_refused(lambda: image_from_node(node))
    finally:
        slicer.mrmlScene.Clear()
    is_refused_by_ours = is_refused(lambda: read_image(path))
    words = ((TAKEN, True), (REFUSED, is_refused_by_ours), (USED, is_used))
    ground.counted.extend(word for word, holds in words if holds and node is not None)
    require(is_refused_by_ours, "our reader takes it")
    is_listed = case in READ_BY_SLICER_ALONE
    require(
        is_used == is_listed, "not noticed in the scene" if is_used else "noticed in the scene by now: it is listed"
    )


def is_refused(read: Callable[[], Volume]) -> bool:
    """Whether an image is refused in words."""
    try:
        require_contrast(read())
    except MtsError:
        return True
    return False


READERS = ListedTrial(
    "readers",
    "broken image files through Slicer's own reader, and through ours",
    "ours refuses every kind; what Slicer's takes and its scene does not show is listed",
    tuple(name for name in kinds() if is_one_file(name) and is_for("scene", name, 0)),
    attempt,
)
