"""The comparison with nnU-Net runs our engine as it says; nnU-Net itself is not installed for the tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from MultiTaskSegLib.runtime.model.released import ENDING
from MultiTaskSegLib.runtime.nnunet.patch_stream import patch_weights
from MultiTaskSegLib.runtime.nnunet.results_source import results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import load_trained_model, trained_models
from Testing.bench.nnunet_parity import are_plans_old, differences, ours
from Testing.bench.parity_image import MADE, written
from Testing.bench.parity_table import parity_table
from Testing.runtime.nnunet.checkpoint_bytes import checkpoint_content, saved_checkpoint, written_results


def test_an_image_of_one_patch_gets_the_labels_of_its_largest_scores(tmp_path: Path) -> None:
    model = written_results(tmp_path / "model", {"0": saved_checkpoint(checkpoint_content())})
    voxels = np.random.default_rng(0).normal(100, 20, (16, 16, 16)).astype(np.float32)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    file = tmp_path / f"model{ENDING}"
    import_model(model, file, Choice(), "CC0")
    labels, cost = ours(file, [str(tmp_path / "a.nii.gz")], mirror=False)
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


def test_images_are_made_of_every_channel_and_kept_apart_from_it(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 50, (14, 18, 20)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((1.0, 2.0, 3.0))
    files = [tmp_path / "a_0000.nii.gz", tmp_path / "a_0001.nii.gz"]
    for file in files:
        sitk.WriteImage(image, str(file))
    made = {kind: [sitk.ReadImage(str(f)) for f in written(kind, files, tmp_path / kind)] for kind in MADE}
    assert all(len(channels) == 2 for channels in made.values())
    turned = made["turned"][0]
    np.testing.assert_array_equal(sitk.GetArrayFromImage(turned), voxels.transpose(1, 2, 0)[:, ::-1])
    assert turned.GetSpacing() == (3.0, 1.0, 2.0)
    assert np.count_nonzero(np.abs(turned.GetDirection()) > 0.1) > 3
    assert made["small"][0].GetSize() == (9, 11, 7)
    assert set(np.unique(sitk.GetArrayFromImage(made["constant"][0]))) == {100}
    assert set(np.unique(sitk.GetArrayFromImage(made["empty"][0]))) == {0}
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(files[0]))), voxels)


def test_a_picture_is_made_without_a_third_axis(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(tmp_path / "a.png"))
    found = sitk.ReadImage(str(written("turned", [tmp_path / "a.png"], tmp_path / "made")[0]))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(found), values.T[:, ::-1])


def test_voxels_that_differ_are_counted_and_other_grids_are_said() -> None:
    one = np.zeros((2, 3, 4), np.uint16)
    other = one.copy()
    other[0, 0, :2] = 3
    assert differences(one, other) == {"voxels": 24, "differing": 2, "labels": [0, 3]}
    assert differences(one, other[:1]) == {"shapes": [[2, 3, 4], [1, 3, 4]]}


def test_the_page_sums_up_what_differs_and_says_who_gave_up_where() -> None:
    model = {
        "dataset": "D", "configuration": "2d", "network": "plain", "dimension": 2, "patch": [8, 8], "channels": 2,
        "are_regions": False, "structures": 2, "folds": ["0"],
    }  # fmt: skip
    cost = {"cpu_s": 1.25, "wall_s": 1.0, "peak_mb": 9.6}
    rows = [
        {"kind": "as it is", "ours": cost, "nnunet": cost, "voxels": 1000, "differing": 1},
        {"kind": "empty", "ours": {"gave_up": "a.errors.InputError: nothing to see"}, "nnunet": cost},
    ]
    text = "\n".join(parity_table({"model": model, "images": rows, "mirrored": False}))
    assert "plain, 2-D, 2 channels, 2 labels" in text
    assert "1 of 1000 voxels differ (99.9000 % are the same) on 1 images." in text
    assert "| as it is | 1000 | 1 | 1.2 | 1.2 | 10 | 10 |" in text
    assert "Ours gave up on the image that was made empty: InputError: nothing to see" in text


def test_plans_that_describe_no_architecture_are_told_as_old_ones(tmp_path: Path) -> None:
    model = written_results(tmp_path / "model", {"0": saved_checkpoint(checkpoint_content())})
    path = next(model.rglob("plans.json"))
    plans = json.loads(path.read_text(encoding="utf-8"))
    (configuration,) = plans["configurations"]
    assert not are_plans_old(model, configuration)
    del plans["configurations"][configuration]["architecture"]
    path.write_text(json.dumps(plans), encoding="utf-8")
    assert are_plans_old(model, configuration)
