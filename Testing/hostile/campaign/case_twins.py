"""Names that differ in case alone, which many file systems take for one: nothing is written over.

Where the file system tells them apart, a second name of the same file (a hard link) looks to the product as they would.
"""

from __future__ import annotations

import io
import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from MultiTaskSegLib.image_folder import output_folders
from MultiTaskSegLib.result_folder import claim, free_folder
from MultiTaskSegLib.runtime import cli
from Testing.hostile.campaign.trial import require


def image_in_the_place_of_a_result(folder: Path, image: Path, model: Path) -> None:
    """The image is called as the result will be, in capitals."""
    twin = folder / "SEGMENTATION.NII.GZ"
    shutil.copy(image, twin)
    _second_name(twin, folder / "segmentation.nii.gz")
    refused(["segment", str(twin), "-m", str(model), "-o", str(folder)], "would overwrite")
    require(twin.read_bytes() == image.read_bytes(), "the image was written over")


def file_of_a_series_in_the_place_of_a_result(folder: Path, image: Path, model: Path) -> None:
    """Among the slices of a DICOM folder lies one that is called as a result, in capitals."""
    series, out = folder / "series", folder / "out"
    series.mkdir()
    out.mkdir()
    twin = series / "REPORT.JSON"
    shutil.copy(image, twin)
    _second_name(twin, out / "report.json")
    refused(["segment", str(series), "-m", str(model), "-o", str(out)], "would overwrite")
    require(twin.read_bytes() == image.read_bytes(), "a slice was written over")


def maps_of_two_images(folder: Path, image: Path, model: Path) -> None:
    """Two images whose maps would be one file."""
    images = [folder / place / name for place, name in (("a", "Scan.nii.gz"), ("b", "scan.nii.gz"))]
    for path in images:
        path.parent.mkdir()
        shutil.copy(image, path)
    maps = folder / "maps"
    refused(["check", *map(str, images), "-m", str(model), "--map", str(maps)], "the same name")
    require(not maps.exists() or not list(maps.iterdir()), "a map was written")


def folders_of_a_batch(folder: Path, *_: Path) -> None:
    """Images of a batch in Slicer, in capitals and with accents stored in two ways."""
    names = ("Scan.nii.gz", "scan.nii.gz", "SCAN.nrrd", "Lékař.nii", unicodedata.normalize("NFD", "LÉKAŘ.nii"))
    found = output_folders([folder / name for name in names], folder / "out")
    alike = {unicodedata.normalize("NFC", path.name).casefold() for path in found}
    require(len(alike) == len(names), f"not distinct: {[path.name for path in found]}")
    (folder / "out" / "Scan").mkdir(parents=True)
    (folder / "out" / "Scan" / "note.txt").write_text("mine")
    free = free_folder(folder / "out" / "Scan", {claim(Path("SCAN_2"))})
    require(free.name == "Scan_3", f"{free.name} is taken")


TWINS: dict[str, Callable[[Path, Path, Path], None]] = {
    "image and result": image_in_the_place_of_a_result,
    "slice and result": file_of_a_series_in_the_place_of_a_result,
    "maps of two images": maps_of_two_images,
    "folders of a batch": folders_of_a_batch,
}


def refused(words: list[str], says: str) -> None:
    """Require that the command line refuses in one line with these words."""
    err = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(err):
        code = cli.main(words)
    said = err.getvalue()
    require(code in (2, cli.EXIT_REFUSED), f"exit code {code}: {said[-200:]}")
    require(says in said and len(said.splitlines()) == 1, f"says {said[-200:]!r}, not {says!r}")


def _second_name(file: Path, name: Path) -> None:
    if not name.exists():  # else the file system takes the two for one by itself
        os.link(file, name)
