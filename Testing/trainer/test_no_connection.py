"""Segmenting, checking, training and measuring open no connection and ask for no address: a test listens."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime import cli
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli as trainer_cli

NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind")
CONFIG = """
channels = [4, 6]
patches_per_group = 2
groups_per_step = 1
patch_voxels = 1024
workers = 0
validations = 0
minimum_validation_groups = 2
threads = 1
"""
_heard: list[str] | None = None


def _listen(event: str, arguments: Any) -> None:
    if _heard is not None and event in NETWORK:
        _heard.append(f"{event} {arguments[1:] if event.startswith('socket.connect') else arguments}")


# The interpreter has no way to take a hook away: it hears, but keeps nothing, while nobody listens.
sys.addaudithook(_listen)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Everything that this process asks of the network meanwhile."""
    global _heard
    _heard = []
    try:
        yield _heard
    finally:
        _heard = None


def test_the_listener_hears_a_connection() -> None:
    with listening() as heard, socket.socket() as telephone:
        telephone.settimeout(0.01)
        with pytest.raises(OSError):
            telephone.connect(("127.0.0.1", 9))
    assert len(heard) == 1


def test_nothing_leaves_the_computer(tmp_path: Path) -> None:
    folder = BallDataset("Dataset001_BallT1", shape=(6, 12, 12)).write(tmp_path)
    model, config = tmp_path / "balls.mts.safetensors", tmp_path / "config.toml"
    config.write_text(CONFIG, encoding="utf-8")
    image = folder / "imagesTr" / "case_00_0000.nii.gz"
    trained = ["train", "--data", str(folder), "-o", str(model), "--config", str(config), "--steps", "2"]
    with listening() as heard:
        assert trainer_cli.main(["verify", str(folder)]) == 0
        assert trainer_cli.main(trained) == 0
        assert trainer_cli.main(["evaluate", "-m", str(model), "--data", str(folder), "-o", str(tmp_path / "e")]) == 0
        assert cli.main(["segment", str(image), "-m", str(model), "-o", str(tmp_path / "out")]) == 0
        assert cli.main(["check", str(image), "-m", str(model)]) == 0
        assert cli.main(["info", str(model)]) == 0
    assert heard == []
