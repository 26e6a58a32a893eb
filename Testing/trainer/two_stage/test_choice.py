"""The better mode of every task by validation Dice, under the rule that was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.trainer.two_stage.discs import SETTINGS, write_run
from trainer import two_stage
from trainer.config import config_from_dict, read_tables, settings_from_dict
from trainer.pretraining.auxiliary_config import AuxiliaryConfig
from trainer.two_stage.choice import Teacher, best_teacher, choose_teachers, class_weights
from trainer.two_stage.settings import TwoStageConfig, settings_from_plain

CANDIDATES = {
    "denoising": {"joint": "joint-denoising", "pretrained": "pretrained-denoising"},
    "contrastive": {"joint": "joint-contrastive", "pretrained": "pretrained-contrastive"},
}


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    figures = {
        "joint-denoising": (0.8, 0.5), "pretrained-denoising": (0.7, 0.9),
        "joint-contrastive": (0.6, 0.6), "pretrained-contrastive": (0.6, 0.6),
    }  # fmt: skip
    return {name: write_run(tmp_path / name, *dice) for name, dice in figures.items()}


def test_the_better_mode_wins_and_of_equal_ones_joint_training(inputs: dict[str, Path]) -> None:
    teachers = choose_teachers(CANDIDATES, inputs, "positives")
    assert [(t.pretext, t.mode) for t in teachers] == [("denoising", "joint"), ("contrastive", "joint")]
    assert teachers[0].scores == {"joint": 0.8, "pretrained": 0.7}
    assert best_teacher(teachers).pretext == best_teacher(teachers[::-1]).pretext == "denoising"


def test_the_rule_for_empty_masks_decides_which_dice_chooses(inputs: dict[str, Path]) -> None:
    teachers = choose_teachers(CANDIDATES, inputs, "empty-rule")
    assert teachers[0].run == "pretrained-denoising"
    assert teachers[0].scores == {"joint": 0.5, "pretrained": 0.9}


def test_a_run_with_nothing_to_measure_is_not_chosen(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs["joint-denoising"] = write_run(tmp_path / "nothing", None, 0.5)
    assert choose_teachers(CANDIDATES, inputs, "positives")[0].mode == "pretrained"


def test_weights_per_label_are_validation_dice(inputs: dict[str, Path]) -> None:
    teachers = choose_teachers(CANDIDATES, inputs, "positives")
    torch.testing.assert_close(class_weights(teachers, ["part1"]), torch.tensor([[0.8, 0.8], [0.6, 0.6]]))


def test_a_label_that_a_teacher_does_not_know_by_itself_counts_as_the_mean_of_those_it_knows() -> None:
    teacher = Teacher("denoising", "joint", "run", Path(), {"joint": 0.6}, {"lung": 0.8, "heart": 0.4})
    known = class_weights([teacher], ["lung", "heart"])
    torch.testing.assert_close(known, torch.tensor([[0.6, 0.8, 0.4]]))
    # A head for everything at once.
    torch.testing.assert_close(class_weights([teacher], ["anything"]), torch.tensor([[0.6, 0.6]]))


def test_settings_survive_a_run_s_parameters_and_unknown_ones_are_refused() -> None:
    assert settings_from_plain(SETTINGS.as_dict()) == SETTINGS
    with pytest.raises(UsageError):
        settings_from_dict(TwoStageConfig, {"pretexts": ["colouring"]})
    with pytest.raises(UsageError, match="unknown key lambda"):
        settings_from_dict(AuxiliaryConfig, {"lambda": 1.0})
    with pytest.raises(UsageError, match="unknown key two_stage"):
        config_from_dict({"two_stage": {}})


@pytest.mark.parametrize(
    "key, wrong, right",
    [
        ("steps", 0, 1), ("pretraining_steps", 0, 1), ("validation_groups", 0, 1), ("temperature", 0.0, 0.1),
        ("test_fraction", 0.0, 0.01), ("test_fraction", 1.0, 0.99), ("distillation_weight", -0.1, 0.0),
        ("student_steps", -1, 0),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused_up_to_the_last_one(key: str, wrong: float, right: float) -> None:
    assert getattr(settings_from_dict(TwoStageConfig, {key: right}), key) == right
    with pytest.raises(UsageError, match="must be positive"):
        settings_from_dict(TwoStageConfig, {key: wrong})


@pytest.mark.parametrize("name, steps", [("planar", 400), ("volumes", 300)])
def test_the_settings_that_come_along_are_readable(name: str, steps: int) -> None:
    path = Path(two_stage.__file__).parents[1] / "configs" / "two_stage" / f"{name}.toml"
    training, tables = read_tables(path, {"auxiliary": AuxiliaryConfig, "two_stage": TwoStageConfig})
    assert training.threads == 1
    assert tables["two_stage"].steps == steps


@pytest.mark.parametrize("schedule, expected", [("constant", [2, 2, 2]), ("linear", [2, 1, 0]), ("cosine", [2, 1, 0])])
def test_the_schedule_of_lambda_is_the_one_that_is_named(schedule: str, expected: list[float]) -> None:
    config = AuxiliaryConfig(weight=2.0, schedule=schedule)  # type: ignore[arg-type]
    assert [config.weight_at(share) for share in (0.0, 0.5, 1.0)] == pytest.approx(expected)
    assert config.weight_at(1.5) == config.weight_at(1.0)
