"""A model keeps the tasks that it does well, answers them as before, and says what it left out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.image.image_file import read_image
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_card import left_out_text, model_card
from MultiTaskSegLib.runtime.model.model_file import load_model, rewrite_manifest
from MultiTaskSegLib.runtime.model.weights_licence import weights_licence
from MultiTaskSegLib.runtime.network.backend_choice import TORCH
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.channel_dataset import ChannelDataset
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.cli import main
from trainer.config import TrainingConfig
from trainer.data.dataset import read_datasets
from trainer.data.provenance import unseen
from trainer.refitting import kept_tasks
from trainer.refitting.descent import DESCENT, described, digests_in, refitted
from trainer.refitting.kept_tasks import keep_tasks, reduced
from trainer.refitting.spectral_refit import KNOWS_IMAGES_OF, refit_reference
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8,
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), label_values=(1, 2))
PAIRS = ChannelDataset("Dataset002_Pair")
CORES = BallDataset("Dataset003_CoreT2", shape=(6, 12, 12), modality="T2", contrast=-80)


class Trained(NamedTuple):
    model: Path
    manifest: Manifest
    folders: dict[str, Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Three tasks, of which the second has a stem of its own."""
    parent = tmp_path_factory.mktemp("data")
    folders = {dataset.name: dataset.write(parent) for dataset in (BALLS, PAIRS, CORES)}
    path = tmp_path_factory.mktemp("model") / "three.mts.safetensors"
    manifest = train_model(list(folders.values()), path, CONFIG, Budget(steps=30), stream=io.StringIO())
    return Trained(path, manifest, folders)


def with_dice(trained: Trained, dice: tuple[float, ...], path: Path) -> Path:
    """The model, stating this Dice of its tasks."""
    tasks = [
        replace(task, held_out_dice={label.name: own for label in task.labels})
        for task, own in zip(trained.manifest.tasks, dice, strict=True)
    ]
    rewrite_manifest(trained.model, replace(load_model(trained.model).manifest, tasks=tuple(tasks)), path)
    return path


def folders_of(trained: Trained, *names: str) -> list[Path]:
    return [trained.folders[name] for name in names]


@pytest.mark.parametrize("kept", [(CORES.name,), (BALLS.name, CORES.name), (PAIRS.name,), (PAIRS.name, CORES.name)])
def test_a_kept_task_that_is_told_is_answered_as_before(trained: Trained, kept: tuple[str, ...]) -> None:
    whole = load_model(trained.model)
    small = reduced(whole, kept)
    assert small.manifest.architecture.outputs == small.network.head.out_channels
    assert sum(len(task.labels) + 1 for task in small.manifest.tasks) == small.network.head.out_channels
    for name in kept:
        before, after = whole.manifest.task(name), small.manifest.task(name)
        image = torch.randn(1, before.input_count, 8, 16, 16, generator=torch.Generator().manual_seed(2))
        with torch.inference_mode():
            expected = whole.network(image, whole.manifest.stem(before))[:, before.channels]
            found = small.network(image, small.manifest.stem(after))[:, after.channels]
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_file_holds_the_kept_tasks_alone_and_a_check_that_was_fitted_without_the_others(
    trained: Trained, tmp_path: Path
) -> None:
    output, fitted = tmp_path / "kept.mts.safetensors", tmp_path / "fitted.mts.safetensors"
    source = with_dice(trained, (0.9, 0.2, 0.6), tmp_path / "graded.mts.safetensors")
    folders = folders_of(trained, BALLS.name, CORES.name)
    keep_tasks(source, folders, output, least_dice=0.6, stream=io.StringIO())
    after = load_model(output)
    assert [task.name for task in after.manifest.tasks] == [BALLS.name, CORES.name]
    assert after.manifest.format_version == 1, "one channel each: programs of every version read the file"
    refit_reference(output, folders, fitted, stream=io.StringIO())
    again = load_model(fitted)
    assert again.manifest.ood == after.manifest.ood
    assert set(after.reference.tasks.tolist()) == {0, 1}
    image = read_image(folders[1] / "imagesTr" / "case_00_0000.nii.gz")
    whole, small = (Predictor.load(path, "cpu", TORCH) for path in (source, output))
    np.testing.assert_array_equal(small.segment(image, CORES.name).labels, whole.segment(image, CORES.name).labels)
    assert len(small.manifest.quality.tasks) == 2 if small.manifest.quality else True


