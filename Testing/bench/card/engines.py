"""Our engine and its peers on a card, with the same weights, each in its best setting."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import Model
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.precision import DTYPES, FLOAT32, LOWER_PRECISIONS
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.bench.contender import OVERLAP, TaskNetwork, require, whole_segment

WINDOWS_AT_ONCE = 4
PATCH = (96, 96, 96)
Run = Callable[[np.ndarray], np.ndarray]


def our_predictor(model: Model, device: torch.device, precision: str) -> Predictor:
    """Ours, by plain torch in one precision."""
    backend: Backend = TorchBackend(model.network.to(device), device)
    for lower in LOWER_PRECISIONS:
        if lower == precision:
            assert isinstance(backend, TorchBackend)
            backend = ReducedBackend(backend, lower)
    return Predictor(model, device.type, backend)


def require_computed(predictor: Predictor, precision: str) -> None:
    """Refuse what another precision than the one in question has computed.

    Raises:
        RuntimeError: the precision failed, and float32 took over.
    """
    if predictor.backend.precision != precision:
        raise RuntimeError(f"{precision} failed on this card, and float32 took over")


def ours(model: Model, task: TaskInfo, device: torch.device, precision: str) -> Run:
    """All that a user waits for, with verdict and uncertainty."""
    predictor = our_predictor(model, device, precision)

    def run(voxels: np.ndarray) -> np.ndarray:
        """Labels; a precision that fails must not pass for another one."""
        labels = whole_segment(predictor, task, voxels, PATCH)
        require_computed(predictor, precision)
        return labels

    return run


def monai(model: Model, task: TaskInfo, device: torch.device, precision: str) -> Run:
    """MONAI's sliding window with autocast, several windows at a time, everything on the card; labels alone."""
    require(["monai"])
    from monai.inferers import sliding_window_inference

    network = TaskNetwork(model.network, task.channels).to(device).to(memory_format=torch.channels_last_3d)

    def window(part: Tensor) -> Tensor:
        """Logits of some windows."""
        return network(part.contiguous(memory_format=torch.channels_last_3d))

    @torch.inference_mode()
    def run(voxels: np.ndarray) -> np.ndarray:
        """Labels of a prepared image."""
        image = torch.from_numpy(voxels)[None, None].to(device)
        with torch.autocast(device.type, DTYPES[precision], enabled=precision != FLOAT32):
            logits = sliding_window_inference(image, PATCH, WINDOWS_AT_ONCE, window, overlap=OVERLAP, mode="gaussian")
        return logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()

    return run


def nnunet(model: Model, task: TaskInfo, device: torch.device, precision: str) -> Run:
    """nnU-Net's predictor without mirroring; on a card it chooses its own autocast, whatever the precision."""
    require(["nnunet"])
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    network = TaskNetwork(model.network, task.channels).to(device)
    tiled = nnUNetPredictor(
        tile_step_size=OVERLAP,
        use_gaussian=True,
        use_mirroring=False,
        perform_everything_on_device=device.type == "cuda",
        device=device,
        allow_tqdm=False,
    )
    tiled.network, tiled.list_of_parameters = network, [network.state_dict()]
    tiled.allowed_mirroring_axes = None
    tiled.configuration_manager = SimpleNamespace(patch_size=PATCH)
    classes = task.channels.stop - task.channels.start
    tiled.label_manager = SimpleNamespace(num_segmentation_heads=classes)

    def run(voxels: np.ndarray) -> np.ndarray:
        """Labels of a prepared image."""
        logits = tiled.predict_logits_from_preprocessed_data(torch.from_numpy(voxels)[None])
        return logits.argmax(dim=0).to(torch.uint8).cpu().numpy()

    return run


ENGINES: dict[str, Callable[[Model, TaskInfo, torch.device, str], Run]] = {
    "ours": ours,
    "monai": monai,
    "nnunet": nnunet,
}
