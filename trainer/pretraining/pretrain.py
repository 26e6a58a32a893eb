"""The whole of ``pretrain``: folders in, a model file to start from out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TextIO

from trainer.config import TrainingConfig
from trainer.training import Budget

SourceTask = Literal["segmentation", "classification", "self-supervised"]


def pretrain(
    directories: Sequence[Path],
    output: Path,
    task: SourceTask,
    config: TrainingConfig,
    budget: Budget,
    *,
    pretexts: Sequence[str] = (),
    resume: bool = False,
    stream: TextIO | None = None,
) -> None:
    """Pre-train one network and write an ordinary model file and its run folder.

    A network that was pre-trained without labels has tasks without labels: it recognises images (the spectral reference
    is fitted as usual) but segments nothing. Provenance (``training["pretraining"]``) says what was done.

    Args:
        directories: dataset folders; for ``self-supervised`` also folders of images.
        output: model file.
        task: ``segmentation`` is ordinary training; ``classification`` predicts the images' class (of a class folder,
            or else the dataset an image is from); ``self-supervised`` trains the ``pretexts`` together.
        config: settings.
        budget: steps or minutes.
        pretexts: names of pretext tasks; empty: all five.
        resume: go on from the run folder's checkpoint.
        stream: for progress.

    Raises:
        UsageError, DatasetError: before any training starts.
    """
    raise NotImplementedError
