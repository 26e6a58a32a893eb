"""Attacks by datasets, by requests to the worker, by names of files and by DICOM."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.worker import Worker
from Testing.hostile.attack.attack import Attack, Malicious
from Testing.hostile.attack.model_attacks import said
from Testing.hostile.broken_raster import MHA, NRRD
from Testing.hostile.dicom_series import write_series
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.dataset_folder import CASES, image_path, write_dataset
from trainer.verification.verify import run_verify

ESCAPE = "\x1b[2J\x1b]0;owned\x07"
NAMES = {
    "a command": "a;touch canary;.nii.gz", "a substitution": "$(touch canary).nii.gz",
    "backticks": "`touch canary`.nii", "an option": "--output=canary.nii.gz", "a dash": "-o.nii.gz",
    "a pipe": "|touch canary.nii", "percents": "%s%n%x.nii",
    "escape codes": f"{ESCAPE}.nii.gz", "a line break": "a\nb.nii.gz", "quotes": "a'b\"c.nii.gz",
    "right to left": "a\u202egz.iin.nii",
}  # fmt: skip
VOXELS = np.random.default_rng(1).normal(200, 40, (10, 12, 14)).astype(np.float32)


def data_attacks() -> list[Attack]:
    """All of them."""
    return [
        *(Attack(f"dataset: {name}", _dataset(change)) for name, change in _descriptions().items()),
        Attack("dataset: case named ../ in cases.csv", _cases, is_refused=False),
        Attack("dataset: image that is a link elsewhere", _linked_image, is_refused=False),
        *(Attack(f"request: {name}", _request(line)) for name, line in _requests().items()),
        Attack("request: voxels as a pickle", _pickled_voxels),
        *(Attack(f"file name: {name}", _name(name), is_refused=False) for name in NAMES),
        Attack("image header: mhd that names a file elsewhere", _header("mhd", "../../in/secret")),
        Attack("image header: nhdr that names a file elsewhere", _header("nhdr", "../../in/secret")),
        *(Attack(f"dicom: {name}", _dicom(tags), is_refused=False) for name, tags in _tags().items()),
        Attack("dicom: more pixels than the file holds", _dicom({"Rows": 65535, "Columns": 65535})),
        Attack("dicom: nested five hundred deep", _nested, is_refused=False),
    ]


def _descriptions() -> dict[str, dict[str, Any]]:
    return {
        "file ending that is a pattern": {"file_ending": "/../**"},
        "file ending that climbs": {"file_ending": "/../../in/secret"},
        "label name that climbs": {"labels": {"background": 0, "../../evil": 300}},
        "channels that are code": {"channel_names": {"0": ["__import__('os').system('touch canary')"] * 2}},
        "label value without end": {"labels": {"a": 10**400}},
    }


def _dataset(changed: dict[str, Any]) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        return _verified(write_dataset(folder / "in" / "Dataset001_A", **changed))

    return act


def _verified(folder: Path) -> str:
    lines: list[str] = []
    with redirect_stderr(io.StringIO()):
        code = run_verify([folder], lines.append)
    return lines[0] if code else ""


def _cases(folder: Path) -> str:
    data = write_dataset(folder / "in" / "Dataset001_A")
    (data / "cases.csv").write_text("case,group\n../../evil,../../evil\n" + f"{CASES[0]},{ESCAPE}\n")
    return _verified(data)


def _linked_image(folder: Path) -> str:
    data = write_dataset(folder / "in" / "Dataset001_A")
    path = image_path(data, CASES[0])
    path.rename(folder / "in" / "elsewhere.nii.gz")
    path.symlink_to(folder / "in" / "elsewhere.nii.gz")
    return _verified(data)


def _requests() -> dict[str, str]:
    return {
        "no JSON": "__import__('os').system('touch canary')",
        "nested without end": "[" * 100_000,
        "a number without end": '{"id": ' + "9" * 10_000 + "}",
        "unknown command": '{"id": 1, "command": "__class__"}',
        "private method as command": '{"id": 1, "command": "_segment"}',
        "another kind": '{"id": 1, "command": "segment", "image": {"a": 1}}',
        "zero byte in a path": '{"id": 1, "command": "segment", "image": "a\\u0000b.nii"}',
        "half a character": '{"id": 1, "command": "segment", "image": "\\ud800.nii"}',
        "escape codes": json.dumps({"id": 1, "command": ESCAPE}),
        "device as image": '{"id": 1, "command": "segment", "image": "/dev/zero"}',
    }


def _request(line: str) -> Callable[[Path], str]:
    return lambda folder: _asked(line)


def _asked(line: str) -> str:
    events: list[dict[str, Any]] = []
    with redirect_stderr(io.StringIO()):
        Worker(events.append, TorchMachine()).handle(line)
    last = events[-1] if events else {}
    return str(last.get("message", last)) if last.get("event") == "error" else ""


def _pickled_voxels(folder: Path) -> str:
    path = folder / "in" / "voxels.npy"
    np.save(path, np.array([Malicious(folder)], dtype=object), allow_pickle=True)
    request = {"id": 1, "command": "segment", "voxels": str(path), "ijk_to_ras": np.eye(4).tolist()}
    return _asked(json.dumps({**request, "output": str(folder / "out")}))


def _name(name: str) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        plain, path = folder / "in" / "plain.nii.gz", folder / "in" / NAMES[name]
        if path.suffix == ".nii":
            plain = plain.with_suffix("")
        sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(plain))
        plain.rename(path)
        model = write_tiny_model(folder / "in" / "tiny.mts.safetensors")
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            cli.main(["segment", str(path), "-m", str(model), "-o", str(folder / "out")])
        return out.getvalue() + err.getvalue()

    return act


def _header(kind: str, elsewhere: str) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        (folder / "in" / "secret").write_bytes(bytes(960))
        path = folder / "in" / "deep" / f"image.{kind}"
        path.parent.mkdir()
        named = {
            "mhd": MHA.replace("LOCAL", elsewhere),
            "nhdr": NRRD.replace("encoding: raw\n", f"encoding: raw\ndata file: {elsewhere}\n"),
        }
        path.write_text(named[kind])
        return said(lambda: read_image(path))

    return act


def _tags() -> dict[str, dict[str, Any]]:
    return {
        "escape codes in names": {"SeriesDescription": ESCAPE, "PatientName": ESCAPE},
        "a command as patient": {"PatientName": "$(touch canary)", "PatientID": "; touch canary"},
        "a path as series": {"SeriesDescription": "../../evil", "StudyDescription": "/etc/passwd"},
        "a description of 100 000 letters": {"StudyDescription": "x" * 60_000, "ImageComments": "y" * 100_000},
    }


def _dicom(tags: dict[str, Any]) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        voxels = np.arange(4 * 6 * 8, dtype=np.uint16).reshape(4, 6, 8)
        return said(lambda: read_image(write_series(folder / "in" / "series", voxels, np.eye(4), **tags)))

    return act


def _nested(folder: Path) -> str:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence as Items

    from Testing.hostile.dicom_frames import saved
    from Testing.hostile.dicom_series import dicom_slice

    inner = Dataset()
    for _ in range(500):
        outer = Dataset()
        outer.ReferencedSeriesSequence = Items([inner])
        inner = outer
    data = dicom_slice(np.arange(48, dtype=np.uint16).reshape(6, 8), np.eye(4), 0, "1.2")
    data.ReferencedSeriesSequence = Items([inner])
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # only to write it
    try:
        path = saved(folder / "in" / "nested.dcm", data)
    finally:
        sys.setrecursionlimit(limit)
    return said(lambda: read_image(path))