def test_the_card_says_what_was_left_out_and_the_file_whom_it_has_seen_and_under_which_terms(
    trained: Trained, tmp_path: Path
) -> None:
    output = tmp_path / "kept.mts.safetensors"
    source = with_dice(trained, (0.9, 0.25, 0.6), tmp_path / "graded.mts.safetensors")
    manifest = keep_tasks(source, folders_of(trained, BALLS.name), output, tasks=[BALLS.name], stream=io.StringIO())
    words = left_out_text(manifest)
    assert f"{PAIRS.name} (mean Dice 0.250 on" in words
    assert f"{CORES.name} (mean Dice 0.600 on" in words
    assert words in model_card(manifest, "")
    pairs = read_datasets(folders_of(trained, PAIRS.name), several=True)[0]
    assert {c.name for c in unseen(pairs, manifest)} == {c.name for c in unseen(pairs, trained.manifest)}
    assert set(weights_licence(manifest).by_dataset) == {BALLS.name, PAIRS.name, CORES.name}


def test_what_was_left_out_before_is_still_told(trained: Trained, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.mts.safetensors", tmp_path / "twice.mts.safetensors"
    keep_tasks(
        trained.model, folders_of(trained, BALLS.name, CORES.name), once, tasks=[BALLS.name, CORES.name],
        stream=io.StringIO(),
    )  # fmt: skip
    manifest = keep_tasks(once, folders_of(trained, CORES.name), twice, tasks=[CORES.name], stream=io.StringIO())
    assert set(manifest.training["left_out"]) == {BALLS.name, PAIRS.name}


def test_figures_that_were_measured_among_more_tasks_are_none_of_the_new_file(trained: Trained, tmp_path: Path) -> None:
    fitted, output = tmp_path / "fitted.mts.safetensors", tmp_path / "kept.mts.safetensors"
    refit_reference(trained.model, list(trained.folders.values()), fitted, stream=io.StringIO())
    manifest = keep_tasks(fitted, folders_of(trained, CORES.name), output, tasks=[CORES.name], stream=io.StringIO())
    earlier = {load_model(path).digest for path in (trained.model, fitted)}
    assert not earlier & {one for key in DESCENT for one in manifest.training.get(key, ())}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"least_dice": 0.1}, "every task of three would be kept"),
        ({"least_dice": 0.95}, "no task of three would be kept"),
        ({"tasks": ["Dataset009_Other"]}, "the model has no task Dataset009_Other"),
    ],
)
def test_what_would_keep_all_nothing_or_something_unknown_is_refused(
    trained: Trained, tmp_path: Path, wanted: dict[str, object], words: str
) -> None:
    source = with_dice(trained, (0.9, 0.2, 0.6), tmp_path / "graded.mts.safetensors")
    output = tmp_path / "kept.mts.safetensors"
    with pytest.raises(UsageError, match=words):
        keep_tasks(source, folders_of(trained, BALLS.name), output, stream=io.StringIO(), **wanted)  # type: ignore[arg-type]
    assert not output.exists()


def test_a_task_without_a_measured_dice_is_not_judged_by_it(trained: Trained, tmp_path: Path) -> None:
    source = tmp_path / "unmeasured.mts.safetensors"
    manifest = load_model(trained.model).manifest
    first, *others = manifest.tasks
    rewrite_manifest(trained.model, replace(manifest, tasks=(replace(first, held_out_dice={}), *others)), source)
    with pytest.raises(ModelError, match=r"states no Dice of Dataset001_BallT1: .*unmeasured.mts.safetensors"):
        keep_tasks(source, (), tmp_path / "kept.mts.safetensors", least_dice=0.5, stream=io.StringIO())


def test_images_that_stood_in_for_a_kept_task_must_be_given_again(trained: Trained, tmp_path: Path) -> None:
    source = tmp_path / "standing.mts.safetensors"
    manifest = load_model(trained.model).manifest
    told = manifest.training | {KNOWS_IMAGES_OF: {CORES.name: "hearts"}}
    rewrite_manifest(trained.model, replace(manifest, training=told), source)
    with pytest.raises(UsageError, match="the check knows images of hearts in place of Dataset003_CoreT2"):
        keep_tasks(
            source, folders_of(trained, CORES.name), tmp_path / "kept.mts.safetensors", tasks=[CORES.name],
            stream=io.StringIO(),
        )  # fmt: skip


