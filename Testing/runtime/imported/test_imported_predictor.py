"""Segmenting with an imported model: nnU-Net's answer on the image's grid, and plainly said: nothing was checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime import cli
from MultiTaskSegLib.runtime.errors import InputError, ModelError, UsageError
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import plan_run
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.imported.imported_predictor import ImportedPredictor
from MultiTaskSegLib.runtime.machine.compute_device import ComputeDevice
from MultiTaskSegLib.runtime.nnunet.patch_stream import patch_weights
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED
from MultiTaskSegLib.runtime.predictor import Predictor, open_predictor
from MultiTaskSegLib.runtime.worker import Worker
from Testing.runtime.imported.imported_models import REGIONS, imported, plans_with, seeded
from Testing.runtime.nnunet.checkpoint_bytes import PLANS
from Testing.runtime.tiny_model import write_tiny_model

SPACING = np.diag([1.0, 1.0, 2.0, 1.0])


def image(shape: tuple[int, int, int] = (16, 16, 16), ijk_to_lps: Any = SPACING, seed: int = 1) -> Volume:
    return Volume(seeded(shape, seed).numpy() + 5, ijk_to_lps, "noise")


def opened(path: Path) -> ImportedPredictor:
    predictor = open_predictor(path, "cpu")
    assert isinstance(predictor, ImportedPredictor)
    return predictor


def scores_of(path: Path, volume: Volume) -> torch.Tensor:
    """Scores ``(outputs, Z, Y, X)`` of an image of one patch: the network's own, rounded as nnU-Net sums them up."""
    normal = (volume.voxels - volume.voxels.mean()) / volume.voxels.std()
    weights, networks = patch_weights((16, 16, 16)), load_imported(path).networks
    parts = [network(torch.from_numpy(normal)[None, None])[0] for network in networks]
    rounded = [torch.div((part * weights).half(), weights) for part in parts]
    return (torch.stack(rounded).sum(0, dtype=torch.half) / len(networks)).float()


def test_an_image_of_one_patch_gets_the_label_of_the_largest_score(tmp_path: Path) -> None:
    path, volume = imported(tmp_path, folds=2), image()
    found = opened(path).segment(volume)
    scores = scores_of(path, volume)
    np.testing.assert_array_equal(found.labels, scores.numpy().argmax(0))
    shares = torch.softmax(scores, 0)
    np.testing.assert_allclose(found.confidence, shares.amax(0), atol=1e-5)
    entropy = torch.special.entr(shares).sum(0) / np.log(3)
    np.testing.assert_allclose(found.uncertainty, entropy, atol=1e-5)


def test_regions_overlap_and_are_painted_in_order(tmp_path: Path) -> None:
    path, volume = imported(tmp_path, dataset=REGIONS), image()
    found = opened(path).segment(volume, "Dataset900_Tiny")
    shares = torch.sigmoid(scores_of(path, volume)).numpy()
    assert found.regions is not None
    np.testing.assert_array_equal(found.regions, shares > 0.5)
    painted = np.select([found.regions[2], found.regions[1], found.regions[0]], [2, 1, 3], 0)
    np.testing.assert_array_equal(found.labels, painted)


def test_zeros_around_the_image_are_background_without_doubt(tmp_path: Path) -> None:
    predictor, inner = opened(imported(tmp_path)), image()
    outer = Volume(np.pad(inner.voxels, ((3, 0), (0, 5), (2, 2))), SPACING, "framed")
    found, alone = predictor.segment(outer), predictor.segment(inner)
    np.testing.assert_array_equal(found.labels[3:, :16, 2:18], alone.labels)
    assert found.labels.sum() == alone.labels.sum()
    assert (found.confidence[0], found.uncertainty[0]) == (pytest.approx(1), pytest.approx(0))


def test_a_network_that_wants_the_body_upright_sees_a_turned_image_alike(tmp_path: Path) -> None:
    predictor = opened(imported(tmp_path, plans={**PLANS, "image_reader_writer": "NibabelIOWithReorient"}))
    upright = image(ijk_to_lps=np.diag([-1.0, -1.0, 2.0, 1.0]))
    # Stored along i: up, j: to the left, k: to the front.
    turned = np.zeros((4, 4))
    turned[2, 0], turned[0, 1], turned[1, 2], turned[3, 3] = 2, 1, -1, 1
    # (z, y, x) = (front, left, up) of the upright (up, front, right).
    stored = upright.voxels.transpose(1, 2, 0)[:, ::-1].copy()
    found = predictor.segment(Volume(stored, turned, "turned"))
    np.testing.assert_array_equal(found.labels, predictor.segment(upright).labels.transpose(1, 2, 0)[:, ::-1])
    assert found.report()["network_grid"]["orientation"] == "RAS"


def test_axes_that_the_plans_exchange_are_exchanged_back(tmp_path: Path) -> None:
    path = imported(tmp_path, plans={**plans_with(spacing=[2.0, 1.0, 1.0]), "transpose_forward": [2, 0, 1]})
    volume = image((16, 12, 9), np.diag([2.0, 1.0, 1.0, 1.0]))
    plain = imported(tmp_path / "plain", plans=plans_with(spacing=[2.0, 1.0, 1.0]))
    exchanged = Volume(volume.voxels.transpose(2, 0, 1).copy(), SPACING, "exchanged")
    wanted = opened(plain).segment(exchanged).labels.transpose(1, 2, 0)
    np.testing.assert_array_equal(opened(path).segment(volume).labels, wanted)


