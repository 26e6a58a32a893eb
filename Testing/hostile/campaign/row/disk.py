"""Disks that fill up, that may not be written, and difficult paths: what was there stays, and an error says why."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from Testing.hostile.campaign.case_twins import TWINS
from Testing.hostile.campaign.own_mounts import FILLER, full, read_only, small_disk, with_own_mounts
from Testing.hostile.campaign.trial import Broken, Ground, ListedTrial, NotHere, require
from Testing.runtime.imported.imported_models import results_folder
from Testing.runtime.tiny_model import write_tiny_model
from trainer.report.run_folder import RunFolder
from trainer.training.checkpoint import load_checkpoint, save_checkpoint

IDENTITY = {"tasks": []}
NOBODY = 65534  # the account without rights, on Linux
LIMITS = (0, 100, 3000)  # bytes that still fit
READ_ONLY, FULL, OTHER_CASE = "read-only disk", "full disk", "names in other case"
MOUNTED = (READ_ONLY, FULL)
LONG = "/".join(["a" * 60] * 5)
NAMES = {"spaces": "my  results", "non-ASCII": "Lékař 模型 ß", "300 characters": LONG, "quotes": "a'b\"c;$(x)"}


def _checkpoint(folder: Path, _: Ground) -> None:
    save_checkpoint(folder / "checkpoint.pt", {"weights": torch.ones(5000)}, IDENTITY)


def _model(folder: Path, _: Ground) -> None:
    write_tiny_model(folder / "tiny.mts.safetensors")


def _import(folder: Path, ground: Ground) -> None:
    results = ground.once("results", results_folder)
    import_model(results, folder / "imported.mts.safetensors", Choice(), "CC0")


def _log(folder: Path, _: Ground) -> None:
    RunFolder(folder / "model.mts.safetensors").write_json("config.json", {"a": "x" * 5000})


def _command(*words: str) -> Callable[[Path, Ground], None]:
    def run(folder: Path, ground: Ground) -> None:
        image = ground.once("image.nii.gz", _write_image)
        places = {"{image}": str(image), "{model}": str(_model_of(ground)), "{out}": str(folder)}
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = cli.main([places.get(word, word) for word in words])
        said = err.getvalue()
        if code:
            require(code == cli.EXIT_REFUSED and len(said.splitlines()) == 1, f"exit code {code}: {said[-200:]}")
            raise MtsError(said.strip())

    return run


def _model_of(ground: Ground) -> Path:
    return ground.once("tiny.mts.safetensors", lambda path: write_tiny_model(path, with_cells=True))


def _write_image(path: Path) -> None:
    voxels = np.random.default_rng(8).normal(200, 40, (20, 24, 28)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))


DOORS: dict[str, Callable[[Path, Ground], None]] = {
    "checkpoint": _checkpoint,
    "model file": _model,
    "import": _import,
    "settings of a run": _log,
    "results": _command("segment", "{image}", "-m", "{model}", "-o", "{out}"),
    "maps": _command("check", "{image}", "-m", "{model}", "--map", "{out}"),
}


@contextmanager
def filled(limit: int) -> Iterator[None]:
    """Files can grow to so many bytes and no further: what a library meets on a disk that fills up."""
    try:
        import resource
    except ImportError as error:
        raise NotHere("this system cannot limit the size of files") from error
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """In the folder nothing may be made, changed or removed."""
    if not hasattr(os, "geteuid"):
        raise NotHere("this system has other rights")
    folder.chmod(0o555)
    for path in (folder, *folder.parents[:2]):
        path.chmod(path.stat().st_mode | 0o555)
    is_root = os.geteuid() == 0
    if is_root:  # whom no rights hold back
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def attempt(case: str, ground: Ground) -> None:
    """``DOOR: FAULT``, or ``names in other case: TWINS``."""
    door, _, fault = case.partition(": ")
    folder = ground.folder / NAMES.get(fault, "out")
    if fault in NAMES:
        named(DOORS[door], folder, ground)
        return
    folder.mkdir()
    if door == OTHER_CASE:
        TWINS[fault](folder, ground.once("image.nii.gz", _write_image), _model_of(ground))
    elif fault in MOUNTED:
        DOORS[door](ground.folder / "first", ground)  # loads what is loaded late, and makes what the row keeps
        with_own_mounts(lambda: hindered(door, fault, folder, ground))
    else:
        hindered(door, fault, folder, ground)


def named(write: Callable[[Path, Ground], None], folder: Path, ground: Ground) -> None:
    """Require that a folder of a difficult name gets what any other folder gets, and that nothing lies elsewhere."""
    plain = ground.folder / "plain"
    write(plain, ground)
    write(folder, ground)
    wanted, found = (set(content(place)) for place in (plain, folder))
    require(found == wanted and found, f"holds {sorted(found)}, not {sorted(wanted)}")
    places = {plain.name, folder.relative_to(ground.folder).parts[0]}
    require({path.name for path in ground.folder.iterdir()} == places, "something lies elsewhere")


def hindered(door: str, fault: str, folder: Path, ground: Ground) -> None:
    """Write twice, the second time with the fault: what the first time left stays, and words say why."""
    write = DOORS[door]
    if fault == FULL:
        small_disk(folder)
    write(folder, ground)  # what was there before; it also makes what the row keeps
    before = content(folder)
    require(before, "nothing was written")
    try:
        with _fault(fault, folder):
            write(folder, ground)
    except MtsError as refused:
        require("\n" not in str(refused), "more than one line")
        require(str(ground.folder) in str(refused), f"does not say where: {refused}")
    else:
        after = content(folder)
        require(after.keys() == before.keys(), f"left {sorted(after)}")
        if fault.startswith("full after") and all(len(data) <= LIMITS[-1] for data in after.values()):
            return  # everything was small enough
        raise Broken("said nothing")
    after = content(folder)
    require(after == before, f"what was there has changed: {sorted(after.keys() ^ before.keys()) or 'content'}")
    if door == "checkpoint":
        load_checkpoint(folder / "checkpoint.pt", IDENTITY, torch.device("cpu"))


def _fault(fault: str, folder: Path) -> AbstractContextManager[None]:
    faults = {"no permission": without_rights, READ_ONLY: read_only, FULL: full}
    return faults[fault](folder) if fault in faults else filled(int(fault.split()[-2]))


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != FILLER)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


DISK = ListedTrial(
    "disk",
    "disks that are full, or after a few bytes, or may only be read, folders without rights; names with spaces, "
    "in other scripts, of 300 characters, or of another case alone",
    "what was there stays to the byte, nothing half-written is left, one line says where and why",
    (
        *(f"{door}: {fault}" for door in DOORS
          for fault in (*(f"full after {limit} bytes" for limit in LIMITS), "no permission", *MOUNTED, *NAMES)),
        *(f"{OTHER_CASE}: {twins}" for twins in TWINS),
    ),
    attempt,
)  # fmt: skip
