"""Attacks by model files and by checkpoints that are imported or resumed."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.hostile.attack.attack import Attack, Malicious
from Testing.hostile.model_bytes import resealed
from Testing.hostile.test_damaged_models import BYTES, SEALED
from Testing.runtime.nnunet.checkpoint_bytes import (
    PLANS,
    checkpoint_content,
    saved_checkpoint,
    written_results,
    zipped,
)
from Testing.runtime.tiny_model import write_tiny_model
from trainer.training.checkpoint import load_checkpoint

WICKED_BYTES = (
    "renamed zip", "renamed pickle", "header of 2^63 bytes", "header just above the limit", "deeply nested header",
    "overlapping tensors", "renamed label",
)  # fmt: skip
WICKED_SEALED = (
    "unknown manifest key", "unknown key inside", "further metadata", "unknown tensor", "absurd channels",
    "manifest is too deep", "NaN weight", "task beyond the head", "label value 256",
)  # fmt: skip
GLOBALS = {
    "os.system": b"cos\nsystem\n", "posix.system": b"cposix\nsystem\n", "eval": b"cbuiltins\neval\n",
    "exec": b"cbuiltins\nexec\n", "subprocess": b"csubprocess\ncheck_output\n", "getattr": b"cbuiltins\ngetattr\n",
    "torch.load": b"ctorch\nload\n", "runpy": b"crunpy\nrun_path\n",
}  # fmt: skip


def model_attacks() -> list[Attack]:
    """All of them."""
    return [
        *(Attack(f"model file: {name}", _model(_bytes(name))) for name in WICKED_BYTES),
        *(Attack(f"model file: {name}", _model(_sealed(name))) for name in WICKED_SEALED),
        *(Attack(f"imported checkpoint: {name}", _import(_reducing(code))) for name, code in GLOBALS.items()),
        Attack("imported checkpoint: pickle of a class", _import(_pickled)),
        Attack("imported checkpoint: object among the weights", _import(_among_weights)),
        Attack("imported checkpoint: plain pickle, no zip", _import(lambda f: pickle.dumps(Malicious(f)))),
        Attack("imported checkpoint: zip bomb", _import(_bomb)),
        Attack("imported checkpoint: part named ../", _import(_climbing)),
        Attack("imported plans: network class from another module", _plans("os.system")),
        Attack("imported plans: ../ as the name of the plans", _named("../../evil"), is_refused=False),
        Attack("resumed checkpoint: pickle of a class", _resumed),
        Attack("imported folder: link to a folder elsewhere", _linked, is_refused=False),
    ]


def _model(make: Callable[[Path, Path], None]) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        good, bad = folder / "in" / "good.mts.safetensors", folder / "in" / "bad.mts.safetensors"
        write_tiny_model(good)
        make(good, bad)
        return said(lambda: load_model(bad))

    return act


def _bytes(name: str) -> Callable[[Path, Path], None]:
    return lambda good, bad: bad.write_bytes(BYTES[name][0](good.read_bytes())) and None


def _sealed(name: str) -> Callable[[Path, Path], None]:
    return lambda good, bad: resealed(good, bad, SEALED[name]) and None


def _import(make: Callable[[Path], bytes]) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        results = written_results(folder / "in", {"0": make(folder)})
        return said(lambda: import_model(results, folder / "out" / "made.mts.safetensors", Choice(), "CC0"))

    return act


def _reducing(code: bytes) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        words = f"touch '{folder / 'canary'}'".encode()
        return zipped(b"\x80\x02" + code + b"(X" + len(words).to_bytes(4, "little") + words + b"tR.")

    return make


def _pickled(folder: Path) -> bytes:
    return saved_checkpoint({**checkpoint_content(), "logging": Malicious(folder)})


def _among_weights(folder: Path) -> bytes:
    return saved_checkpoint(checkpoint_content({"encoder": Malicious(folder)}))


def _bomb(_: Path) -> bytes:
    return zipped(b"\x80\x02}.", {str(number): bytes(2**26) for number in range(4)}, zipfile.ZIP_DEFLATED)


def _climbing(_: Path) -> bytes:
    return zipped(b"\x80\x02}.", {"../../../evil": b"evil"})


def _plans(class_name: str) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        from Testing.runtime.imported.imported_models import checkpoint, plans_with

        wicked = plans_with(architecture={
            **PLANS["configurations"]["3d_fullres"]["architecture"], "network_class_name": class_name,
        })  # fmt: skip
        results = written_results(folder / "in", {"0": checkpoint(plans=wicked)}, wicked)
        return said(lambda: import_model(results, folder / "out" / "made.mts.safetensors", Choice(), "CC0"))

    return act


def _named(name: str) -> Callable[[Path], str]:
    def act(folder: Path) -> str:
        from Testing.runtime.imported.imported_models import checkpoint

        wicked = {**PLANS, "plans_name": name, "dataset_name": name}
        results = written_results(folder / "in", {"0": checkpoint(plans=wicked)}, wicked)
        return said(lambda: import_model(results, folder / "out" / "made.mts.safetensors", Choice(), "CC0"))

    return act


def _resumed(folder: Path) -> str:
    path = folder / "in" / "checkpoint.pt"
    torch.save({"version": 2, "identity": "{}", "step": Malicious(folder)}, path)
    return said(lambda: load_checkpoint(path, {}, torch.device("cpu")))


def _linked(folder: Path) -> str:
    from Testing.runtime.imported.imported_models import results_folder

    results = results_folder(folder / "in")
    elsewhere = folder / "in" / "elsewhere"
    os.rename(results / "fold_0", elsewhere)
    (results / "fold_0").symlink_to(elsewhere)
    return said(lambda: import_model(results, folder / "out" / "made.mts.safetensors", Choice(), "CC0"))


def said(use: Callable[[], object]) -> str:
    """The refusal; empty where there is none."""
    try:
        use()
    except MtsError as refused:
        return str(refused)
    return ""
