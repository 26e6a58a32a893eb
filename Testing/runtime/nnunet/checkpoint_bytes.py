"""Checkpoints made by hand: sound ones by torch, wicked ones instruction by instruction."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STAGES = 3
CONFIGURATION: dict[str, Any] = {
    "preprocessor_name": "DefaultPreprocessor",
    "patch_size": [16, 16, 16],
    "spacing": [2.0, 1.0, 1.0],
    "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": STAGES,
            "features_per_stage": [4, 8, 8],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
            "n_conv_per_stage": [2, 1, 2],
            "n_conv_per_stage_decoder": [1, 2],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    },
}
PLANS: dict[str, Any] = {
    "dataset_name": "Dataset900_Tiny",
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "configurations": {"3d_fullres": CONFIGURATION},
}
DATASET: dict[str, Any] = {
    "channel_names": {"0": "T1"},
    "labels": {"background": 0, "left": 1, "right": 2},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}


def nnunet_weights(seed: int = 0, channels: int = 1) -> dict[str, Tensor]:
    """Weights of `CONFIGURATION`'s network by the names that nnU-Net gives them, duplicates included."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, Tensor] = {}

    def block(name: str, inputs: int, outputs: int, kernel: list[int]) -> None:
        shapes = {"conv.weight": (outputs, inputs, *kernel), "conv.bias": (outputs,)}
        shapes |= {"norm.weight": (outputs,), "norm.bias": (outputs,)}
        for part, shape in shapes.items():
            weights[f"{name}.{part}"] = torch.randn(shape, generator=generator)
        for number, part in enumerate(("conv", "norm")):
            for kind in ("weight", "bias"):
                weights[f"{name}.all_modules.{number}.{kind}"] = weights[f"{name}.{part}.{kind}"]

    kwargs = CONFIGURATION["architecture"]["arch_kwargs"]
    features, kernels = kwargs["features_per_stage"], kwargs["kernel_sizes"]
    before = channels
    for stage, count in enumerate(kwargs["n_conv_per_stage"]):
        for number in range(count):
            block(f"encoder.stages.{stage}.0.convs.{number}", before, features[stage], kernels[stage])
            before = features[stage]
    weights |= {f"decoder.encoder.{key.removeprefix('encoder.')}": tensor for key, tensor in weights.items()}
    for number, count in enumerate(kwargs["n_conv_per_stage_decoder"]):
        below, here = features[STAGES - 1 - number], features[STAGES - 2 - number]
        step = kwargs["strides"][STAGES - 1 - number]
        weights[f"decoder.transpconvs.{number}.weight"] = torch.randn((below, here, *step), generator=generator)
        weights[f"decoder.transpconvs.{number}.bias"] = torch.randn((here,), generator=generator)
        for convolution in range(count):
            name = f"decoder.stages.{number}.convs.{convolution}"
            block(name, here if convolution else 2 * here, here, kernels[STAGES - 2 - number])
        weights[f"decoder.seg_layers.{number}.weight"] = torch.randn((3, here, 1, 1, 1), generator=generator)
        weights[f"decoder.seg_layers.{number}.bias"] = torch.randn((3,), generator=generator)
    return weights


def checkpoint_content(weights: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """What nnU-Net saves, with its optimiser and log."""
    content: dict[str, Any] = {
        "network_weights": dict(nnunet_weights() if weights is None else weights),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [0.5, 0.75], "lrs": [0.01]},
        "_best_ema": 0.75,
        "current_epoch": 7,
        "init_args": {"plans": PLANS, "configuration": "3d_fullres", "fold": 0, "dataset_json": DATASET},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1, 2),
    }
    return content | changes


def saved_checkpoint(content: Mapping[str, Any]) -> bytes:
    """The bytes that ``torch.save`` writes."""
    file = io.BytesIO()
    torch.save(dict(content), file)
    return file.getvalue()


def written_results(
    folder: Path, folds: Mapping[str, bytes], plans: Any = None, dataset: Any = None, name: str = ""
) -> Path:
    """A results folder of nnU-Net; its path."""
    place = folder / (name or "nnUNetTrainer__nnUNetPlans__3d_fullres")
    place.mkdir(parents=True, exist_ok=True)
    (place / "plans.json").write_text(json.dumps(PLANS if plans is None else plans), encoding="utf-8")
    (place / "dataset.json").write_text(json.dumps(DATASET if dataset is None else dataset), encoding="utf-8")
    for fold, content in folds.items():
        (place / f"fold_{fold}").mkdir(exist_ok=True)
        (place / f"fold_{fold}" / "checkpoint_final.pth").write_bytes(content)
    return place


def zipped(description: bytes, storages: Mapping[str, bytes] | None = None, packing: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file as ``torch.save`` arranges it, around any description."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("archive/data.pkl", description)
        archive.writestr("archive/byteorder", b"little")
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return file.getvalue()