def test_a_result_says_in_its_report_and_its_warnings_that_nothing_was_checked(tmp_path: Path) -> None:
    found = opened(imported(tmp_path)).segment(image())
    assert found.verdict is None
    report = found.report()
    assert (report["ood"], report["checked"]) == (None, False)
    assert NOT_CHECKED in report["warnings"]
    assert found.verdict_sentence == NOT_CHECKED
    assert all(label["predicted_dice"] is None for label in report["labels"])


def test_progress_rises_to_the_end(tmp_path: Path) -> None:
    shares: list[float] = []
    opened(imported(tmp_path)).segment(image((20, 20, 20)), progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(shares) > 8


def test_without_a_reference_checks_are_refused_in_words(tmp_path: Path) -> None:
    predictor = opened(imported(tmp_path))
    for refused in (predictor.check, predictor.locate):
        with pytest.raises(ModelError, match="no reference images"):
            refused(image())


def test_images_that_do_not_fit_are_refused_in_words(tmp_path: Path) -> None:
    predictor = opened(imported(tmp_path))
    volume = image()
    with pytest.raises(InputError, match=r"has 2 channels.*takes 1: T1"):
        predictor.segment(Volume(volume.voxels, SPACING, "two", further=(volume.voxels,)))
    with pytest.raises(InputError, match="2-D"):
        predictor.segment(image((1, 16, 16)))
    with pytest.raises(InputError, match="no voxel that is not 0"):
        predictor.segment(Volume(np.zeros((16, 16, 16), np.float32), SPACING, "air"))
    with pytest.raises(UsageError, match="no task"):
        predictor.segment(volume, "Dataset001_Other")


def test_which_predictor_opens_a_file_depends_on_the_file(tmp_path: Path) -> None:
    assert isinstance(open_predictor(write_tiny_model(tmp_path / "own.mts.safetensors"), "cpu"), Predictor)
    assert isinstance(open_predictor(imported(tmp_path), "cpu"), ImportedPredictor)
    with pytest.raises(UsageError, match="no device"):
        open_predictor(imported(tmp_path), "abacus")


def test_the_plan_takes_the_card_while_a_patch_fits_and_else_the_processor(tmp_path: Path) -> None:
    manifest, volume = load_imported(imported(tmp_path)).manifest, image((40, 40, 40))
    host = ComputeDevice("cpu", "CPU", 2**34, 2**34)
    for free, wanted in ((2**34, "cuda:0"), (2**16, "cpu")):
        card = ComputeDevice("cuda:0", "card", free, 2**34)
        plan = plan_run(manifest, [], volume, Purpose("auto"), card, host)
        assert plan.device == wanted
    with pytest.raises(Exception, match="of memory"):
        plan_run(manifest, [], volume, Purpose("auto"), host, ComputeDevice("cpu", "CPU", 2**20, 2**20))
    assert plan_run(manifest, [], volume, CHECK, host, host).device == "cpu"


def written(folder: Path) -> Path:
    picture = sitk.GetImageFromArray(image().voxels)
    picture.SetSpacing((1, 1, 2))
    sitk.WriteImage(picture, folder / "image.nii.gz")
    return folder / "image.nii.gz"


def test_the_command_line_segments_and_says_that_nothing_was_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, picture = imported(tmp_path), written(tmp_path)
    command = ["segment", str(picture), "-m", str(path), "-o", str(tmp_path / "out"), "--device", "cpu"]
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert f"({NOT_CHECKED})" in told.out
    assert cli.main([*command, "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["checked"] is False
    assert cli.main(["check", str(picture), "-m", str(path)]) == 4
    assert "no reference images" in capsys.readouterr().err
    assert cli.main(["info", str(path)]) == 0
    assert "CC BY 4.0" in capsys.readouterr().out


def test_the_worker_imports_segments_and_tells_what_the_model_is(tmp_path: Path) -> None:
    source, model = imported(tmp_path).parent / "results", tmp_path / "made" / "again.mts.safetensors"
    events: list[dict[str, Any]] = []
    worker = Worker(events.append)
    place = {"output": str(model.parent), "file": model.name}
    asked = {"command": "import", "folder": str(source), **place, "licence": "CC0", "folds": [0]}
    worker.handle(json.dumps(asked))
    *progress, result = events
    assert result["event"] == "result", result
    assert result["model"] == str(model)
    assert "CC0" in result["card"]
    assert {event["event"] for event in progress} == {"progress"}
    worker.handle(json.dumps({"command": "info", "model": str(model)}))
    assert events[-1]["checked"] is False
    assert events[-1]["tasks"][0]["inputs"] == ["T1"]
    output = str(tmp_path / "out")
    wanted = {"command": "segment", "image": str(written(tmp_path)), "model": str(model), "output": output}
    worker.handle(json.dumps(wanted))
    assert (events[-1]["event"], events[-1]["report"]["checked"]) == ("result", False)
    worker.handle(json.dumps({**asked, "folds": [9]}))
    assert (events[-1]["event"], events[-1]["kind"]) == ("error", "UsageError")
    worker.handle(json.dumps({**asked, "file": "../elsewhere.mts.safetensors"}))
    assert "is a path" in events[-1]["message"]
    assert not (tmp_path / "elsewhere.mts.safetensors").exists()


def test_channels_may_be_given_by_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, file = imported(tmp_path), written(tmp_path)
    words = ["segment", "-m", str(model), "-o", str(tmp_path / "result"), "--channel"]
    assert cli.main([*words, f"t1={file}"]) == 0
    assert cli.main([*words, f"T2={file}"]) == 2
    assert "Dataset900_Tiny takes T1" in capsys.readouterr().err
    assert cli.main(["check", "-m", str(model), "--channel", f"T1={file}"]) == 4
    assert "has no reference images" in capsys.readouterr().err
