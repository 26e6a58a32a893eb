"""The precision of a training: tried once, told, and the same in all parts of a run wherever it goes on."""

from __future__ import annotations

import io
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import TrainingConfig
from trainer.data.dataset import read_dataset
from trainer.report.run_folder import RunFolder
from trainer.training import precision_trial, training
from trainer.training.optimization import Optimization
from trainer.training.precision_trial import Trial, choice
from trainer.training.recipe import PLAIN
from trainer.training.train_model import train_model
from trainer.training.training import Budget, PreparedData, prepare_data, train

CONFIG = TrainingConfig(
    channels=(3, 4), patches_per_group=1, groups_per_step=1, patch_voxels=256, workers=0, warmup_steps=1,
    validations=0, minimum_validation_groups=1, threads=1,
)  # fmt: skip
CPU = torch.device("cpu")
EXACT = Trial(1.0, 2.0, 1.0)


@pytest.fixture
def data_of(tmp_path: Path) -> Callable[[], tuple[PreparedData, RunFolder]]:
    """The data of a run, prepared once more at each call, and its folder."""
    source = BallDataset("A", shape=(2, 8, 8), patients=3).write(tmp_path)

    def prepared() -> tuple[PreparedData, RunFolder]:
        folder = RunFolder(tmp_path / "m.mts.safetensors")
        return prepare_data([read_dataset(source)], CONFIG, folder, io.StringIO()), folder

    return prepared


def run(parts: tuple[PreparedData, RunFolder], steps: int, *, resume: bool, **changes: Any) -> tuple[Optimization, str]:
    """A training and what it said."""
    stream = io.StringIO()
    data, folder = parts
    config = replace(CONFIG, **changes)
    done = train(data, config, Budget(steps=steps), folder, resume=resume, device=CPU, stream=stream)
    return done, stream.getvalue()


