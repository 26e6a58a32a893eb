"""Weights between those before and after a fine-tuning, with everything that rests on them made anew."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_card import averaged_words, left_out_text
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.channel_dataset import ChannelDataset
from Testing.trainer.refitting.test_kept_tasks import BALLS, CONFIG, CORES, PAIRS
from trainer.cli import main
from trainer.data import dataset
from trainer.data.provenance import Provenance
from trainer.pretraining.finetune import finetune
from trainer.refitting import recalibration
from trainer.refitting.averaged_weights import AVERAGED, average_weights
from trainer.refitting.descent import DESCENT, described, refitted, requalified
from trainer.refitting.recalibration import refit_calibration
from trainer.refitting.spectral_refit import KNOWS_IMAGES_OF, refit_reference
from trainer.snapshot.snapshot_model import KEY as SNAPSHOT
from trainer.training.train_model import train_model
from trainer.training.training import Budget


class Tuned(NamedTuple):
    start: Path
    model: Path
    folders: list[Path]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """Started from a model of three tasks, fine-tuned on two of them in another order; one has a stem of its own."""
    parent, place = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("model")
    folders = {dataset.name: dataset.write(parent) for dataset in (BALLS, PAIRS, CORES)}
    start, model = place / "start.mts.safetensors", place / "tuned.mts.safetensors"
    train_model(list(folders.values()), start, CONFIG, Budget(steps=30), stream=io.StringIO())
    chosen = [folders[CORES.name], folders[PAIRS.name]]
    finetune(start, chosen, model, replace(CONFIG, seed=5), Budget(steps=12), stream=io.StringIO())
    return Tuned(start, model, chosen)


def averaged(tuned: Tuned, output: Path, share: float = 0.75, **changes: Any) -> Path:
    given = tuned._asdict() | changes
    average_weights(given["model"], given["start"], given["folders"], output, share=share, stream=io.StringIO())
    return output


@pytest.fixture(scope="module")
def between(tuned: Tuned, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return averaged(tuned, tmp_path_factory.mktemp("average") / "between.mts.safetensors")


def test_every_weight_lies_between_the_two_and_outputs_are_those_of_the_same_task(tuned: Tuned, between: Path) -> None:
    start, after, found = (load_model(path) for path in (tuned.start, tuned.model, between))
    own, other, mixed = (model.network.state_dict() for model in (after, start, found))
    rows = [
        channel
        for task in after.manifest.tasks
        for channel in range(
            start.manifest.task(task.name).channels.start, start.manifest.task(task.name).channels.stop
        )
    ]
    assert rows != sorted(rows)
    # The first stem is the encoder's own, of images of one channel; so it is in both.
    assert after.manifest.stems == ((), start.manifest.task(PAIRS.name).inputs)
    for name, weights in mixed.items():
        before = other[name][rows] if name.startswith("head.") else other[name]
        expected = (0.25 * before + 0.75 * own[name]).half().float()
        torch.testing.assert_close(weights, expected, rtol=0, atol=0)


def test_temperatures_dice_and_reference_are_those_of_the_new_weights(
    tuned: Tuned, between: Path, tmp_path: Path
) -> None:
    manifest, after = read_manifest(between)[0], read_manifest(tuned.model)[0]
    again = refit_calibration(between, tuned.folders, tmp_path / "again.mts.safetensors", stream=io.StringIO())
    assert manifest.tasks == again.tasks
    assert [task.calibration for task in manifest.tasks] != [task.calibration for task in after.tasks]
    assert manifest.quality == again.quality
    anew = refit_reference(between, tuned.folders, tmp_path / "anew.mts.safetensors", stream=io.StringIO())
    assert manifest.ood == anew.ood
    assert manifest.ood != after.ood


def test_the_file_says_what_was_averaged_and_no_figure_of_another_file_holds_for_it(
    tuned: Tuned, between: Path
) -> None:
    manifest, after = read_manifest(between)[0], read_manifest(tuned.model)[0]
    start, digest = read_manifest(tuned.start)
    assert manifest.training[AVERAGED] == {"model": start.name, "sha256": digest, "share": 0.75}
    assert not set(DESCENT) & set(manifest.training)
    assert manifest.precision is None
    assert Provenance.of(manifest) == Provenance.of(after)
    assert averaged_words(manifest.training) == ", averaged with these (75 % its own)"


def noted(model: Path, notes: Mapping[str, object], path: Path) -> Path:
    """The model with these notes besides its own."""
    manifest = read_manifest(model)[0]
    rewrite_manifest(model, replace(manifest, training=manifest.training | notes), path)
    return path


def test_figures_of_the_fine_tuned_file_are_not_those_of_the_average(tuned: Tuned, tmp_path: Path) -> None:
    figures = {"held_out_dice": {"ball": 0.4}, "held_out_cases": 3}
    notes = {key: ["ab"] for key in DESCENT} | {"left_out": {"Old": figures}}
    # As of a snapshot, which takes its figures from the finished model, and is found by these words.
    notes |= {SNAPSHOT: {"of": "tuned", "weights_sha256": "ab", "measured": "nothing"}}
    model = noted(tuned.model, notes, tmp_path / "noted.mts.safetensors")
    assert "measured" in read_manifest(model)[0].training
    found = read_manifest(averaged(tuned, tmp_path / "out.mts.safetensors", model=model))[0]
    assert not {*DESCENT, SNAPSHOT, "measured"} & set(found.training)
    assert left_out_text(found) == "Trained on, too, but left out: Old (Dice not recorded)"


@pytest.mark.parametrize("changed", [described, requalified, refitted])
def test_a_file_that_was_made_of_the_start_and_has_its_weights_is_as_good(
    tuned: Tuned, tmp_path: Path, changed: Callable[[Manifest, str], Manifest]
) -> None:
    start = tmp_path / "rewritten.mts.safetensors"
    rewrite_manifest(tuned.start, changed(*read_manifest(tuned.start)), start)
    assert read_manifest(start)[1] != read_manifest(tuned.start)[1]
    with pytest.raises(DatasetError, match="no folder for"):  # so the file was taken
        averaged(tuned, tmp_path / "out.mts.safetensors", start=start, folders=[])


def test_weights_are_averaged_in_the_processor_s_memory_wherever_they_are_measured(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without memory of its own stands for a card."""
    where = {"cpu": torch.device("cpu"), "auto": torch.device("meta")}
    monkeypatch.setattr("MultiTaskSegLib.runtime.predictor.torch_device", where.__getitem__)
    met = []

    def measured(predictor: Predictor, *_: object, **__: object) -> Manifest:
        met.append(predictor.device.type)
        raise DatasetError("far enough")

    monkeypatch.setattr("trainer.refitting.averaged_weights.recalibrated", measured)
    with pytest.raises(DatasetError, match="far enough"):
        averaged(tuned, tmp_path / "out.mts.safetensors")
    assert met == ["meta"]


