"""From folders to a model and back: train a few steps, then segment, evaluate, benchmark and refit with the result."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.model.structure import to_plain
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.calibration.task_calibration import HeldOutCase, TaskCalibration
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.data.planning import make_plan
from trainer.data.provenance import Provenance, unseen
from trainer.evaluation.evaluation import evaluate
from trainer.measuring.own_grid_case import read_own_grid_case
from trainer.measuring.shipped_pass import ShippedPass
from trainer.ood.benchmark import BenchmarkSettings, run_benchmark
from trainer.refitting.spectral_refit import refit_reference
from trainer.report.run_folder import RunFolder
from trainer.training.planned_manifest import planned_manifest
from trainer.training.train_model import train_model
from trainer.training.training import Budget

SHAPE = (6, 12, 12)
CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=2, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=2, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=SHAPE, label_values=(2, 5))
HOLES = BallDataset("Dataset002_HoleCine", (1.0, 1.0, 2.5), SHAPE, region="chest", offset=300.0, contrast=-200.0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    parent = tmp_path_factory.mktemp("data")
    folders = [BALLS.write(parent), HOLES.write(parent)]
    for folder in folders:
        # Every other patient was scanned with pixels of half the size, so that results lie on another grid.
        for path in sorted(folder.glob("*Tr/case_*[135]*.nii.gz")):
            in_finer_pixels(path)
    return folders


def in_finer_pixels(path: Path) -> None:
    """Store an image with each pixel of the plane as four."""
    image = sitk.ReadImage(str(path))
    finer = sitk.GetImageFromArray(np.repeat(np.repeat(sitk.GetArrayFromImage(image), 2, axis=1), 2, axis=2))
    x, y, z = image.GetSpacing()
    finer.SetSpacing((x / 2, y / 2, z))
    sitk.WriteImage(finer, str(path))


@pytest.fixture(scope="module")
def trained(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    return path, train_model(folders, path, CONFIG, Budget(steps=40), stream=io.StringIO())


def test_the_run_folder_holds_config_log_checkpoint_metrics_and_report(trained: tuple[Path, Manifest]) -> None:
    run = RunFolder(trained[0])
    assert {path.name for path in run.path.iterdir()} == {
        ".run.lock", "cache", "checkpoint.pt", "config.json", "metrics.json", "metrics.jsonl", "report.html"
    }  # fmt: skip
    assert json.loads((run.path / "config.json").read_text(encoding="utf-8"))["seed"] == 1
    metrics = json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["tasks"]) == {BALLS.name, HOLES.name}
    records = [json.loads(line) for line in run.steps.read_text(encoding="utf-8").splitlines()]
    assert records[-1]["step"] == 40
    assert set(records[-1]["dice"]) == {BALLS.name, HOLES.name}
    report = run.report.read_text(encoding="utf-8")
    assert "<svg" in report or "data:image" in report
    assert 'src="http' not in report


def test_the_model_file_describes_what_was_trained(trained: tuple[Path, Manifest]) -> None:
    path, manifest = trained
    model = load_model(path)
    assert to_plain(model.manifest) == to_plain(manifest)
    assert manifest.name == "balls"
    balls, holes = manifest.tasks
    assert [(label.value, label.name) for label in balls.labels] == [(2, "part2"), (5, "part5")]
    assert (balls.channels, holes.channels) == (slice(0, 3), slice(3, 5))
    assert (balls.training_cases, balls.held_out_cases) == (4, 2)
    assert balls.licence == "CC0-1.0"
    assert set(balls.held_out_dice) == {"part2", "part5"}
    assert manifest.training["steps"] == 40
    assert len(model.reference.tasks) == 8
    assert len(model.reference.calibration_scores) == 4
    # Forty steps leave the network far too sure or unsure of the holes, which the temperatures mend.
    assert holes.calibration["ece_uncalibrated"] > 0.1
    assert holes.calibration["ece"] < 0.5 * holes.calibration["ece_uncalibrated"]
    assert balls.calibration["ece"] < 0.1
    # Patients are not named in a file that is passed on.
    assert "patient_" not in path.read_bytes().decode("latin-1")


def test_forty_steps_teach_something(trained: tuple[Path, Manifest], folders: list[Path]) -> None:
    predictor = Predictor.load(trained[0], "cpu")
    case = unseen(read_dataset(folders[1]), predictor.manifest)[0]
    result = predictor.segment(read_image(case.image), HOLES.name)
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))
    overlap = 2 * ((result.labels > 0) & (truth > 0)).sum() / ((result.labels > 0).sum() + (truth > 0).sum())
    assert overlap > 0.6
    assert result.uncertainty.shape == truth.shape


def test_the_dice_in_the_model_file_is_that_of_the_results_users_get(
    trained: tuple[Path, Manifest], folders: list[Path]
) -> None:
    """Of the file as it is loaded, against the label files as they are on disk."""
    predictor = Predictor.load(trained[0], "cpu", "torch")
    for folder, task in zip(folders, predictor.manifest.tasks, strict=True):
        scores: dict[str, list[float]] = {label.name: [] for label in task.labels}
        grids = set()
        for case in unseen(read_dataset(folder), predictor.manifest):
            volume = read_image(case.image)
            result = predictor.segment(volume, task.name)
            truth = sitk.GetArrayFromImage(sitk.ReadImage(str(case.label)))
            for label in task.labels:
                found, wanted = result.labels == label.value, truth == label.value
                scores[label.name].append(2 * (found & wanted).sum() / (found.sum() + wanted.sum()))
            grids.add(prepare(volume, task.profile).voxels.shape == volume.shape)
        assert task.held_out_dice == pytest.approx({name: np.mean(own) for name, own in scores.items()}, abs=1e-12)
        assert False in grids, "on the network's own grid nothing would be shown"


def test_the_temperatures_in_the_model_file_are_those_of_its_weights_on_the_images_own_grids(
    trained: tuple[Path, Manifest], folders: list[Path]
) -> None:
    model = load_model(trained[0])
    shipped = ShippedPass(model.network, torch.device("cpu"))
    for folder, task in zip(folders, model.manifest.tasks, strict=True):
        dataset, calibration = read_dataset(folder), TaskCalibration(CONFIG.seed)
        for case in unseen(dataset, model.manifest):
            read = read_own_grid_case(case, task, dataset.labels)
            assert read.truth.shape == read_image(case.image).shape
            calibration.add(HeldOutCase(case.group, shipped.logits(read.voxels, task.channels), read.truth))
        # Which of two cases comes first decides which voxels are drawn.
        assert calibration.scaling().temperature == pytest.approx(task.temperature, rel=0.1)
        assert calibration.figures() == pytest.approx(task.calibration, abs=0.02)


def test_what_was_planned_is_what_is_written(trained: tuple[Path, Manifest], folders: list[Path]) -> None:
    """So that what would be refused at the end is refused before the first step."""
    known = []
    for dataset in map(read_dataset, folders):
        held_out = unseen(dataset, trained[1])
        known.append(replace(dataset, cases=tuple(c for c in dataset.cases if c not in held_out)))
    planned = planned_manifest(make_plan(known, CONFIG), CONFIG, "balls")
    measured = {"temperature", "surface_temperature", "held_out_dice", "calibration", "single_component"}
    measured |= {"training_cases", "held_out_cases"}
    before, after = to_plain(planned), to_plain(trained[1])
    assert after["training"]["config"] == before["training"]["config"]
    for own, later in zip(before["tasks"], after["tasks"], strict=True):
        assert {k: v for k, v in own.items() if k not in measured} == {
            k: v for k, v in later.items() if k not in measured
        }
    for name in ("format_version", "name", "created_by", "intended_use", "architecture"):
        assert before[name] == after[name]


def test_only_held_out_patients_are_evaluated_unless_asked_otherwise(
    trained: tuple[Path, Manifest], folders: list[Path], tmp_path: Path
) -> None:
    summary = evaluate(trained[0], folders, tmp_path, task="dataset", stream=io.StringIO())
    assert {name: figures["cases"] for name, figures in summary.items()} == {BALLS.name: 2, HOLES.name: 2}
    assert all(figures["recognised"] == 1.0 for figures in summary.values())
    provenance = Provenance.of(trained[1])
    counts = {name: len(groups) for name, groups in provenance.generations[0].held_out.items()}
    assert counts == {BALLS.name: 2, HOLES.name: 2}
    rows = (tmp_path / "cases.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert len(rows) == 2 * 2 + 2
    for row in rows:
        assert not provenance.saw(row.split(",")[2])
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["model"] == load_model(trained[0]).digest
    everything = evaluate(trained[0], folders[:1], tmp_path, task="dataset", held_out_only=False, stream=io.StringIO())
    assert everything[BALLS.name]["cases"] == 6


def test_the_benchmark_scores_held_out_and_foreign_images(
    trained: tuple[Path, Manifest], folders: list[Path], tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign" / "noise"
    foreign.mkdir(parents=True)
    for number in range(2):
        voxels = np.random.default_rng(number).normal(0, 1, SHAPE).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(foreign / f"{number}.nii.gz"))
    flat = sitk.GetImageFromArray(np.random.default_rng(3).random((12, 12)).astype(np.float32))
    sitk.WriteImage(flat, str(foreign / "picture.mha"))  # 2-D: not for this model
    settings = BenchmarkSettings(("real", "left-out", "matched"), passes=2)
    roots, out = [tmp_path / "foreign"], tmp_path / "out"
    found = run_benchmark([trained[0]], folders, roots, out, settings, [trained[0]], io.StringIO())["models"][0]
    assert found["shipped"]["known_images"] == 4
    families = {family: figures["images"] for family, figures in found["detectors"]["whitened, all layers"].items()}
    assert families["real"] == 2
    assert families["matched"] == 2 * len(folders)
    assert found["detectors"]["whitened, all layers"]["real"]["auroc"] == 1.0
    assert "untrained network: multilayer" in found["detectors"]
    assert "MC dropout, standard deviation" in found["detectors"]
    written = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert written["models"][0]["detectors"] == found["detectors"]
    # Everything was measured before: a second run reads it from the disk and finds the same.
    stamps = {path: path.stat().st_mtime_ns for path in (out / "features").rglob("*.npz")}
    again = run_benchmark([trained[0]], folders, roots, out, settings, [trained[0]], io.StringIO())["models"][0]
    assert again["detectors"] == found["detectors"]
    assert {path: path.stat().st_mtime_ns for path in (out / "features").rglob("*.npz")} == stamps


def test_the_benchmark_s_command_publishes_its_figures(
    trained: tuple[Path, Manifest], folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "foreign").mkdir()
    voxels = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "foreign" / "a.nii.gz"))
    words = ["ood-benchmark", "-m", str(trained[0]), "--in", *map(str, folders), "--ood", str(tmp_path / "foreign")]
    words += ["-o", str(tmp_path / "out"), "--families", "real", "--no-untrained", "--variant", "paper"]
    assert cli.main([*words, "--publish", str(tmp_path / "results"), "--title", "Tiny"]) == 0
    assert "flagged: real" in capsys.readouterr().out
    for name in ("ood-benchmark.md", "ood-benchmark-tiny.md"):
        page = (tmp_path / "results" / name).read_text(encoding="utf-8")
        assert "Tiny" in page
        assert "(`paper`, layers decoder0)" in page
        assert str(tmp_path) not in page


def test_a_reference_fitted_anew_on_the_same_data_judges_the_same(
    trained: tuple[Path, Manifest], folders: list[Path], tmp_path: Path
) -> None:
    again = tmp_path / "again.mts.safetensors"
    manifest = refit_reference(trained[0], folders, again, stream=io.StringIO())
    # The first one was fitted on voxels kept as float16.
    assert manifest.ood.threshold == pytest.approx(trained[1].ood.threshold, rel=0.05)
    paper = refit_reference(trained[0], folders, again, variant="paper", stream=io.StringIO())
    assert (paper.ood.variant, paper.ood.layers) == ("paper", ("decoder0",))
    assert load_model(again).manifest.ood == paper.ood
    with pytest.raises(DatasetError, match=HOLES.name):
        refit_reference(trained[0], folders[:1], again, stream=io.StringIO())


def test_a_model_name_with_another_ending_is_wrong_use(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mts\.safetensors"):
        train_model(folders, tmp_path / "model.pt", CONFIG, Budget(steps=1), stream=io.StringIO())
    assert list(tmp_path.iterdir()) == []


def test_the_trainer_s_command_line_exits_with_2_4_and_0(
    trained: tuple[Path, Manifest], folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "m.mts.safetensors")
    assert cli.main(["train", "--data", str(folders[0]), "-o", output, "--steps", "5", "--minutes", "1"]) == 2
    assert cli.main(["train", "--data", str(tmp_path), "-o", output, "--steps", "5"]) == 4
    assert cli.main(["info", str(trained[0])]) == 0
    out, err = capsys.readouterr()
    assert BALLS.name in out
    assert len(err.splitlines()) == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "changes, shape",
    [
        ({"head": "shared_foreground"}, SHAPE),
        ({"ood_variant": "paper"}, SHAPE),
        ({"fit_matrix": 16}, (1, 14, 10)),
        ({"precision": "bfloat16", "deep_supervision": False, "mirror_axes": {"Dataset003_A": "x"}}, SHAPE),
    ],
    ids=["shared foreground", "paper signature", "pictures", "bfloat16"],
)
def test_every_kind_of_model_can_be_trained_and_used(
    changes: dict[str, object], shape: tuple[int, int, int], tmp_path: Path
) -> None:
    config = replace(CONFIG, **changes)  # type: ignore[arg-type]
    datasets = [
        BallDataset("Dataset003_A", shape=shape, label_values=(1, 4)),
        BallDataset("Dataset004_B", shape=shape, contrast=-80.0, region="chest"),
    ]
    folders = [dataset.write(tmp_path) for dataset in datasets]
    output = tmp_path / "m.mts.safetensors"
    train_model(folders, output, config, Budget(steps=3), stream=io.StringIO())
    predictor = Predictor.load(output, "cpu")
    volume = read_image(read_dataset(folders[1]).cases[0].image)
    result = predictor.segment(volume, "Dataset004_B")
    assert result.labels.shape == volume.shape
    assert set(np.unique(result.labels)) <= {0, 1}
    assert predictor.check(volume) == predictor.segment(volume).verdict