def interrupted(parts: tuple[PreparedData, RunFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of four steps that ends after three, the second of which was saved."""
    monkeypatch.setattr(training, "CHECKPOINT_INTERVAL_S", -1.0)

    def stop(optimization: Optimization, _time: object) -> None:
        """In the middle of the third."""
        if optimization.step == 3:
            raise KeyboardInterrupt

    data, folder = parts
    how: dict[str, Any] = {"resume": False, "device": CPU, "stream": io.StringIO(), "watch": stop}
    with pytest.raises(KeyboardInterrupt):
        train(data, CONFIG, Budget(steps=4), folder, **how)


@pytest.fixture(autouse=True)
def no_named_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests name one for all other trainings."""
    monkeypatch.delenv(precision_trial.VARIABLE)


def has_bfloat16(monkeypatch: pytest.MonkeyPatch, *precisions: str) -> None:
    monkeypatch.setattr(precision_trial, "hardware_precisions", lambda device: precisions)


def takes(monkeypatch: pytest.MonkeyPatch, rounded: Trial | None) -> None:
    """Let trials find this."""
    monkeypatch.setattr(
        precision_trial, "_tried", lambda plan, config, *rest: rounded if config.precision == "bfloat16" else EXACT
    )


@pytest.mark.parametrize(
    ("rounded", "expected"),
    [
        (Trial(0.55, 2.02, 1.05), "bfloat16"),
        (Trial(0.8, 2.0, 1.0), "bfloat16"),
        (Trial(0.81, 2.0, 1.0), "float32"),
        (Trial(5.0, 2.0, 1.0), "float32"),
        (Trial(0.5, 2.0, 1.34), "float32"),
        (Trial(0.5, 2.7, 1.0), "float32"),
        (Trial(0.5, 2.0, float("nan")), "float32"),
        (None, "float32"),
    ],
    ids=["twice as fast", "just enough", "too little", "slower", "wrong gradient", "wrong loss", "no number", "failed"],
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster_and_right(rounded: Trial | None, expected: str) -> None:
    assert choice(EXACT, rounded)[0] == expected
    assert choice(None, rounded)[0] == "float32"


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", "float32"), ("bfloat16", "bfloat16"), ("auto", "bfloat16")]
)
def test_a_run_says_what_a_trial_chose_and_a_named_precision_is_not_tried(
    precision: str, expected: str, data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    takes(monkeypatch, Trial(0.5, 2.0, 1.0))
    done, told = run(data_of(), 1, resume=False, precision=precision)
    assert done.config.precision == expected
    assert ("trained in bfloat16: a step takes 0.50 s in it, and 1.00 s in float32" in told) is (precision == "auto")


def test_the_environment_names_the_precision_of_runs_that_name_none(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    takes(monkeypatch, Trial(0.5, EXACT.loss, EXACT.gradient_norm))
    data = data_of()[0]

    def chosen(config: TrainingConfig) -> str:
        return precision_trial.training_precision(data.plan, data.training, config, CPU, PLAIN, io.StringIO())

    assert chosen(CONFIG) == "bfloat16"
    monkeypatch.setenv(precision_trial.VARIABLE, "float32")
    assert chosen(CONFIG) == "float32"
    assert chosen(replace(CONFIG, precision="bfloat16")) == "bfloat16"
    monkeypatch.setenv(precision_trial.VARIABLE, "float16")
    with pytest.raises(UsageError, match="MULTITASKSEG_TRAINED_IN is 'float16'"):
        chosen(CONFIG)


def test_without_instructions_for_it_nothing_is_tried(data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch)
    monkeypatch.setattr(precision_trial, "_tried", None)
    done, told = run(data_of(), 1, resume=False)
    assert (done.config.precision, "trained in" in told) == ("float32", False)


def test_a_training_without_labels_is_not_tried(data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    monkeypatch.setattr(precision_trial, "_tried", None)
    (data, _), stream = data_of(), io.StringIO()
    recipe = replace(PLAIN, supervised=False)
    assert precision_trial.training_precision(data.plan, data.training, CONFIG, CPU, recipe, stream) == "float32"
    assert "with labels only" in stream.getvalue()


def test_a_real_trial_leaves_no_trace_in_the_run(data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = run(data_of(), 2, resume=False, precision="float32")
    has_bfloat16(monkeypatch, "bfloat16")
    monkeypatch.setattr(precision_trial, "LARGEST_SHARE", 0.0)  # whatever it takes, it is too slow
    found, told = run(data_of(), 2, resume=False)
    assert "trained in float32: a step takes" in told
    for name, weights in expected.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], weights)


def test_what_a_trial_has_held_is_free_before_the_run_begins(data_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    made: list[weakref.ref[Optimization]] = []

    def noted(*arguments: Any) -> Optimization:
        """Held by itself, as by whatever a library leaves."""
        own = Optimization(*arguments)
        vars(own)["own"] = own
        made.append(weakref.ref(own))
        return own

    monkeypatch.setattr(precision_trial, "Optimization", noted)
    (data, _), stream = data_of(), io.StringIO()
    precision_trial.training_precision(data.plan, data.training, CONFIG, CPU, PLAIN, stream)
    assert [own() for own in made] == [None, None]


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_a_resumed_run_goes_on_in_what_was_chosen_and_ends_as_an_uninterrupted_one(
    chosen: str, data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    rounded = Trial(0.5 if chosen == "bfloat16" else 2.0, 2.0, 1.0)
    takes(monkeypatch, rounded)
    expected, _ = run(data_of(), 4, resume=False)
    interrupted(data_of(), monkeypatch)
    # Another computer, on which a trial would choose the other one.
    takes(monkeypatch, Trial(2.5 - rounded.step_s, 2.0, 1.0))
    has_bfloat16(monkeypatch, *(["bfloat16"] if chosen == "float32" else []))
    found, told = run(data_of(), 4, resume=True)
    assert (found.config.precision, found.step, "trained in" in told) == (chosen, 4, False)
    for name, weights in expected.network.state_dict().items():
        assert torch.equal(found.network.state_dict()[name], weights)


def test_a_resumed_run_says_that_it_does_not_change_to_what_the_environment_names(
    data_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = data_of()
    monkeypatch.setenv(precision_trial.VARIABLE, "bfloat16")
    run(parts, 1, resume=False)
    assert "goes on in" not in run(parts, 2, resume=True)[1]
    monkeypatch.setenv(precision_trial.VARIABLE, "float32")
    found, told = run(parts, 3, resume=True)
    assert found.config.precision == "bfloat16"
    assert "goes on in bfloat16, in which it began, and not in 'float32' as MULTITASKSEG_TRAINED_IN says" in told


def test_a_checkpoint_of_no_precision_is_refused(data_of: Any) -> None:
    _, folder = parts = data_of()
    run(parts, 1, resume=False)
    state = torch.load(folder.checkpoint, weights_only=True)
    torch.save(state | {"precision": "float8"}, folder.checkpoint)
    with pytest.raises(ModelError, match="precision is 'float8'"):
        run(parts, 2, resume=True)


def test_a_model_file_tells_in_which_precision_it_was_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    has_bfloat16(monkeypatch, "bfloat16")
    takes(monkeypatch, Trial(0.5, 2.0, 1.0))
    source = BallDataset("A", shape=(6, 12, 12), patients=4).write(tmp_path)
    stream = io.StringIO()
    config = replace(CONFIG, minimum_validation_groups=2)
    manifest = train_model([source], tmp_path / "a.mts.safetensors", config, Budget(steps=1), stream=stream)
    assert manifest.training["precision"] == "bfloat16"
    assert "trained in bfloat16" in stream.getvalue()
