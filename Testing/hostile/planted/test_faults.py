"""Every row notices a fault that is planted into the product; for those that start processes see the other file."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from MultiTaskSegLib import result_folder
from MultiTaskSegLib.runtime import cli, errors
from MultiTaskSegLib.runtime.image import dicom_folder, image_file, nifti_integrity, nonfinite, slice_stack
from MultiTaskSegLib.runtime.image.geometry import Reorientation
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model import model_file
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.hostile.campaign.catalogue import TRIALS
from Testing.hostile.campaign.row import metamorphic
from Testing.hostile.planted.fault import Fault, require_noticed
from Testing.hostile.planted.test_faults_in_children import ROWS as ROWS_IN_CHILDREN
from trainer.training import checkpoint, optimization
from trainer.training.optimization import Optimization
from trainer.verification import verify
from trainer.verification.defect import Defect

Plant = Callable[[pytest.MonkeyPatch], None]


def replaced(place: object, name: str, value: object) -> Plant:
    """Something of the product is another thing."""
    return lambda monkeypatch: monkeypatch.setattr(place, name, value)


def in_scene(name: str, value: object) -> Plant:
    """The same of what takes images out of Slicer's scene."""
    return lambda monkeypatch: monkeypatch.setattr(f"MultiTaskSegLib.scene.volume.{name}", value)


def many_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many voxels are no numbers, they are mended with a warning."""
    for place in (nonfinite, nifti_integrity):
        monkeypatch.setattr(place, "MAX_NONFINITE_FRACTION", 1.0)


def crashing(*_: object) -> None:
    """An error that nobody has thought of."""
    raise KeyError("spacing")


def breaking(*_: object) -> None:
    """One that is no gap in anything."""
    raise RuntimeError("spacing")


def by_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices lie in the order of their files."""
    stacked = slice_stack.stacked
    monkeypatch.setattr(dicom_folder, "stacked", lambda mm, *of: replace(stacked(mm, *of), order=tuple(range(len(mm)))))


def not_flipped_back(self: Reorientation, array: np.ndarray) -> np.ndarray:
    """Labels in the stored order of axes, but not in their stored direction."""
    return np.transpose(array, np.argsort(self.axes))


def silently_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warning."""
    mend = nonfinite.mend_nonfinite
    monkeypatch.setattr(image_file, "mend_nonfinite", lambda *of: (mend(*of)[0], ()))


def seen_by_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the network sees depends on where in the world the image lies."""
    segment = Predictor.segment

    def elsewhere(self: Predictor, volume: Volume, *of: object) -> object:
        """As ever, of other voxels."""
        far = 1 + int(abs(volume.ijk_to_lps[0, 3])) % 7
        return segment(self, replace(volume, voxels=np.roll(volume.voxels, far, 2)), *of)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "segment", elsewhere)


def byte_order_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Big-endian voxels are read as little-endian ones."""
    read = metamorphic.read_image

    def misread(path: Path) -> Volume:
        """16 bits the wrong way round."""
        volume = read(path)
        return replace(volume, voxels=volume.voxels.astype("<i2").byteswap().astype(np.float32))

    monkeypatch.setattr(metamorphic, "read_image", misread)


def unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints may hold objects of any kind."""
    load = torch.load
    monkeypatch.setattr(checkpoint.torch, "load", lambda path, **how: load(path, **{**how, "weights_only": False}))


def named_wrongly(self: object, file: Path | None, what: str, remedy: str, is_warning: bool = False) -> Defect:
    """A defect that does not say of which case it is."""
    return Defect(self.dataset, "", str(file), what, remedy, is_warning)  # type: ignore[attr-defined]


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint keeps no state of the optimiser: a resumed run begins with a new one."""
    restore = Optimization.restore

    def without_optimizer(self: Optimization, state: dict[str, object]) -> None:
        """All but one part."""
        restore(self, {**state, "optimizer": self.state()["optimizer"]})

    monkeypatch.setattr(Optimization, "restore", without_optimizer)


@contextmanager
def straight(path: Path) -> Iterator[Path]:
    """Files are written under their final name at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path


@contextmanager
def silent(path: Path) -> Iterator[Path]:
    """A file that cannot be written is passed over."""
    aside = path.with_name("aside")
    with suppress(errors.MtsError, OSError):
        yield aside
        aside.replace(path)
    aside.unlink(missing_ok=True)


def any_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a model file claims of its version is judged."""
    monkeypatch.setattr(model_file, "FORMAT_VERSIONS", range(100))
    for check in ("check_bounds", "check_manifest"):
        monkeypatch.setattr(model_file, check, lambda _: None)


def asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever loads a model asks for an address."""
    checked = model_file.require_digest

    def asked(*of: object) -> None:
        """Whether there is a newer one."""
        with suppress(OSError), socket.socket() as telephone:
            telephone.settimeout(0.01)
            telephone.connect(("127.0.0.1", 9))
        checked(*of)  # type: ignore[arg-type]

    monkeypatch.setattr(model_file, "require_digest", asked)