def test_the_command_says_what_is_kept_and_what_is_not(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "noted.mts.safetensors", tmp_path / "kept.mts.safetensors"
    noted = {"left_out": {"Old\nmodel: another\u202e": {}}}
    rewrite_manifest(trained.model, replace(trained.manifest, training=trained.manifest.training | noted), source)
    wanted = ["--data", str(trained.folders[CORES.name]), "--tasks", CORES.name, "-o", str(output)]
    assert main(["keep", "-m", str(source), *wanted]) == 0
    said = capsys.readouterr().out
    assert (
        f"kept: {CORES.name}\nTrained on, too, but left out: Old?model: another? (Dice not recorded), {BALLS.name} ("
        in said
    )
    assert said.count("\nmodel: ") == 1, "no name begins a line"
    assert [task.name for task in load_model(output).manifest.tasks] == [CORES.name]


def test_terms_that_stand_with_a_task_alone_stay_when_it_leaves(trained: Trained, tmp_path: Path) -> None:
    source = tmp_path / "earlier.mts.safetensors"
    manifest = load_model(trained.model).manifest
    seen = [generation | {"terms": {}} for generation in manifest.training["provenance"]]
    balls, pairs, cores = manifest.tasks
    data = replace(pairs.data, released_weights_may_use=False)
    tasks = (balls, replace(pairs, licence="CC BY-NC 4.0", data=data), cores)
    rewrite_manifest(
        trained.model, replace(manifest, tasks=tasks, training=manifest.training | {"provenance": seen}), source
    )
    kept = weights_licence(reduced(load_model(source), [CORES.name]).manifest)
    assert kept == weights_licence(load_model(source).manifest)
    assert kept.forbidden == (PAIRS.name,)


def test_a_mean_that_rounding_alone_keeps_below_is_good_enough(trained: Trained, tmp_path: Path) -> None:
    source = tmp_path / "thirds.mts.safetensors"
    manifest = load_model(trained.model).manifest
    dice = ({"a": 0.7, "b": 0.7, "c": 0.7}, {"a": 0.69}, {"a": 0.69})
    tasks = [replace(task, held_out_dice=own) for task, own in zip(manifest.tasks, dice, strict=True)]
    rewrite_manifest(trained.model, replace(manifest, tasks=tuple(tasks)), source)
    kept = keep_tasks(source, folders_of(trained, BALLS.name), source, least_dice=0.7, stream=io.StringIO())
    assert [task.name for task in kept.tasks] == [BALLS.name]


def test_a_model_that_was_written_to_the_output_meanwhile_is_not_replaced(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, names = tmp_path / "out.mts.safetensors", [CORES.name]

    def later(*arguments: Any) -> Any:
        """The model was read before."""
        output.write_text("another", encoding="utf-8")
        return reduced(*arguments)

    monkeypatch.setattr(kept_tasks, "reduced", later)
    with pytest.raises(ModelError, match="another model has taken the place"):
        keep_tasks(trained.model, folders_of(trained, *names), output, tasks=names, stream=io.StringIO())
    assert output.read_text(encoding="utf-8") == "another"


@pytest.mark.parametrize("notes", [7, "abc", ["abc"], {"abc": 7}])
def test_notes_of_a_file_that_make_no_sense_stop_nothing(trained: Trained, tmp_path: Path, notes: object) -> None:
    source = tmp_path / "odd.mts.safetensors"
    manifest = load_model(trained.model).manifest
    odd = dict.fromkeys(("left_out", KNOWS_IMAGES_OF, "measured_as", "checked_as", "refitted_from"), notes)
    rewrite_manifest(trained.model, replace(manifest, training=manifest.training | odd), source)
    kept = keep_tasks(source, folders_of(trained, CORES.name), source, tasks=[CORES.name], stream=io.StringIO())
    assert {BALLS.name, PAIRS.name} <= set(kept.training["left_out"])
    listed = [*digests_in(described(replace(manifest, training=odd), "digest").training, "measured_as")]
    assert listed == ["digest", *(["abc"] if notes == ["abc"] else [])]
    assert set(refitted(replace(manifest, training=odd), "digest").training["refitted_from"]) == set(listed)


@pytest.mark.parametrize(
    "notes",
    [
        7,
        {"a": 3},
        {"a": {"held_out_dice": {"b": "x"}}},
        {"a": {"held_out_dice": {}}},
        {"a": {"held_out_dice": {"b": 1e19}, "held_out_cases": 3}},
    ],
)
def test_notes_of_a_file_that_make_no_sense_do_not_stop_its_card(trained: Trained, notes: object) -> None:
    manifest = replace(trained.manifest, training=trained.manifest.training | {"left_out": notes})
    assert "Dice not recorded" in left_out_text(manifest) or not isinstance(notes, dict)


def test_a_number_of_cases_that_is_none_is_not_told(trained: Trained) -> None:
    notes = {"a": {"held_out_dice": {"b": 0.5}, "held_out_cases": {"c": 1}}}
    manifest = replace(trained.manifest, training=trained.manifest.training | {"left_out": notes})
    assert left_out_text(manifest).endswith("a (mean Dice 0.500 on held-out cases)")
