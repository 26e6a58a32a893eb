"""The configurations that are shipped, and what is refused about arms with the published network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from Testing.trainer.multi_task.tiny_study import CT, FLAIR, PAPER_ARM, SHORT_ARMS, write_config, write_data
from trainer.config import read_config
from trainer.multi_task.design import TRAIN, TRAIN_PUBLISHED, Design
from trainer.multi_task.settings import ARMS, MultiTaskPlan, read_multi_task

CONFIGURATIONS = Path(__file__).parents[3] / "trainer" / "configs" / "multi_task"


def shipped(name: str) -> MultiTaskPlan:
    return read_multi_task(CONFIGURATIONS / name, Path("DATA"))


def test_the_2d_configuration_has_all_arms_and_the_published_network_beside_them() -> None:
    arms = shipped("planar.toml").settings.arms
    assert arms[: len(ARMS)] == ARMS
    published = arms[len(ARMS) :]
    assert [(arm.kind, arm.network, arm.head) for arm in published] == [
        ("dedicated", "paper", "shared_foreground"),
        ("joint", "paper", "shared_foreground"),
    ]


def test_each_ablation_differs_from_the_joint_network_in_one_thing() -> None:
    plan, planar = shipped("ablations.toml"), shipped("planar.toml")
    assert (plan.settings.data, plan.settings.steps) == (planar.settings.data, planar.settings.steps)
    assert plan.training == planar.training
    joint = next(arm for arm in plan.settings.arms if arm.name == "joint")
    usual = plan.training_of(joint, 0, []).as_dict()
    changed = {}
    for arm in plan.settings.arms:
        own = plan.training_of(arm, 0, []).as_dict()
        changed[arm.name] = {key: value for key, value in own.items() if value != usual[key]}
    assert changed == {
        "dedicated": {},
        "joint": {},
        "sampling-proportional": {"sampling_exponent": 0.0},
        "sampling-square-root": {"sampling_exponent": 0.5},
        "sampling-equal": {"sampling_exponent": 1.0},
        "head-shared": {"head": "shared_foreground"},
        "absence-loss-off": {"absence_weight": 0.0},
        "calibration-loss-on": {"calibration_weight": 1.0},
    }


def test_the_settings_to_choose_are_compared_with_those_of_the_released_model() -> None:
    plan = shipped("schedule.toml")
    released = read_config(CONFIGURATIONS.parent / "planar2d.toml").as_dict()
    own = plan.training.as_dict()
    # The width is the one that 2-D images get unless it is said; validations do not change what is learnt.
    differs = {key for key, value in own.items() if value != released[key]} - {"channels", "validations"}
    assert differs == {"mirror_axes"}
    names = plan.settings.data
    assert own["mirror_axes"] == {name: axes for name, axes in released["mirror_axes"].items() if name in names}
    arms = {arm.name: arm for arm in plan.settings.arms}
    assert not arms["as-planar2d"].numbers
    assert all(len(arm.numbers) == 1 for name, arm in arms.items() if name != "as-planar2d")


def test_the_3d_configuration_names_nine_datasets() -> None:
    settings = shipped("volumes.toml").settings
    assert [name[7:10] for name in settings.data] == ["101", "102", "103", "104", "105", "106", "201", "202", "203"]
    assert {arm.network for arm in settings.arms} == {"ours", "paper"}


@pytest.mark.parametrize("kind", ["planar", "volumes"])
def test_nnunet_stands_beside_networks_that_need_not_be_trained_again(kind: str) -> None:
    peer, plan = shipped(f"peer_{kind}.toml"), shipped(f"{kind}.toml")
    (arm,) = peer.settings.peers
    assert len(arm.datasets) == 2
    assert peer.training == plan.training
    # All that the parameters of a run follow from.
    like = dataclasses.replace(
        plan.settings,
        title=peer.settings.title,
        nnunet=peer.settings.nnunet,
        paper=peer.settings.paper,
        arms=peer.settings.arms,
    )
    assert peer.settings == like
    assert all(one in plan.settings.arms for one in peer.settings.arms if one != arm)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('kind = "joint"', 'kind = "joint_finetuned"'), "fine-tunes, and only dedicated and joint do not"),
        (('head = "shared_foreground"', 'head = "per_task"'), "has a head for each task"),
        (
            ('network = "paper"', 'network = "paper"\nnumbers = { learning_rate = 1.0 }'),
            "are not its sampling_exponent",
        ),
        (('network = "paper"', 'network = "paper"\nchannels = [4, 8, 16]'), "has channels of its own"),
        (("channels = [2, 4, 8]", "channels = [2]"), "channels must be two or more"),
        (("channels = [2, 4, 8]", "channels = [2, 4, 9]"), "channels must double from level to level"),
        (("patch = 16", "patch = 0"), "patch must be positive"),
        (("patch = 16", "dropout = 1.0"), "dropout must be at least 0 and below 1"),
        (("patch = 16", "window_step = 0.0"), "window_step must be above 0"),
    ],
)
def test_what_the_published_network_cannot_be_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = write_config(tmp_path / "study.toml", arms=SHORT_ARMS + PAPER_ARM.replace(*change))
    with pytest.raises(UsageError, match=said):
        read_multi_task(path)


def test_the_published_network_has_runs_of_its_own_kind_and_leaves_all_others_as_they_were(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    how = {"seeds": "[0]", "labelled": "[4]", "data": (FLAIR, CT)}
    alone = Design(read_multi_task(write_config(tmp_path / "alone.toml", **how))).runs
    plan = read_multi_task(write_config(tmp_path / "both.toml", arms=SHORT_ARMS + PAPER_ARM, **how))
    both = Design(plan).runs
    # What was done without the published network is done for the experiment with it.
    assert [run for run in both if run.function == TRAIN] == alone
    (published,) = [run for run in both if run.function == TRAIN_PUBLISHED]
    assert published.parameters["paper"] == dataclasses.asdict(plan.settings.paper)
    assert published.parameters["training"]["sampling_exponent"] == 0.5
    assert published.parameters["training"]["head"] == "shared_foreground"
    assert tuple(published.parameters["training"]["channels"]) == (2, 4, 8)
    joint = next(run for run in both if run.name == "joint.all.4.s0")
    for same in ("data", "hidden_groups", "steps", "measured", "foreign"):
        assert published.parameters[same] == joint.parameters[same]
