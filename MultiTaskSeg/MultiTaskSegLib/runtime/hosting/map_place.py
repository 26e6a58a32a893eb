"""Where the maps of a check go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.image_file import image_ending, image_name
from MultiTaskSegLib.runtime.image.sitk_image import made_here
from MultiTaskSegLib.runtime.machine.result_place import require_result_place


def map_paths(images: Sequence[Path], directory: Path | None) -> dict[Path, Path]:
    """Where the map of each image goes; nowhere without a directory. Only an earlier map may be there already.

    Args:
        images: files or folders.
        directory: for all maps.

    Raises:
        InputError: a map would replace an image, or a file that is no map.
        UsageError: two images have the same name.
    """
    if directory is None:
        return {}
    names = {image: image_name(image) for image in images}
    stems = {image: name[: len(name) - len(image_ending(Path(name)))] for image, name in names.items()}
    paths = {image: directory / f"{stem}_foreign.nii.gz" for image, stem in stems.items()}
    # Windows and macOS do not tell names apart that differ in case alone.
    if len({str(path).casefold() for path in paths.values()}) < len(paths):
        raise UsageError("two images have the same name", remedy="Write their maps to different folders")
    require_result_place(directory, [path.name for path in paths.values()], images)
    for path in paths.values():
        if path.exists() and not made_here(path):
            raise InputError(
                "a file that is no map of an earlier check would be overwritten",
                file=path,
                remedy="Write the maps to another folder",
            )
    return paths
