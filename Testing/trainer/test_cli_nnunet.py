"""``import-nnunet`` tells what a results folder holds and what stands in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from Testing.runtime.nnunet.checkpoint_bytes import checkpoint_content, saved_checkpoint, written_results
from trainer import cli


def test_every_model_of_a_folder_is_told_with_what_it_segments_or_why_it_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = saved_checkpoint(checkpoint_content())
    written_results(tmp_path / "Dataset900_Tiny", {"0": content, "1": content})
    written_results(tmp_path / "Dataset900_Tiny", {"0": b"x"}, name="nnUNetTrainer__nnUNetPlans__2d")
    assert cli.main(["import-nnunet", str(tmp_path)]) == 0
    broken, sound = f"\n{capsys.readouterr().out}".split("\nDataset900_Tiny/")[1:]
    assert broken.startswith("nnUNetTrainer__nnUNetPlans__2d\n  folds 0\n  cannot be used: the checkpoint is damaged")
    for words in (
        "folds 0, 1",
        "Dataset900_Tiny, 3d_fullres, trained by nnUNetTrainer for 7, 7 epochs",
        "plain U-Net of 3 stages",
        "channels: T1",
        "labels: left, right",
        "3-D patches of 16 x 16 x 16 voxels of 2 x 1 x 1 mm",
    ):
        assert words in sound


def test_a_folder_of_which_nothing_can_be_used_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written_results(tmp_path, {"0": b"x"})
    assert cli.main(["import-nnunet", str(tmp_path)]) == 4
    assert "cannot be used" in capsys.readouterr().out
    assert cli.main(["import-nnunet", str(tmp_path / "absent")]) == 4
    assert "there is no such folder or zip file" in capsys.readouterr().err