ANY_NUMBER = SimpleNamespace(isfinite=lambda _: True, cos=math.cos, pi=math.pi)
FAULTS = (
    Fault("many NaN mended", "images", "cli: nifti half NaN #0", "exit code 0, but it is broken", many_mended),
    Fault("many NaN mended", "images", "verify: nifti half NaN #0", "not found", many_mended),
    Fault("many NaN mended", "images", "worker: nifti half NaN #0", "a result, but it is broken", many_mended),
    Fault("many NaN mended", "images", "scene: nrrd half infinite #0", "used, but it is broken",
          in_scene("MAX_NONFINITE_FRACTION", 1.0)),
    Fault("crashing reader", "images", "cli: nrrd half infinite #0", "a traceback",
          replaced(image_file, "check_nrrd", crashing)),
    Fault("crashing reader", "images", "worker: nrrd half infinite #1", "unexpected",
          replaced(image_file, "check_nrrd", crashing)),
    Fault("breaking reader", "images", "worker: nrrd half infinite #1", "unexpected",
          replaced(image_file, "check_nrrd", breaking)),
    Fault("slices by file name", "dicom", "unsorted names #1", "value .*, not", by_file_name),
    Fault("gaps passed over", "dicom", "missing slice #1", "read",
          replaced(slice_stack, "_require_even_steps", lambda *_: None)),
    Fault("axes not flipped back", "geometry", "17, oblique, odd", "voxels have another label",
          replaced(Reorientation, "invert", not_flipped_back)),
    Fault("transform passed over", "geometry", "17, oblique, odd", "the image lies .* mm off",
          in_scene("to_world_of", lambda _: np.eye(4))),
    Fault("mending left out", "non_finite", "NaN, one, nrrd, 0", "warnings",
          replaced(image_file, "mend_nonfinite", lambda voxels, *_: (voxels, ()))),
    Fault("mended silently", "non_finite", "NaN, one, nrrd, 0", "warnings", silently_mended),
    Fault("many mended", "non_finite", "+Inf, 0.2 %, mha, 1", "used, although", many_mended),
    Fault("seen by its place", "metamorphic", "moved #1", "voxels have another label", seen_by_place),
    Fault("byte order passed over", "metamorphic", "header changed #1", "another label", byte_order_passed_over),
    Fault("digest not checked", "mutants", "3-D, all, 4", "was accepted",
          replaced(model_file, "require_digest", lambda *_: None)),
    Fault("any version read", "versions", "99 in version-1", "Broken: read", any_version),
    Fault("first version forgotten", "versions", "read: version-1", "format version 1",
          replaced(model_file, "FORMAT_VERSIONS", (2,))),
    Fault("unpickling", "attacks", "resumed checkpoint: pickle of a class", "ran code", unpickled),
    Fault("names as they are", "attacks", "file name: escape codes", "escape codes",
          replaced(cli, "printable", str)),
    Fault("weights not judged", "attacks", "model file: NaN weight", "not refused",
          replaced(model_file, "require_finite", lambda *_: None)),
    Fault("constant images passed over", "verifier", "constant image #3", "not found",
          replaced(verify, "require_contrast", lambda _: None)),
    Fault("a case not named", "verifier", "constant image #3", "not found",
          replaced(verify._Pair, "defect", named_wrongly)),
    Fault("false alarm", "verifier", "clean: 3", "false alarm",
          replaced(verify, "grid_differences", lambda *_: ["the origin differs"])),
    Fault("optimiser forgotten", "resume", "multi-task, cut after 3", "differs", forgetful),
    Fault("NaN trained on", "loss", "multi-task, NaN #1", "went on|the network became|says",
          replaced(optimization, "math", ANY_NUMBER)),
    Fault("written in place", "disk", "checkpoint: full after 100 bytes", "what was there has changed",
          replaced(checkpoint, "atomic_path", straight)),
    Fault("full disk passed over", "disk", "checkpoint: full after 100 bytes", "said nothing",
          replaced(checkpoint, "atomic_path", silent)),
    Fault("names by their case", "disk", "names in other case: folders of a batch", "not distinct|is taken",
          replaced(result_folder, "claim", str)),
    Fault("many NaN mended", "readers", "nifti half NaN", "our reader takes it", many_mended),
    Fault("a connection", "sockets", "info", "the network was asked", asking),
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_planted_fault_is_noticed(fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_noticed(fault, tmp_path, monkeypatch)


def test_every_row_has_a_planted_fault() -> None:
    assert {fault.row for fault in FAULTS} | set(ROWS_IN_CHILDREN) == set(TRIALS)


def test_a_fault_that_nobody_notices_fails_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = Fault("nothing", "verifier", "clean: 3", "", replaced(errors, "BEYOND_ASCII", errors.BEYOND_ASCII))
    with pytest.raises(AssertionError, match="not noticed"):
        require_noticed(replace(harmless, says="alarm"), tmp_path, monkeypatch)
