"""The whole experiment on a tiny model: who is measured, what is kept, and what is published."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.model_file import load_model, rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.evaluation.known_answer import BALLS, write_answers, write_model
from Testing.trainer.layout.written import noise, write_picture
from trainer import cli, cli_failure
from trainer.data.dataset import read_dataset
from trainer.failure import image_store
from trainer.failure.experiment import KINDS, FailureOptions, entries, repeats, run_failure_detection
from trainer.failure.image_store import ImageStore
from trainer.failure.publication import PAGE, publication_path, publish, published_page
from trainer.failure.repeat import SNAPSHOTS, Dropout, Ensemble
from trainer.failure.shipped_look import look
from trainer.failure.wording import provenance
from trainer.snapshot.member_store import MemberStore
from trainer.snapshot.snapshot_model import write_snapshot_models
from trainer.uncertainty.experiment import CalibrationOptions, run_calibration

FAULTS = ("noise", "cropped_field_of_view")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def balls(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_answers(model, tmp_path_factory.mktemp("data") / BALLS, ("p0", "p1", "p2", "p3"))


def test_a_look_gives_what_users_get_and_the_expected_dice_also_of_what_is_flagged(model: Path, balls: Path) -> None:
    predictor = Predictor.load(model, "cpu")
    volume = read_image(balls / "imagesTr" / "p1_0000.nii.gz")
    flagged = replace(volume, voxels=np.indices(volume.shape).sum(axis=0).astype(np.float32))
    task = predictor.manifest.task(BALLS)
    told = []
    for image in (volume, flagged):
        shipped, seen = predictor.segment(image, BALLS), look(predictor, image, task)
        np.testing.assert_array_equal(seen.maps.labels, shipped.labels)
        np.testing.assert_array_equal(seen.maps.uncertainty, shipped.uncertainty)
        assert (seen.verdict.score, seen.verdict.is_ood) == (shipped.checked.score, shipped.checked.is_ood)
        told.append(bool(shipped.predicted_dice))
        if shipped.predicted_dice:
            assert seen.maps.predicted_dice == dict(shipped.predicted_dice)
        assert any(value is not None for value in seen.maps.predicted_dice.values())
    assert told[1] is False


def test_only_patients_whom_the_model_has_not_seen_are_measured(model: Path, balls: Path) -> None:
    chosen = entries(read_dataset(balls), [Predictor.load(model, "cpu")], FAULTS)
    assert {entry.group for entry in chosen} == {"p1", "p3"}
    assert len(chosen) == 2 * (1 + 3 * len(FAULTS))
    assert [entry.artefact is None for entry in chosen[:8]] == [True, *[False] * 6, True]


def test_what_cannot_be_measured_is_refused(model: Path, balls: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(model, "cpu")
    other = write_answers(model, tmp_path / BALLS, ("p1",)).rename(tmp_path / "Other")
    with pytest.raises(DatasetError, match="no task 'Other'"):
        entries(read_dataset(other), [predictor], ())
    seen = write_answers(model, tmp_path / BALLS, ("p0",))
    with pytest.raises(DatasetError, match="no case was held out"):
        entries(read_dataset(seen), [predictor], ())
    with pytest.raises(UsageError, match="no artefact is called 'rain'"):
        entries(read_dataset(balls), [predictor], ("rain",))
    with pytest.raises(UsageError, match="cannot be compared"):
        Dropout(predictor, 1)


def test_images_that_are_measured_are_not_measured_again_unless_something_changes(
    model: Path, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model, "cpu")
    (entry, *_) = entries(read_dataset(balls), [predictor], ())
    first = ImageStore(tmp_path, predictor, [Dropout(predictor, 2)]).get(entry)
    assert first is not None
    assert first.mean_dice == 1
    assert 0 <= first.agreement["dropout"] < 1

    def refuse(*_: object) -> None:
        raise AssertionError("it was measured again")

    monkeypatch.setattr(image_store, "look", refuse)
    assert ImageStore(tmp_path, predictor, [Dropout(predictor, 2)]).get(entry) == first
    # Another way of repeating needs passes of its own, not another look.
    more = ImageStore(tmp_path, predictor, [Dropout(predictor, 3)]).get(entry)
    assert more is not None
    assert more.agreement != first.agreement
    with pytest.raises(AssertionError, match="measured again"):
        ImageStore(tmp_path, predictor).get(replace(entry, label_names={**entry.label_names, 8: "more"}))
    label = entry.label
    assert label is not None
    (tmp_path / "label.nii.gz").write_bytes(label.read_bytes() + b"\0")
    with pytest.raises(AssertionError, match="measured again"):
        ImageStore(tmp_path, predictor).get(replace(entry, label=tmp_path / "label.nii.gz"))


def test_an_image_that_cannot_be_prepared_is_left_out_and_counted(model: Path, balls: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(model, "cpu")
    (entry, *_) = entries(read_dataset(balls), [predictor], ())
    (tmp_path / "flat.nii.gz").write_bytes(b"no image")
    assert ImageStore(tmp_path / "store", predictor).get(replace(entry, image=tmp_path / "flat.nii.gz")) is None


def test_an_ensemble_of_the_same_network_agrees_with_itself(model: Path, balls: Path) -> None:
    predictor = Predictor.load(model, "cpu")
    (entry, *_) = entries(read_dataset(balls), [predictor], ())
    same = Ensemble([predictor, predictor]).agreement(entry.load()[0], predictor.manifest.task(BALLS))
    assert same == 1


def snapshot_of(model: Path, folder: Path, number: int) -> Path:
    """A model whose weights are a little larger than those of the finished one."""
    network, store = load_model(model).network, MemberStore(folder)
    for parameter in network.parameters():
        parameter.mul_(1 + number / 10)
    return write_snapshot_models(model, store, [store.keep(number, 10 * number, network)], 3)[0]


def named_otherwise(model: Path, folder: Path) -> Path:
    path = folder / "other.mts.safetensors"
    rewrite_manifest(model, replace(load_model(model).manifest, name="other"), path)
    return path


def test_snapshots_of_the_model_are_a_row_of_their_own_beside_the_ensemble(
    model: Path, balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (snapshot_of(model, tmp_path / "snapshots", number) for number in (1, 2))
    words = ["experiment", "failure-detection", "-m", str(model), "--data", str(balls), "-o", str(tmp_path / "out")]
    assert cli.main([*words, "--kinds", "--snapshots", str(first), "--snapshots", str(second)]) == 0
    assert "pairwise Dice, snapshots: AURC" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert [own["name"] for own in metrics["snapshots"]] == ["tiny.snapshot1", "tiny.snapshot2"]
    assert metrics["ensemble"] == []
    assert "pairwise_dice_snapshots" in metrics["means"]
    assert "pairwise_dice_ensemble" not in metrics["means"]
    predictors = [Predictor.load(path, "cpu") for path in (model, first, second)]
    (entry, *_) = entries(read_dataset(balls), predictors, ())
    way = Ensemble(predictors, SNAPSHOTS)
    (kept,) = (tmp_path / "out" / "images").glob(f"{entry.key}.snapshots.*.json")
    expected = way.agreement(entry.load()[0], predictors[0].manifest.task(BALLS))
    assert json.loads(kept.read_text(encoding="utf-8"))["pairwise_dice"] == expected
    said = dict(map(tuple, provenance(metrics)))
    assert said["snapshots of its training"].startswith("tiny.snapshot1 ")
    del metrics["snapshots"]
    assert dict(map(tuple, provenance(metrics)))["snapshots of its training"] == "none", "findings from before"


def test_the_ensemble_and_the_snapshots_are_not_mixed(model: Path, tmp_path: Path) -> None:
    other = named_otherwise(model, tmp_path)
    predictors = [Predictor.load(path, "cpu") for path in (model, other)]
    snapshots = [Predictor.load(snapshot_of(model, tmp_path / "snapshots", 1), "cpu")]
    ways = repeats(FailureOptions((model, other), ()), predictors, snapshots)
    names = [[own.manifest.name for own in way._predictors] for way in ways if isinstance(way, Ensemble)]
    assert [way.name for way in ways] == ["ensemble", "snapshots"]
    assert names == [["tiny", "other"], ["tiny", "tiny.snapshot1"]]


def test_a_model_that_is_no_snapshot_of_the_one_that_is_measured_is_refused(
    model: Path, balls: Path, tmp_path: Path
) -> None:
    snapshot = snapshot_of(model, tmp_path / "snapshots", 1)
    for models, snapshots, told in (
        ((model,), (named_otherwise(model, tmp_path),), "other is no snapshot"),
        ((snapshot,), (snapshot_of(model, tmp_path / "more", 2),), "is a snapshot of another tiny"),
        ((model,), (snapshot, snapshot), "is given twice"),
    ):
        with pytest.raises(UsageError, match=told):
            run_failure_detection(FailureOptions(models, (balls,), (), snapshots=snapshots), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_image_that_another_model_of_the_ensemble_cannot_prepare_is_left_out(
    model: Path, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model, "cpu")
    (entry, *_) = entries(read_dataset(balls), [predictor], ())

    def refuse(*_: object) -> float:
        raise InputError("the image is constant")

    monkeypatch.setattr(Ensemble, "agreement", refuse)
    assert ImageStore(tmp_path, predictor, [Ensemble([predictor, predictor])]).get(entry) is None


def test_what_was_stored_is_not_used_when_images_are_prepared_otherwise(
    model: Path, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model, "cpu")
    (entry, *_) = entries(read_dataset(balls), [predictor], ())
    for count, version in enumerate((image_store.PREPARED_BY, "another"), start=1):
        monkeypatch.setattr(image_store, "PREPARED_BY", version)
        assert ImageStore(tmp_path, predictor).get(entry) is not None
        assert len(list(tmp_path.glob("*.image.*.json"))) == count


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kinds": ("noise", "blur", "noise")}, "artefact noise is given twice"),
        ({"seed": -1}, "seed -1 is negative"),
        ({"twice": True}, "model of the digest .* is given twice"),
    ],
)
def test_what_would_count_twice_or_fail_at_the_end_is_refused_before_anything_is_measured(
    model: Path, balls: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    models = (model,) * (1 + changes.pop("twice", False))
    with pytest.raises(UsageError, match=told):
        run_failure_detection(replace(FailureOptions(models, (balls,), ()), **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_classes_have_nothing_drawn_and_are_refused_in_words_by_either_experiment(
    model: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("cat", "cat", "dog", "dog")):
        write_picture(tmp_path / "photos" / name / f"{number}.png", noise(number, (16, 16, 3)))
    for run in (
        lambda: run_failure_detection(FailureOptions((model,), (tmp_path / "photos",), ()), tmp_path / "out"),
        lambda: run_calibration(CalibrationOptions(model, (tmp_path / "photos",)), tmp_path / "out"),
    ):
        with pytest.raises(DatasetError, match="no masks"):
            run()
    assert not (tmp_path / "out").exists()


def test_a_fault_that_cannot_be_seen_in_the_model_s_images_is_refused(
    model: Path, balls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(model, "cpu")
    tasks = tuple(
        replace(task, profile=replace(task.profile, grid="fit", spacing_zyx_mm=None, matrix=32))
        for task in predictor.manifest.tasks
    )
    monkeypatch.setattr(predictor, "model", replace(predictor.model, manifest=replace(predictor.manifest, tasks=tasks)))
    with pytest.raises(UsageError, match="wrong_spacing cannot be seen"):
        entries(read_dataset(balls), [predictor], ("noise", "wrong_spacing"))


def test_figures_of_another_model_are_not_overwritten(tmp_path: Path) -> None:
    names = [publication_path(tmp_path, {"created": "2026-11-29T10:00", "title": "T", "model": {"name": name}})
             for name in ("mr3d", "planar2d")]  # fmt: skip
    assert [path.name for path in names] == [
        f"failure-detection-2026-11-29-t-{name}.json" for name in ("mr3d", "planar2d")
    ]


def test_the_command_writes_figures_report_and_page_without_naming_anyone(
    model: Path, balls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, results = tmp_path / "out", tmp_path / "results"
    words = ["experiment", "failure-detection", "-m", str(model), "--data", str(balls), "-o", str(output)]
    assert cli.main([*words, "--kinds", *FAULTS, "--publish", str(results), "--title", "Tiny"]) == 0
    said = capsys.readouterr()
    assert "expected Dice, not corrected: AURC" in said.out
    assert "100 % (14/14)" in said.err
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    task = metrics["tasks"][BALLS]
    assert (task["images"] + metrics["left_out"].get(BALLS, 0), task["patients"]) == (14, 2)
    assert {"entropy", "expected_dice", "ood_score", "verdict_and_expected_dice"} <= set(task["rows"])
    assert "random_forest" not in task["rows"], "two patients are too few to fit anything"
    assert set(metrics["verdict"]) == {"all", *FAULTS}
    (published,) = results.glob("failure-detection-*-tiny.json")
    assert published.with_suffix(".png").is_file()
    page = (results / PAGE).read_text(encoding="utf-8")
    assert page == published_page(results)
    assert f"### {BALLS}" in page
    for text in (page, published.read_text(encoding="utf-8"), (output / "report.html").read_text(encoding="utf-8")):
        assert str(tmp_path) not in text
        assert not re.search(r"\bp[13]\b", text)
    assert json.loads(published.read_text(encoding="utf-8"))["command"].startswith("python -m trainer experiment")
    # Published again on another day it is there once; another title that is spelt alike is refused.
    for file in (published, published.with_suffix(".png")):
        file.rename(file.with_name(file.name.replace(metrics["created"][:10], "2020-01-02")))
    assert publish(metrics, results)[0] == published
    assert {file.name for file in results.iterdir()} == {published.name, published.with_suffix(".png").name, PAGE}
    with pytest.raises(UsageError, match="has the file name of another published study: Tiny"):
        publish(metrics | {"title": "Tiny!"}, results)


def test_models_of_other_labels_are_no_ensemble(model: Path, balls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor, other = Predictor.load(model, "cpu"), Predictor.load(model, "cpu")
    task = other.manifest.task(BALLS)
    renamed = replace(task, labels=(replace(task.labels[0], name="another"), *task.labels[1:]))
    others = tuple(renamed if one.name == BALLS else one for one in other.manifest.tasks)
    monkeypatch.setattr(other, "model", replace(other.model, manifest=replace(other.manifest, tasks=others)))
    with pytest.raises(UsageError, match="same labels"):
        entries(read_dataset(balls), [predictor, other], ())


@pytest.mark.parametrize(
    ("changes", "told"), [({"inputs": ("T1", "T2")}, "several channels"), ({"are_regions": True}, "regions")]
)
def test_a_task_of_several_channels_or_of_regions_is_refused_of_whichever_model(
    model: Path, balls: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    first, other = Predictor.load(model, "cpu"), Predictor.load(model, "cpu")
    tasks = tuple(replace(task, **changes) for task in other.manifest.tasks)
    monkeypatch.setattr(other, "model", replace(other.model, manifest=replace(other.manifest, tasks=tasks)))
    for predictors in ([other], [first, other]):
        with pytest.raises(UsageError, match=told):
            entries(read_dataset(balls), predictors, ())


def test_the_command_line_names_the_faults_that_the_experiment_has_by_default() -> None:
    assert cli_failure.KINDS == KINDS == FailureOptions((), ()).kinds


def test_nothing_is_left_to_measure(model: Path, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageStore, "get", lambda *_: None)
    with pytest.raises(DatasetError, match="none of the images"):
        run_failure_detection(FailureOptions((model,), (balls,), ()), tmp_path)
