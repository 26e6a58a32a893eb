"""Small pre-trained models, made once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from Testing.trainer.pretraining.tiny_run import BALLS, CONFIG
from trainer.pretraining.pretrain import pretrain
from trainer.training.training import Budget


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A dataset of pictures and one of volumes."""
    parent = tmp_path_factory.mktemp("balls")
    return {dimension: balls.write(parent) for dimension, balls in BALLS.items()}


@pytest.fixture(scope="session")
def tiny_models(tiny_data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pre-trained on pretext tasks alone, for a few steps."""
    parent = tmp_path_factory.mktemp("pretrained")
    paths = {dimension: parent / f"{dimension}.mts.safetensors" for dimension in BALLS}
    for dimension, path in paths.items():
        pretrain([tiny_data[dimension]], path, "self-supervised", CONFIG, Budget(steps=4), stream=io.StringIO())
    return paths
