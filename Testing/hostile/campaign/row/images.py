"""Broken images and random damage to them, through the command line, `verify`, the worker and Slicer's scene."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli, errors
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine
from MultiTaskSegLib.runtime.image.image_file import require_contrast
from MultiTaskSegLib.runtime.worker import Worker
from Testing.hostile.broken_image import BrokenImage
from Testing.hostile.campaign.read_by_slicer_alone import READ_BY_SLICER_ALONE
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.hostile.catalogue import broken_images
from Testing.hostile.mutation import mutants
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.dataset_folder import CASES, image_path, label_path, write_dataset
from trainer.verification.verify import run_verify

VARIANTS = 5
# Slicer's own reader asks for so much memory that the application ends, before anything of ours is asked.
ENDS_SLICER = ("claim", "negative size")
RESULTS = {"segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", "report.json"}
ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha", ".png")


@cache
def kinds() -> dict[str, BrokenImage]:
    """All broken images by name."""
    return {broken.name: broken for broken in broken_images()}


def is_for(door: str, name: str, variant: int) -> bool:
    """Whether a kind can come in by a door.

    Datasets hold files of some formats only. Slicer's own reader comes before the scene, and an image that claims to be
    larger than the memory ends Slicer itself there: random damage can do that, too.
    """
    if door == "verify":
        return not name.startswith(("dicom", "path", "jpeg"))
    return door != "scene" or (variant == 0 and not any(words in name for words in ENDS_SLICER))


def attempt(case: str, ground: Ground) -> None:
    """``DOOR: KIND #VARIANT``; variant 0 is as the catalogue makes it, the others have random damage besides."""
    door, _, rest = case.partition(": ")
    name, _, variant = rest.rpartition(" #")
    broken = kinds()[name]
    source = ground.folder / "in"
    source.mkdir()
    path = damaged(broken.make(source), int(variant))
    is_known = door == "scene" and name in READ_BY_SLICER_ALONE
    says = broken.says if variant == "0" and not is_known else ""
    DOORS[door](path, says, ground)


def damaged(path: Path, variant: int) -> Path:
    """The same path, after random damage to its first file unless the variant is 0.

    Raises:
        NotHere: nothing is there to be damaged: it would be tried again as it is.
    """
    if variant:
        inside = sorted(file for file in path.rglob("*") if file.is_file()) if os.path.isdir(path) else []
        # A name may be too long even to ask about it.
        files = [path] if os.path.isfile(path) else inside
        content = files[0].read_bytes() if files else b""
        if not content:
            raise NotHere("there is no byte to damage")
        files[0].write_bytes(next(mutants(content, 1, variant)))
    return path


def by_command_line(path: Path, says: str, ground: Ground) -> None:
    """Refused in one line with exit code 4; where nothing has to be said, a whole result is right, too."""
    model = ground.once("tiny.mts.safetensors", write_tiny_model)
    out, err, output = io.StringIO(), io.StringIO(), ground.folder / "out"
    with redirect_stdout(out), redirect_stderr(err):
        code = cli.main(["segment", str(path), "-m", str(model), "-o", str(output)])
    said = err.getvalue()
    require("Traceback" not in said and "unexpected error" not in said, f"a traceback: {said[-200:]}")
    if code == 4:
        require(len(said.splitlines()) == 1, f"more than one line: {said[:200]}")
        require(not output.exists() or not any(output.iterdir()), "a refused image left results")
        require(re.search(says, said), f"says {said!r}, not {says!r}")
    else:
        require(not says and code in (0, 3), f"exit code {code}, but it is broken")
        require({file.name for file in output.iterdir()} == RESULTS, "results are missing")


def by_verify(path: Path, says: str, ground: Ground) -> None:
    """A defect of this case, in words, and exit code 4."""
    ending = next((end for end in ENDINGS if path.name.endswith(end)), "")
    if not ending or not os.path.isfile(path):
        raise NotHere("verify takes datasets of " + ", ".join(ENDINGS))
    folder = write_dataset(ground.folder / "Dataset001_A", ".png" if ending == ".png" else ".nii.gz")
    if ending not in (".png", ".nii.gz"):
        _convert(folder, ending)
    image_path(folder, CASES[0], ending).write_bytes(path.read_bytes())
    lines: list[str] = []
    with redirect_stderr(io.StringIO()):
        code = run_verify([folder], lines.append)
    require(all("\n" not in line and "Traceback" not in line for line in lines), "more than one line")
    # That the image no longer fits its label map is a defect of the case, too; here the image's own counts.
    told = [line for line in lines if CASES[0] in line and line.startswith("defect") and re.search(says, line)]
    require(not says or (code == 4 and told), f"not found: {lines[:3]}")


