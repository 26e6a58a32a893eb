"""``import-nnunet`` tells what a results folder holds and what stands in the way."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from Testing.runtime.nnunet.checkpoint_bytes import PLANS, checkpoint_content, saved_checkpoint, written_results
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


def older_plans() -> dict[str, object]:
    """`PLANS` in the older format, which names a class of networks and numbers."""
    plans = copy.deepcopy(PLANS)
    configuration = plans["configurations"]["3d_fullres"]
    network = configuration.pop("architecture")["arch_kwargs"]
    configuration |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": network["features_per_stage"][0],
        "unet_max_num_features": max(network["features_per_stage"]),
        "n_conv_per_stage_encoder": network["n_conv_per_stage"],
        "n_conv_per_stage_decoder": network["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [2, 2, 2],
        "pool_op_kernel_sizes": network["strides"],
        "conv_kernel_sizes": network["kernel_sizes"],
    }
    return plans


@pytest.mark.parametrize("is_zipped", [False, True])
def test_weights_as_totalsegmentator_gives_them_are_imported_and_said_not_to_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_zipped: bool
) -> None:
    # One fold, older plans, a trainer that mirrors nothing, and neither fingerprint nor log nor validation.
    plans, name = older_plans(), "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    started = checkpoint_content()["init_args"] | {"plans": plans}
    told = {"trainer_name": "nnUNetTrainerNoMirroring", "inference_allowed_mirroring_axes": None}
    content = saved_checkpoint(checkpoint_content(init_args=started, **told))
    source = tmp_path / "Dataset291_TotalSegmentator_part1_organs_1559subj"
    written_results(source, {"0": content}, plans, name=name)
    if is_zipped:
        with zipfile.ZipFile(tmp_path / "weights.zip", "w") as archive:
            for path in sorted(source.rglob("*")):
                archive.write(path, path.relative_to(tmp_path))
        source = tmp_path / "weights.zip"
    model = tmp_path / "total.mts.safetensors"
    words = ["import-nnunet", str(source), "-o", str(model), "--licence", "Apache-2.0"]
    assert cli.main(words) == 0, capsys.readouterr().err
    manifest = load_imported(model).manifest
    assert manifest.ood is None
    assert manifest.origin.trainer == "nnUNetTrainerNoMirroring"
    card = capsys.readouterr().out
    assert "Licence, as stated at the import: Apache-2.0" in card
    assert "no mirroring" in card
    assert "not measured" in card.lower() or "not calibrated" in card.lower()
    assert "not checked" in card.lower()
