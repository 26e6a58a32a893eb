"""The comparison with nnU-Net runs our engine as it says; nnU-Net itself is not installed for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.nnunet.patch_stream import patch_weights
from MultiTaskSegLib.runtime.nnunet.results_source import results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import load_trained_model, trained_models
from Testing.bench.nnunet_parity import channels_of, ours
from Testing.runtime.nnunet.checkpoint_bytes import checkpoint_content, saved_checkpoint, written_results


def test_an_image_of_one_patch_gets_the_labels_of_its_largest_scores(tmp_path: Path) -> None:
    model = written_results(tmp_path / "model", {"0": saved_checkpoint(checkpoint_content())})
    voxels = np.random.default_rng(0).normal(100, 20, (16, 16, 16)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    labels, cost = ours(model, [], str(tmp_path / "a.nii.gz"), mirror=False)
    source = results_source(model)
    (fold,) = load_trained_model(source, trained_models(source)[0]).folds
    normal = torch.from_numpy((voxels - voxels.mean()) / voxels.std())[None, None]
    scores = fold.network(normal)[0].numpy()
    first, second = np.sort(scores, axis=0)[-1], np.sort(scores, axis=0)[-2]
    # Weighted scores are kept in half precision, which has hardly a digit left for the weights of a patch's corners.
    clear = (first - second > 0.01 * np.abs(scores).max()) & (patch_weights((16, 16, 16)).numpy() > 1e-3)
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(labels[clear], scores.argmax(0)[clear])
    assert cost["cpu_s"] >= 0


def test_channels_are_read_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        image = sitk.GetImageFromArray(np.full((2, 3, 4), value, np.int16))
        image.SetSpacing((1.0, 2.0, 3.0))
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    channels, spacing_mm = channels_of(f"{tmp_path / 'b.nrrd'},{tmp_path / 'a.nrrd'}")
    assert channels[:, 0, 0, 0].tolist() == [2, 1]
    assert spacing_mm == [3.0, 2.0, 1.0]
