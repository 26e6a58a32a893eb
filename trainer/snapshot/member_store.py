"""Where a training keeps the weights of each cycle that is over until the model is finished."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from MultiTaskSegLib.runtime.model.data_file import read_data_file, require_digest, require_finite, write_data_file
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork

NAME = "cycle{}.safetensors"
# Not those of model files beside them, whose names a user has chosen.
ANY_NAME = re.compile(r"cycle\d+\.safetensors")


@dataclass(frozen=True)
class Member:
    """A snapshot of a training.

    Attributes:
        number: from 1.
        step: optimiser steps that were done when it was taken.
        digest: SHA-256 of its file's content.
    """

    number: int
    step: int
    digest: str


def members_of(state: Mapping[str, Any]) -> list[Member]:
    """Of the cycles that were over when a state was saved; those from before there were any hold none."""
    return [Member(int(number), int(step), str(digest)) for number, step, digest in state.get("members", [])]


class MemberStore:
    """The files ``cycleN.safetensors`` of one run. Which of them count, the run's checkpoint says.

    Args:
        folder: for the files; need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, number: int, step: int, network: SegmentationNetwork) -> Member:
        """Write a member, in place of one of the same number.

        Args:
            number: of the member, from 1.
            step: optimiser steps done.
            network: plain convolutions; its weights are stored as float16, as in a model file.

        Raises:
            ModelError: a weight is not finite in float16.
            ResourceError: the file cannot be written.
        """
        weights = {k: v.detach().cpu().to(torch.float16).contiguous() for k, v in network.state_dict().items()}
        path = self._path(number)
        try:
            require_finite(weights, path)
        except ModelError as error:
            raise ModelError(error.what, file=path, remedy="Lower learning_rate") from error
        text = json.dumps({"number": number, "step": step})
        return Member(number, step, write_data_file(path, text, weights))

    def weights(self, member: Member) -> dict[str, Tensor]:
        """Of a member, float16, by the names of `SegmentationNetwork`.

        Raises:
            ModelError: its file is missing or damaged, or another one.
        """
        path = self._path(member.number)
        try:
            metadata, _, weights = read_data_file(path, _described)
            require_digest(metadata, weights)
        except ModelError as error:
            raise _lost(member, path, error.what) from error
        if metadata["digest"] != member.digest:
            raise _lost(member, path, "the file is of another training")
        return weights

    def take_up(self, members: Sequence[Member]) -> None:
        """Go on with these members: they must be there, and what was kept later is forgotten and will be made again.

        Raises:
            ModelError: a member is missing or damaged; nothing has been changed.
            ResourceError: a file cannot be removed.
        """
        for member in members:
            self.weights(member)
        kept = {self._path(member.number) for member in members}
        there = {path for path in self.folder.glob(NAME.format("*")) if ANY_NAME.fullmatch(path.name)}
        for path in sorted(there - kept):
            try:
                path.unlink()
            except OSError as error:
                raise ResourceError(
                    f"a later snapshot cannot be removed ({error.strerror})", file=path, remedy="Check permissions"
                ) from error

    def _path(self, number: int) -> Path:
        return self.folder / NAME.format(number)


def _described(text: str, path: Path) -> Any:
    return json.loads(text)


def _lost(member: Member, path: Path, why: str) -> ModelError:
    return ModelError(
        f"snapshot {member.number} of the training is lost ({why})",
        file=path,
        remedy="Restore the file, or start anew without --resume",
    )
