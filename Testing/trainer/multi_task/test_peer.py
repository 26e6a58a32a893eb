"""nnU-Net as an arm: what it is given, what its answers count for, and what becomes of one that fails.

A stand-in that thresholds images plays nnU-Net; the last test, where there is one, is of nnU-Net itself.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from Testing.trainer.multi_task.tiny_study import CT, FLAIR, ULTRASOUND, write_config, write_data
from Testing.trainer.nnunet_peer import stand_in_nnunet
from trainer.cli import main
from trainer.data.dataset import read_dataset
from trainer.data.provenance import Provenance
from trainer.multi_task import steps
from trainer.multi_task.design import TRAIN, TRAIN_PEER, Design
from trainer.multi_task.page import figures
from trainer.multi_task.settings import read_multi_task
from trainer.nnunet_peer import peer_process
from trainer.nnunet_peer.peer_training import MANIFEST, load_manifest
from trainer.report.run_folder import RunFolder

DATASETS = (FLAIR, CT, ULTRASOUND)
ON_TWO = f"""
[[multi_task.arms]]
name = "nnunet"
kind = "nnunet"
datasets = ["{FLAIR}", "{CT}"]
"""
ARMS = """
[[multi_task.arms]]
name = "dedicated"
kind = "dedicated"

[[multi_task.arms]]
name = "joint"
kind = "joint"
"""
HOW = {"seeds": "[0]", "labelled": "[4]", "data": DATASETS}
# A Python that has nnU-Net, where it is not this one.
REAL_PYTHON = os.environ.get("MULTITASKSEG_NNUNET_PYTHON", "")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in_nnunet.install(tmp_path_factory.mktemp("library"))


@pytest.fixture(autouse=True)
def with_stand_in(library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(library))


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, library: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished experiment and what it found."""
    folder = tmp_path_factory.mktemp("study")
    write_data(folder / "data")
    more = f"[multi_task.nnunet]\npython = {json.dumps(sys.executable)}"
    write_config(folder / "study.toml", arms=ON_TWO + ARMS + more, **HOW)
    words = ["experiment", "multi-task", "--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(library))
        status = main([*words, "--publish", str(folder / "docs")])
    found = json.loads((folder / "out" / "metrics.json").read_text())
    assert (status, found["failures"], found["picture_failures"]) == (0, {}, {})
    return folder, found


def peer_run(folder: Path, name: str) -> Path:
    (run,) = (folder / "out" / "runs").glob(f"nnunet.{name}.4.s0.*")
    return run


def seen(folder: Path, name: str) -> dict[str, Any]:
    """What the stand-in saw."""
    content: dict[str, Any] = json.loads((peer_run(folder, name) / "nnunet.run" / "results" / "seen.json").read_text())
    return content


def test_it_is_measured_like_every_arm_but_on_its_datasets_and_without_a_check(
    done: tuple[Path, dict[str, Any]],
) -> None:
    (regime,) = done[1]["regimes"]
    assert [row["dataset"] for row in regime["rows"] if row["arm"] == "nnunet"] == [FLAIR, CT]
    for row in regime["rows"]:
        if row["arm"] == "nnunet":
            # The stand-in knows bright from dark with probability 0.9: the first label, all of it where it is alone.
            assert row["foreground_dice"]["value"] > 0.95
            assert row["dice"]["value"] > 0.95 or row["dataset"] == CT
            assert 0.02 < row["ece"]["value"] < 0.2
            assert row["auroc"] == {"value": None, "by_seed": {"0": None}, "interval": None}
            assert (row["lesion_f1"]["value"] is not None) == (row["dataset"] == FLAIR)
        else:
            assert row["auroc"]["value"] is not None


def test_datasets_that_it_was_not_asked_about_are_nowhere_taken_for_figures(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    (regime,) = found["regimes"]
    by_arm = {one["arm"]: one for one in regime["against_reference"]}
    assert (by_arm["nnunet"]["datasets"], by_arm["nnunet"]["figures"]["dice"]["compared"]) == ([FLAIR, CT], 2)
    assert by_arm["nnunet"]["figures"]["auroc"]["compared"] == 0
    assert by_arm["joint"]["figures"]["dice"]["compared"] == 3
    assert [bar["datasets"] for bar in regime["bars"]] == [3, 3]
    assert found["limited"] == {"nnunet": [FLAIR, CT]}
    page = (folder / "out" / "report.html").read_text()
    row = page.split('<th scope="row">nnunet</th>', 1)[1].split("</tr>", 1)[0]
    # Means over two of three, no AUROC, and minutes of two of three.
    assert row.count("(2 of 3)") == 6
    assert row.count("<td>–</td>") == 1
    assert "it checks no images" in page
    assert "it checks no images" in (folder / "docs" / "multi-task.md").read_text()


def test_pictures_say_that_it_was_asked_about_two_of_three(done: tuple[Path, dict[str, Any]]) -> None:
    twice = {**done[1], "regimes": done[1]["regimes"] * 2}
    drawn = {name: figure for name, (figure, _) in figures(twice).items()}
    # Against one number of labels nothing could be seen.
    assert figures(done[1]).keys() == drawn.keys() - {"gain"}
    for name in ("gain", "reliability-4"):
        labels = drawn[name].axes[0].get_legend_handles_labels()[1]
        assert "nnunet (2 of 3)" in labels
        assert "joint" in labels
    # Its bar would look as if it cost less.
    assert [label.get_text() for label in drawn["compute"].axes[0].get_yticklabels()] == ["joint", "dedicated"]


def test_it_gets_the_cpu_seconds_of_the_reference_and_says_what_it_took(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    runs = folder / "out" / "runs"
    for one in found["peers"]:
        (lender,) = runs.glob(f"dedicated.{one['dataset']}.4.s0.*")
        given_s = json.loads((lender / steps.COST).read_text())["cpu_s"]
        assert one["budget_cpu_s"] == given_s
        # It stops at the first step past the limit.
        assert given_s <= one["cpu_s"] < given_s + 1
        assert one["steps"] > 1
        epochs = seen(folder, one["dataset"])["epochs"]
        # The schedule of 1000 epochs ends where the seconds do.
        assert len(epochs) == one["steps"]
        assert epochs == sorted(epochs)
        assert 0 <= epochs[0] < 100
        assert 900 < epochs[-1] <= 1000
    assert [one["dataset"] for one in found["peers"]] == [FLAIR, CT]
    own = [json.loads((peer_run(folder, name) / "metrics.json").read_text())["metrics"]["training"]["cpu_s"]
           for name in (FLAIR, CT)]  # fmt: skip
    # Not with what the reference has cost.
    assert found["compute"]["4"]["nnunet"] == pytest.approx(sum(own))


def test_it_sees_the_patients_of_the_reference_split_alike_and_nobody_who_is_tested(
    done: tuple[Path, dict[str, Any]],
) -> None:
    folder = done[0]
    design = Design(read_multi_task(folder / "study.toml"))
    for name, labels in ((FLAIR, [0, 1]), (CT, [0, 1, 2])):
        told = seen(folder, name)
        labelled = design.divisions[0].labelled(name, 4, 0)
        own = RunFolder(peer_run(folder, name) / steps.PEER)
        provenance = Provenance.of(load_manifest(own))
        (generation,) = provenance.generations
        (lender,) = (folder / "out" / "runs").glob(f"dedicated.{name}.4.s0.*")
        (reference,) = Provenance.of(steps.contender_of(lender).manifest).generations
        assert (generation.labelled, generation.held_out) == (reference.labelled, reference.held_out)
        assert {group for group in read_dataset(folder / "data" / name).groups if provenance.saw(group)} <= set(
            labelled
        )
        assert not any(provenance.saw(group) for group in design.divisions[0].tested[name])
        sizes = (len(told["split"]["train"]), len(told["split"]["val"]))
        assert sizes == (len(generation.labelled[name]), len(generation.held_out[name]))
        assert told["labels"] == labels
        assert (told["configuration"], told["augmentation"]) == ("2d", "0")
        # An image of one slice has two dimensions.
        assert told["shapes"] == [[16, 16]] * 4


def test_what_it_needs_no_more_is_gone_and_its_results_are_there(done: tuple[Path, dict[str, Any]]) -> None:
    folder = done[0]
    left = {path.name for path in (peer_run(folder, CT) / "nnunet.run").iterdir() if not path.name.startswith(".")}
    assert left == {"results", MANIFEST, peer_process.LOG, peer_process.REQUEST, peer_process.PROGRAM.name}


def test_where_its_python_lies_is_published_nowhere(done: tuple[Path, dict[str, Any]]) -> None:
    folder, found = done
    assert "python" not in found["config"]["multi_task"]["nnunet"]
    for path in (folder / "docs").glob("*.*"):
        assert str(Path(sys.executable).parent).encode() not in path.read_bytes()


def test_the_same_command_trains_nothing_anew(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(steps, "train_peer", never)
    words = ["--config", str(done[0] / "study.toml"), "-o", str(done[0] / "out")]
    assert main(["experiment", "multi-task", *words]) == 0


def test_a_crash_is_the_failure_of_its_run_alone_and_what_it_left_is_not_taken_for_a_result(
    done: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, found = done
    run = peer_run(folder, CT)
    (run / "metrics.json").rename(run / "kept.json")
    words = ["--config", str(folder / "study.toml"), "-o", str(folder / "out")]
    monkeypatch.setenv("STAND_IN", "crash")
    assert main(["experiment", "multi-task", *words]) == 4
    assert "nnU-Net ended with status 1" in (said := capsys.readouterr().err)
    assert "ValueError: the stand-in was told to crash" in said
    failed = json.loads((folder / "out" / "metrics.json").read_text())
    assert set(failed["failures"]) == {f"nnunet.{CT}.4.s0"}
    assert failed["limited"] == found["limited"]
    assert [one["dataset"] for one in failed["peers"]] == [FLAIR]
    # What is left of the attempt is in the way of nothing.
    monkeypatch.setenv("STAND_IN", "")
    assert main(["experiment", "multi-task", *words]) == 0
    again = json.loads((folder / "out" / "metrics.json").read_text())
    dice = [row["dice"] for row in found["regimes"][0]["rows"]]
    assert [row["dice"] for row in again["regimes"][0]["rows"]] == dice
    (run / "kept.json").unlink()


def test_without_nnunet_the_experiment_is_refused_before_anything_is_read_or_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peer_process, "ASK_VERSION", "raise ModuleNotFoundError")
    config = write_config(tmp_path / "study.toml", arms=ARMS + ON_TWO, **HOW)
    assert main(["experiment", "multi-task", "--config", str(config), "-o", str(tmp_path / "out")]) == 2
    assert "nnunetv2 is not installed" in capsys.readouterr().err
    assert not (tmp_path / "out" / "runs").exists()


def test_its_runs_need_those_whose_time_they_get_and_leave_all_others_as_they_were(tmp_path: Path) -> None:
    write_data(tmp_path / "data")
    alone = Design(read_multi_task(write_config(tmp_path / "alone.toml", arms=ARMS, **HOW))).runs
    plan = read_multi_task(write_config(tmp_path / "both.toml", arms=ON_TWO + ARMS, **HOW))
    both = Design(plan).runs
    assert [run for run in both if run.function == TRAIN] == alone
    peers = [run for run in both if run.function == TRAIN_PEER]
    assert [(run.needs, run.parameters["share"]) for run in peers] == [
        ((f"dedicated.{name}.4.s0",), 1.0) for name in (FLAIR, CT)
    ]
    assert {run.parameters["nnunet"]["version"] for run in peers} == {stand_in_nnunet.VERSION}
    assert all(run.parameters["foreign"] == [] for run in peers)
    lent = "\n[multi_task.nnunet]\nas_much_as = 'joint'\n"
    plan = read_multi_task(write_config(tmp_path / "joint.toml", arms=ON_TWO + ARMS + lent, **HOW))
    peers = [run for run in Design(plan).runs if run.function == TRAIN_PEER]
    # One network of three datasets.
    assert [(run.needs, run.parameters["share"]) for run in peers] == [(("joint.all.4.s0",), 1 / 3)] * 2


def test_time_that_nobody_knows_is_not_given(tmp_path: Path) -> None:
    for content in (None, '{"steps": 4, "cpu_s": null}'):
        if content:
            (tmp_path / steps.COST).write_text(content)
        with pytest.raises(ModelError, match="not known"):
            steps._kept_cpu_s(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('kind = "nnunet"', 'kind = "nnunet"\nhead = "shared_foreground"'), "has more than name, kind and datasets"),
        (('kind = "nnunet"', 'kind = "nnunet"\nnumbers = { learning_rate = 1.0 }'), "has more than name, kind"),
        ((f'"{CT}"', '"Dataset009"'), "has one that is not in data"),
        (('kind = "nnunet"', 'kind = "joint"'), "one network for all and has datasets of its own"),
        (('name = "dedicated"', f'name = "dedicated"\ndatasets = ["{CT}"]'), "reference or ours is limited"),
        (("[[multi", "[multi_task.nnunet]\nas_much_as = 'none'\n[[multi"), "as_much_as of nnU-Net is no arm"),
        (("[[multi", "[multi_task.nnunet]\nas_much_as = 'nnunet'\n[[multi"), "as_much_as of nnU-Net is no arm"),
        (("[[multi", "[multi_task.nnunet]\nmemory_gb = -1.0\n[[multi"), "memory_gb of nnU-Net is negative"),
        (("[[multi", "[multi_task.nnunet]\nconfiguration = '3d_lowres'\n[[multi"), "configuration is '3d_lowres'"),
    ],
)
def test_what_an_arm_of_nnunet_cannot_be_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    arms = (ON_TWO + ARMS).replace(*change, 1)
    assert arms != ON_TWO + ARMS
    with pytest.raises(UsageError, match=said):
        read_multi_task(write_config(tmp_path / "wrong.toml", arms=arms, **HOW))


def test_it_is_neither_what_is_judged_nor_what_others_are_judged_by(tmp_path: Path) -> None:
    whole = ON_TWO.replace("datasets", "# datasets")
    for more in ("ours = 'nnunet'", "reference = 'nnunet'\nours = 'joint'"):
        with pytest.raises(UsageError, match="reference or ours is nnU-Net"):
            read_multi_task(write_config(tmp_path / "wrong.toml", arms=whole + ARMS, more=more, **HOW))


def test_a_lender_must_have_been_where_it_lends(tmp_path: Path) -> None:
    lender = f'\n[[multi_task.arms]]\nname = "few"\nkind = "dedicated"\ndatasets = ["{CT}"]\n'
    arms = ON_TWO + ARMS + lender + "[multi_task.nnunet]\nas_much_as = 'few'\n"
    with pytest.raises(UsageError, match="datasets on which few is not measured"):
        read_multi_task(write_config(tmp_path / "wrong.toml", arms=arms, **HOW))


def test_nnunet_itself_does_what_it_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    try:
        peer_process.installed_version(REAL_PYTHON)
    except UsageError:
        pytest.skip("nnunetv2 is not installed")
    write_data(tmp_path / "data")
    more = f"[multi_task.nnunet]\npython = {json.dumps(REAL_PYTHON)}\nmemory_gb = 0.5\n"
    how = HOW | {"data": (FLAIR, CT)}
    write_config(tmp_path / "study.toml", arms=ON_TWO.replace(f'"{FLAIR}", ', "") + ARMS + more, **how)
    words = ["--config", str(tmp_path / "study.toml"), "-o", str(tmp_path / "out")]
    status = main(["experiment", "multi-task", *words])
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (status, found["failures"]) == (0, {})
    (one,) = found["peers"]
    assert one["cpu_s"] >= one["budget_cpu_s"]
    assert (one["steps"] >= 1, len(one["patch"])) == (True, 2)
    (row,) = (row for row in found["regimes"][0]["rows"] if row["arm"] == "nnunet")
    assert 0 <= row["dice"]["value"] <= 1
    results = peer_run(tmp_path, CT) / "nnunet.run" / "results"
    # What its own tools, and `import-nnunet`, find.
    assert len(list(results.rglob("nnUNetTrainer__nnUNetPlans__2d/fold_0/checkpoint_final.pth"))) == 1