def test_images_for_the_check_are_looked_at_before_anything_is_measured(tuned: Tuned, tmp_path: Path) -> None:
    output = tmp_path / "out.mts.safetensors"
    model = noted(tuned.model, {KNOWS_IMAGES_OF: {CORES.name: "hearts"}}, tmp_path / "noted.mts.safetensors")
    with pytest.raises(UsageError, match="the check knows images of hearts in place of Dataset003_CoreT2"):
        averaged(tuned, output, model=model, folders=[])
    for task, said in (("Nobody", UsageError), (CORES.name, DatasetError)):
        with pytest.raises(said, match=r"no task Nobody|absent"):
            average_weights(
                tuned.model, tuned.start, [], output, images_of={task: tmp_path / "absent"}, stream=io.StringIO()
            )


def test_levels_that_the_start_does_not_have_are_refused(tuned: Tuned, tmp_path: Path) -> None:
    deeper, config = tmp_path / "deeper.mts.safetensors", replace(CONFIG, channels=(*CONFIG.channels, 8))
    finetune(tuned.start, tuned.folders, deeper, config, Budget(steps=3), stream=io.StringIO())
    with pytest.raises(ModelError, match="the training of deeper added levels to the network of this file"):
        averaged(tuned, tmp_path / "out.mts.safetensors", model=deeper)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_share_that_leaves_one_of_the_two_out_is_refused(tuned: Tuned, tmp_path: Path, share: float) -> None:
    with pytest.raises(UsageError, match="the share of the weights"):
        averaged(tuned, tmp_path / "out.mts.safetensors", share)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("share", "same"), [(1e-9, "start"), (1 - 1e-9, "tuned")])
def test_a_share_that_rounding_leaves_nothing_of_is_refused(
    tuned: Tuned, tmp_path: Path, share: float, same: str
) -> None:
    with pytest.raises(UsageError, match=f"the stored weights are those of {same}"):
        averaged(tuned, tmp_path / "out.mts.safetensors", share, folders=[])


def test_the_start_of_the_training_is_not_replaced(tuned: Tuned) -> None:
    before = tuned.start.read_bytes()
    with pytest.raises(UsageError, match="would replace the model that the fine-tuning was started from"):
        averaged(tuned, tuned.start.parent / "." / tuned.start.name)
    assert tuned.start.read_bytes() == before


