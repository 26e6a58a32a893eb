"""Training configuration files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.config import (
    NOT_NEGATIVE,
    POSITIVE,
    TrainingConfig,
    config_from_dict,
    read_config,
    read_experiment,
    read_tables,
    require_known_datasets,
)
from trainer.pretraining.auxiliary_config import AuxiliaryConfig

TOML = """
seed = 7
channels = [4, 8]
learning_rate = 1
precision = "bfloat16"
deep_supervision = false
[mirror_axes]
Dataset001_A = "yx"
"""
YAML = """
seed: 7
channels: [4, 8]
learning_rate: 1
precision: bfloat16
deep_supervision: false
mirror_axes: {Dataset001_A: yx}
"""
EXPECTED = TrainingConfig(
    seed=7,
    channels=(4, 8),
    learning_rate=1.0,
    precision="bfloat16",
    deep_supervision=False,
    mirror_axes={"Dataset001_A": "yx"},
)


@pytest.mark.parametrize("name, text", [("c.toml", TOML), ("c.yaml", YAML), ("c.yml", YAML)])
def test_toml_and_yaml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    config = read_config(tmp_path / name)
    assert config == EXPECTED
    assert isinstance(config.learning_rate, float)


def test_without_a_file_and_with_an_empty_one_the_defaults_hold(tmp_path: Path) -> None:
    assert read_config(None) == TrainingConfig()
    for name in ("empty.toml", "empty.yaml"):
        (tmp_path / name).write_text("", encoding="utf-8")
        assert read_config(tmp_path / name) == TrainingConfig()


def test_runs_that_are_compared_do_not_choose_their_precision_one_by_one(tmp_path: Path) -> None:
    named, free = tmp_path / "named.toml", tmp_path / "free.toml"
    named.write_text('precision = "bfloat16"\n', encoding="utf-8")
    free.write_text("seed = 3\n", encoding="utf-8")
    assert read_experiment(named, {})[0].precision == "bfloat16"
    assert read_experiment(free, {})[0] == TrainingConfig(seed=3, precision="float32")
    assert read_config(free).precision == "auto"


def test_a_configuration_survives_the_way_to_plain_values_and_back() -> None:
    assert config_from_dict(EXPECTED.as_dict()) == EXPECTED


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXPECTED.seed = 8  # type: ignore[misc]


def test_a_key_that_is_not_text_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("1: 2\nseed: 3\n", encoding="utf-8")
    with pytest.raises(UsageError, match="unknown key 1"):
        read_config(tmp_path / "c.yaml")


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed() -> None:
    with pytest.raises(UsageError, match=r"unknown key learning_rat\b.*learning_rate"):
        config_from_dict({"learning_rat": 1e-3})


@pytest.mark.parametrize(
    "values",
    [
        {"seed": "7"},
        {"seed": 7.0},
        {"seed": True},
        {"seed": None},
        {"learning_rate": "fast"},
        {"learning_rate": True},
        {"deep_supervision": 1},
        {"precision": "float64"},
        {"precision": ["float32"]},
        {"channels": 4},
        {"channels": [4, 8.5]},
        {"channels": "48"},
        {"ood_layers": [1]},
        {"mirror_axes": "x"},
        {"mirror_axes": {"Dataset001_A": 3}},
        {"mirror_axes": {"Dataset001_A": ["x"]}},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(values))):
        config_from_dict(values)


@pytest.mark.parametrize(
    "name, content",
    [
        ("c.toml", b"seed = "),
        ("c.toml", b"\xff\xfe"),
        ("c.yaml", b"seed: [1"),
        ("c.yaml", b"- 1\n- 2\n"),
        ("c.yaml", b"!!python/object/apply:os.getcwd []"),
        ("c.json", b"{}"),
    ],
)
def test_a_malformed_file_is_wrong_use(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match="malformed"):
        read_config(tmp_path / name)


def test_a_missing_file_or_a_folder_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "folder.toml").mkdir()
    for name in ("missing.toml", "folder.toml"):
        with pytest.raises(UsageError, match=name):
            read_config(tmp_path / name)


def test_the_shipped_configurations_are_valid(repository: Path) -> None:
    files = sorted((repository / "trainer" / "configs").glob("*.toml"))
    assert files
    for file in files:
        assert read_config(file) != TrainingConfig()


@pytest.mark.parametrize(
    "axes, says",
    [({"Dataset002_Knee": "x"}, "known are Dataset001_Knee, Dataset003_Hip"), ({"Dataset001_Knee": "xw"}, "'xw'")],
)
def test_mirroring_of_a_dataset_or_an_axis_that_is_not_there_is_refused(axes: dict[str, str], says: str) -> None:
    names = ["Dataset001_Knee", "Dataset003_Hip"]
    require_known_datasets(TrainingConfig(mirror_axes={"Dataset001_Knee": "yx", "Dataset003_Hip": ""}), names)
    with pytest.raises(UsageError, match=says):
        require_known_datasets(TrainingConfig(mirror_axes=axes), names)


def test_all_datasets_to_be_mirrored_that_are_left_out_are_named_at_once_with_what_to_do() -> None:
    config = TrainingConfig(mirror_axes={"C": "x", "A": "x", "B": "y"})
    with pytest.raises(UsageError, match=r"names B and C, which are not .*remove it .* where the dataset is left out"):
        require_known_datasets(config, ["A"])


def test_weights_of_a_dataset_that_is_not_trained_on_are_refused() -> None:
    config = TrainingConfig(sampling_weights={"Dataset001_Knee": 2.0, "Dataset002_Hip": 3.0})
    require_known_datasets(config, ["Dataset001_Knee", "Dataset002_Hip"])
    with pytest.raises(UsageError, match="sampling_weights names Dataset002_Hip, which is not trained on"):
        require_known_datasets(config, ["Dataset001_Knee"])


# The last two leave shares that do not sum to 1, and a dataset that is never drawn.
@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan"), 1e308, 1e-300])
def test_a_dataset_s_weight_leaves_every_dataset_a_share(weight: float) -> None:
    with pytest.raises(UsageError, match="sampling_weights of Dataset001_Knee"):
        TrainingConfig(sampling_weights={"Dataset001_Knee": weight})


def test_a_run_without_weights_has_the_identity_that_it_had_before_there_were_any() -> None:
    assert "sampling_weights" not in TrainingConfig().as_dict()
    weighted = TrainingConfig(sampling_weights={"Dataset001_Knee": 2.0})
    assert config_from_dict(weighted.as_dict()) == weighted


@pytest.mark.parametrize(
    "changes",
    [{name: value} for name in POSITIVE for value in (0, -1)]
    + [{name: -1} for name in NOT_NEGATIVE]
    + [{"learning_rate": float("nan")}, {"channels": [8]}, {"channels": [8, 0]}],
)
def test_a_number_that_no_training_can_have_is_refused_by_name(changes: dict[str, object]) -> None:
    (name,) = changes
    with pytest.raises(UsageError, match=rf"^{name} is "):
        config_from_dict(dict(changes))


@pytest.mark.parametrize("line", ["images_per_step = 0", "weight = -1", "weight = nan"])
def test_numbers_of_the_auxiliary_losses_that_no_training_can_have_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "c.toml").write_text(f"[auxiliary]\n{line}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"\[auxiliary\] has"):
        read_tables(tmp_path / "c.toml", {"auxiliary": AuxiliaryConfig})
