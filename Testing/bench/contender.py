"""Engines that segment one prepared image with the same weights: ours, MONAI's sliding window and nnU-Net's predictor.

All get the prepared voxels of one task and return its most probable labels on the same grid. The others run the head's
channels of that task only, free each map once it is used, and do nothing but the arg-max; ours does what it always
does: spectra for the check, calibrated probabilities, uncertainty and expected Dice.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.network.architecture import SegmentationNetwork
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass, Wanted
from MultiTaskSegLib.runtime.predictor import Predictor

OVERLAP = 0.5
PACKAGES = {"monai": "monai", "monai-channels-last": "monai", "nnunet": "nnunetv2"}
OURS, WHOLE = "ours", "segment"

Engine = Callable[[Predictor, TaskInfo, np.ndarray, tuple[int, int, int]], np.ndarray]


class MissingPackage(Exception):
    """A package that an engine needs is not installed."""


def require(names: list[str]) -> None:
    """Make sure that engines can run.

    Raises:
        MissingPackage: with the package's name and what to do.
    """
    for name in names:
        package = PACKAGES.get(name)
        if package is not None and importlib.util.find_spec(package) is None:
            raise MissingPackage(
                f"the package '{package}' is not installed, which engine '{name}' needs: "
                f"'pip install {package}', or leave the engine out with --engines"
            )


class TaskNetwork(nn.Module):
    """The network with the head's channels of one task; each map is freed once it has been used."""

    def __init__(self, network: SegmentationNetwork, channels: slice) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Conv3d(network.head.in_channels, channels.stop - channels.start, 1)
        self.head.weight = nn.Parameter(network.head.weight[channels].clone(), requires_grad=False)
        assert network.head.bias is not None
        self.head.bias = nn.Parameter(network.head.bias[channels].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, classes, Z, Y, X)`` for input ``(B, 1, Z, Y, X)``."""
        network, skipped = self.network, []
        for level, stage in enumerate(network.encoder):
            x = stage(x if level == 0 else network.down[level - 1](x))
            skipped.append(x)
        skipped.pop()
        for level in reversed(range(len(network.decoder))):
            scale = tuple(float(s) for s in network.architecture.strides[level])
            fine = nn.functional.interpolate(network.up[level](x), scale_factor=scale, mode="nearest")
            x = network.decoder[level](torch.cat((fine, skipped.pop()), dim=1))
        return self.head(x)


def ours(predictor: Predictor, task: TaskInfo, voxels: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """This package's engine; it has no patch size."""
    network_pass: NetworkPass = predictor._network_pass()
    z, y, x = voxels.shape
    encoded = network_pass.encode(voxels, lambda share: None, wanted=Wanted(task, (z, y, x)))
    reference, planar = predictor.model.reference, predictor.manifest.architecture.is_planar
    reference.judge({**encoded.spectra, **reference.spec.image_part(voxels, planar)})
    assert encoded.labels is not None
    return encoded.labels.index


def whole_segment(predictor: Predictor, task: TaskInfo, voxels: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """All that a user waits for: preparing, network, verdict and finished maps in the image's own order."""
    spacing = task.profile.spacing_zyx_mm or (1.0, 1.0, 1.0)
    volume = Volume(voxels, np.diag([*spacing[::-1], 1.0]), "bench")
    return predictor.segment(volume, task.name).labels


@torch.inference_mode()
def monai(predictor: Predictor, task: TaskInfo, voxels: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """MONAI's sliding window: overlap 0.5, Gaussian weights, one window at a time."""
    from monai.inferers import sliding_window_inference

    network = TaskNetwork(predictor.network.to(memory_format=torch.contiguous_format), task.channels)
    image = torch.from_numpy(voxels)[None, None]
    logits = sliding_window_inference(image, patch, 1, network, overlap=OVERLAP, mode="gaussian")
    return logits.argmax(dim=1)[0].to(torch.uint8).numpy()


@torch.inference_mode()
def monai_channels_last(
    predictor: Predictor, task: TaskInfo, voxels: np.ndarray, patch: tuple[int, int, int]
) -> np.ndarray:
    """As `monai`, with the faster memory layout that its users have to ask torch for."""
    from monai.inferers import sliding_window_inference

    network = TaskNetwork(predictor.network, task.channels).to(memory_format=torch.channels_last_3d)

    def run(window: Tensor) -> Tensor:
        """Logits of one window."""
        return network(window.contiguous(memory_format=torch.channels_last_3d))

    image = torch.from_numpy(voxels)[None, None]
    logits = sliding_window_inference(image, patch, 1, run, overlap=OVERLAP, mode="gaussian")
    return logits.argmax(dim=1)[0].to(torch.uint8).numpy()


def nnunet(predictor: Predictor, task: TaskInfo, voxels: np.ndarray, patch: tuple[int, int, int]) -> np.ndarray:
    """nnU-Net v2's predictor: tile step 0.5, Gaussian weights, no mirroring (its default takes 8 times as long)."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    network = TaskNetwork(predictor.network.to(memory_format=torch.contiguous_format), task.channels)
    tiled = nnUNetPredictor(
        tile_step_size=OVERLAP,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=False,
        device=torch.device("cpu"),
        allow_tqdm=False,
    )
    tiled.network = network
    tiled.list_of_parameters = [network.state_dict()]
    tiled.allowed_mirroring_axes = None
    tiled.configuration_manager = SimpleNamespace(patch_size=patch)
    classes = task.channels.stop - task.channels.start
    tiled.label_manager = SimpleNamespace(num_segmentation_heads=classes)
    logits = tiled.predict_logits_from_preprocessed_data(torch.from_numpy(voxels)[None])
    return logits.argmax(dim=0).to(torch.uint8).numpy()


ENGINES: dict[str, Engine] = {
    OURS: ours,
    WHOLE: whole_segment,
    "monai": monai,
    "monai-channels-last": monai_channels_last,
    "nnunet": nnunet,
}