def test_nor_is_it_under_another_spelling_of_its_name(tuned: Tuned, tmp_path: Path) -> None:
    # As on file systems that take names for one that differ in case alone.
    other = tmp_path / "START.mts.safetensors"
    other.hardlink_to(tuned.start)
    with pytest.raises(UsageError, match="would replace the model that the fine-tuning was started from"):
        averaged(tuned, other)


def test_any_other_file_than_the_start_of_that_training_is_refused(tuned: Tuned, between: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mts.safetensors"
    for start in (tuned.model, between):
        with pytest.raises(ModelError, match="was not fine-tuned from this file"):
            averaged(tuned, output, start=start)
    with pytest.raises(ModelError, match="start was not fine-tuned from this file"):
        averaged(tuned, output, model=tuned.start)
    with pytest.raises(ModelError, match="is averaged already"):
        averaged(tuned, output, model=between)
    assert not output.exists()


def test_a_training_that_took_a_part_of_the_weights_is_refused(tuned: Tuned, tmp_path: Path) -> None:
    part = tmp_path / "part.mts.safetensors"
    finetune(tuned.start, tuned.folders[:1], part, CONFIG, Budget(steps=3), scope="encoder", stream=io.StringIO())
    with pytest.raises(ModelError, match="took only a part of the weights"):
        averaged(tuned, tmp_path / "out.mts.safetensors", model=part, folders=tuned.folders[:1])


def test_channels_that_the_start_does_not_know_are_refused(tuned: Tuned, tmp_path: Path) -> None:
    """The same labels, so that the training went on with the outputs, and a stem that began with random weights."""
    start, model = tmp_path / "start.mts.safetensors", tmp_path / "other.mts.safetensors"
    other = ChannelDataset("Dataset005_Other").write(tmp_path)
    info = json.loads((other / "dataset.json").read_text())
    (other / "dataset.json").write_text(json.dumps(info | {"channel_names": {"0": "T2", "1": "PD"}}))
    train_model(tuned.folders[1:], start, CONFIG, Budget(steps=3), stream=io.StringIO())
    finetune(start, [other], model, CONFIG, Budget(steps=3), stream=io.StringIO())
    with pytest.raises(ModelError, match="start does not know all channels of other"):
        averaged(tuned, tmp_path / "out.mts.safetensors", model=model, start=start, folders=[other])


def test_a_note_that_claims_outputs_which_the_start_does_not_have_is_refused(tuned: Tuned, tmp_path: Path) -> None:
    start, model = tmp_path / "start.mts.safetensors", tmp_path / "pair.mts.safetensors"
    train_model(tuned.folders[:1], start, CONFIG, Budget(steps=3), stream=io.StringIO())
    finetune(start, tuned.folders[1:], model, CONFIG, Budget(steps=3), stream=io.StringIO())
    manifest = read_manifest(model)[0]
    claimed = manifest.training["finetuning"] | {"head": True}
    rewrite_manifest(model, replace(manifest, training=manifest.training | {"finetuning": claimed}), model)
    with pytest.raises(ModelError, match="start does not have all tasks of pair"):
        averaged(tuned, tmp_path / "out.mts.safetensors", model=model, start=start, folders=tuned.folders[1:])


def test_without_the_data_of_a_task_nothing_is_written(tuned: Tuned, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"no folder for {PAIRS.name}"):
        averaged(tuned, tmp_path / "out.mts.safetensors", folders=tuned.folders[:1])
    assert not list(tmp_path.iterdir())


def test_a_model_that_was_written_to_the_output_meanwhile_is_not_replaced(
    tuned: Tuned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mts.safetensors"

    def read_datasets(*arguments: Any, **named: Any) -> Any:
        """For the temperatures, after the models were read."""
        output.write_text("another", encoding="utf-8")
        return dataset.read_datasets(*arguments, **named)

    monkeypatch.setattr(recalibration, "read_datasets", read_datasets)
    with pytest.raises(ModelError, match="another model has taken the place"):
        averaged(tuned, output)
    assert output.read_text(encoding="utf-8") == "another"


def test_the_command_says_the_dice_of_every_task(
    tuned: Tuned, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "command.mts.safetensors"
    words = ["average", "-m", str(tuned.model), "--start", str(tuned.start), "--data", *map(str, tuned.folders)]
    assert main([*words, "-o", str(output)]) == 0
    said, manifest = capsys.readouterr().out, read_manifest(output)[0]
    assert manifest.training[AVERAGED]["share"] == 0.5
    for task in manifest.tasks:
        assert f"{task.name}: Dice of {task.held_out_cases} held-out cases: " in said
        assert all(f"{label} {value:.3f}" in said for label, value in task.held_out_dice.items())
    assert f"model: {output}" in said