def _convert(folder: Path, ending: str) -> None:
    for case in CASES:
        for place in (image_path, label_path):
            sitk.WriteImage(sitk.ReadImage(str(place(folder, case))), str(place(folder, case, ending)))
            place(folder, case).unlink()
    path = folder / "dataset.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "file_ending": ending}))


def by_worker(path: Path, says: str, ground: Ground) -> None:
    """As Slicer's batches ask: an error event with the words; where nothing has to be said, a whole result, too."""
    model = ground.once("tiny.mts.safetensors", write_tiny_model)
    events: list[dict[str, object]] = []
    request = {"id": 1, "command": "segment", "image": str(path), "model": str(model), "device": "cpu"}
    line = json.dumps({**request, "write": True, "output": str(ground.folder / "out")})
    with redirect_stderr(io.StringIO()):
        require(Worker(events.append, machine()).handle(line), "the worker ended")
    last = events[-1]
    require(last["event"] in ("error", "result"), f"ended with {last}")
    if last["event"] == "error":
        require(is_foreseen(last), f"unexpected: {last}")
        require("\n" not in str(last["message"]), f"more than one line: {last}")
        require(re.search(says, str(last["message"])), f"says {last}, not {says!r}")
    else:
        require(not says, "a result, but it is broken")
        require({file.name for file in Path(str(last["files"])).iterdir()} == RESULTS, "results are missing")


def is_foreseen(event: Mapping[str, object]) -> bool:
    """Whether an error of the worker is one of ours: it tells all others as internal, and a key as one of the request.

    Args:
        event: of a request that lacks nothing.
    """
    kind = getattr(errors, str(event["kind"]), None)
    is_ours = isinstance(kind, type) and issubclass(kind, MtsError)
    return is_ours and "the request lacks" not in str(event["message"])


@cache
def machine() -> TorchMachine:
    """One for all cases: the model stays loaded."""
    return TorchMachine()


def by_scene(path: Path, says: str, ground: Ground) -> None:
    """Read by Slicer's own reader, then taken from the scene: refused by either, or used with finite voxels.

    Used may only be what is not known to be broken, or what Slicer's reader gives out for whole.

    Raises:
        NotHere: Slicer's reader is not asked for it.
    """
    # A name may be too long even to ask about it.
    if not os.path.isfile(path):
        raise NotHere("Slicer's own reader takes one file")
    try:
        import slicer
    except ImportError as error:
        raise NotHere("slicer-core is not installed") from error
    from MultiTaskSegLib.scene.volume import image_from_node
    from Testing.hostile.campaign.scene import opened_scene, read_by_slicer

    opened_scene()
    node = read_by_slicer(path)
    try:
        if node is None:
            return
        try:
            image = image_from_node(node)
            require_contrast(image)
        except MtsError as refused:
            require("\n" not in str(refused), "more than one line")
            return
        require(not says, "used, but it is broken")
        require(np.isfinite(image.voxels).all() and np.isfinite(image.ijk_to_lps).all(), "not finite")
    finally:
        slicer.mrmlScene.Clear()


DOORS = {"cli": by_command_line, "verify": by_verify, "worker": by_worker, "scene": by_scene}
IMAGES = ListedTrial(
    "images",
    f"{len(kinds())} kinds of broken images, each also with {VARIANTS - 1} kinds of random damage, "
    "through the command line, verify, the worker and Slicer's scene",
    "refused in one line that says what is wrong, or a whole result; no crash, no traceback",
    tuple(
        f"{door}: {name} #{variant}"
        for door in DOORS
        for name in kinds()
        for variant in range(VARIANTS)
        if is_for(door, name, variant)
    ),
    attempt,
)
