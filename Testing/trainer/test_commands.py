"""Commands from their words to exit status, files and what is said; the commands with a package have tests there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from MultiTaskSegLib.runtime import cli as runtime_cli
from MultiTaskSegLib.runtime.errors import MtsError, UsageError
from MultiTaskSegLib.runtime.machine.closed_pipe import EXIT_CLOSED_PIPE
from MultiTaskSegLib.runtime.machine.last_words import Terminated
from MultiTaskSegLib.runtime.model.model_card import check_text
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.structure import to_plain
from Testing.trainer.dataset_folder import CASES, label_path, write_dataset
from Testing.trainer.evaluation.known_answer import BALLS, CUBES, HELD_OUT, write_answers, write_model
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.training import train_model, training
from trainer.training.optimization import Optimization


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def folders(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Images of both of the model's tasks."""
    parent = tmp_path_factory.mktemp("data")
    balls = write_answers(model, parent / BALLS, ("p0", "p1", "p2", "p3", "p4"))
    cubes = write_answers(model, parent / CUBES, ("q0", "q1", "q2"), seed=7)
    return [str(balls), str(cubes)]


def test_verify_says_what_is_wrong_and_with_which_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write_dataset(tmp_path / "Dataset001_Good"), write_dataset(tmp_path / "Dataset002_Bad")
    label_path(bad, CASES[1]).unlink()
    assert cli.main(["verify", str(good)]) == 0
    assert capsys.readouterr().out.splitlines() == ["1 datasets verified: 0 defects, 0 warnings"]
    assert cli.main(["verify", str(good), str(bad)]) == 4
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"defect in Dataset002_Bad {CASES[1]}: the image has no label map")
    assert last == "2 datasets verified: 1 defects, 0 warnings"


def test_info_shows_the_card_of_the_file_with_its_hash(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", str(model)]) == 0
    out = capsys.readouterr().out
    for word in (read_manifest(model)[1], BALLS, CUBES, "tests only"):
        assert word in out
    assert cli.main(["info", str(tmp_path / "absent.mts.safetensors")]) != 0
    assert "absent.mts.safetensors" in capsys.readouterr().err


def test_reference_is_fitted_on_the_patients_that_were_trained_on_and_written_where_asked(
    model: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, target = model.read_bytes(), tmp_path / "new.mts.safetensors"
    assert cli.main(["reference", "-m", str(model), "--data", *folders, "-o", str(target)]) == 0
    assert model.read_bytes() == before
    found = load_model(target)
    # Five and three patients, of whom two and one were held out.
    assert len(HELD_OUT) == 2
    assert sorted(found.reference.tasks.tolist()) == [0, 0, 0, 1, 1]
    assert len(found.reference.calibration_scores) == 3
    assert found.reference.limits == found.manifest.ood.limits is not None
    assert check_text(found.manifest.ood, len(found.manifest.tasks)) in capsys.readouterr().out
    assert to_plain(found.manifest.tasks) == to_plain(read_manifest(model)[0].tasks)


def test_reference_replaces_the_model_and_takes_the_variant_and_layers_asked_for(
    model: Path, folders: list[str], tmp_path: Path
) -> None:
    own = tmp_path / "own.mts.safetensors"
    own.write_bytes(model.read_bytes())
    words = ["reference", "-m", str(own), "--data", *folders, "--variant", "multilayer", "--layers", "encoder1"]
    assert cli.main(words) == 0
    ood = read_manifest(own)[0].ood
    assert (ood.variant, ood.layers) == ("multilayer", ("encoder1",))


def test_only_the_limits_are_fitted_anew_and_nothing_else_of_the_file_changes(
    model: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, target = tmp_path / "whole.mts.safetensors", tmp_path / "limits.mts.safetensors"
    assert cli.main(["reference", "-m", str(model), "--data", *folders, "-o", str(whole)]) == 0
    limits = read_manifest(whole)[0].ood
    # As if it were of an earlier version: one threshold.
    plain = replace(limits, tail_share=None, score_laws=(), false_alarm_interval=None, false_alarm_intervals=())
    rewrite_manifest(whole, replace(read_manifest(whole)[0], ood=plain), whole)
    assert load_model(whole).reference.limits is None
    words = ["reference", "-m", str(whole), "--data", *folders, "-o", str(target), "--limits-only"]
    assert cli.main(words) == 0
    assert "by task, where 2.5 % of new images are expected beyond" in capsys.readouterr().out
    with safe_open(whole, framework="pt") as before, safe_open(target, framework="pt") as after:
        assert set(before.keys()) == set(after.keys())
        assert all(torch.equal(before.get_tensor(name), after.get_tensor(name)) for name in before.keys())  # noqa: SIM118
    found, digest = read_manifest(target)[0], read_manifest(whole)[1]
    assert found.training["refitted_from"][0] == digest
    # The file keeps spectra in single precision.
    assert found.ood.score_laws[0].location == pytest.approx(limits.score_laws[0].location, abs=1e-3)
    assert replace(found, ood=plain, training={}) == replace(read_manifest(whole)[0], training={})


def test_limits_are_fitted_to_the_images_that_the_reference_remembers(
    model: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.mts.safetensors"
    # Its reference is invented: it remembers no image of the folders.
    assert cli.main(["reference", "-m", str(model), "--data", *folders, "-o", str(other), "--limits-only"]) == 4
    assert "training images, and " in capsys.readouterr().err
    assert not other.exists()


def test_a_limit_is_not_fitted_where_no_image_tells_how_far_new_ones_lie(
    model: Path, folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, left_out = tmp_path / "whole.mts.safetensors", tmp_path / "left_out.txt"
    assert cli.main(["reference", "-m", str(model), "--data", *folders, "-o", str(whole)]) == 0
    before = whole.read_bytes()
    left_out.write_text("\n".join(HELD_OUT), encoding="utf-8")
    data = [f"{folders[0]}::without={left_out}", folders[1]]
    assert cli.main(["reference", "-m", str(whole), "--data", *data, "--limits-only"]) == 4
    assert "nothing tells how far new images lie" in capsys.readouterr().err
    assert whole.read_bytes() == before


def test_a_signature_of_its_own_needs_a_whole_reference(
    model: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reference", "-m", str(model), "--data", *folders, "--limits-only", "--variant", "paper"]
    assert cli.main(words) == 2
    assert "--limits-only keeps signature and images" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["reference", "calibrate"])
def test_a_task_without_its_folder_is_named_and_the_model_stays(
    model: Path, folders: list[str], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    before = model.read_bytes()
    assert cli.main([command, "-m", str(model), "--data", folders[0]]) == 4
    assert f"no folder for {CUBES}" in capsys.readouterr().err
    assert model.read_bytes() == before


TINY = """
channels = [3, 4]
patches_per_group = 1
groups_per_step = 1
patch_voxels = 512
workers = 0
validations = 0
minimum_validation_groups = 1
"""


def test_training_by_minutes_goes_on_for_the_minutes_that_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [50.0]
    step = Optimization.train_step

    def slow_step(self: Optimization, *arguments: Any) -> dict[str, float]:
        now[0] += 10.0
        return step(self, *arguments)

    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(Optimization, "train_step", slow_step)
    data = BallDataset("Dataset001_A", shape=(4, 8, 8), patients=4).write(tmp_path)
    config, output = tmp_path / "tiny.toml", tmp_path / "m.mts.safetensors"
    config.write_text(TINY, encoding="utf-8")
    words = ["train", "--data", str(data), "-o", str(output), "--config", str(config)]
    assert cli.main([*words, "--minutes", "0.5"]) == 0
    assert read_manifest(output)[0].training["steps"] == 3
    assert cli.main([*words, "--minutes", "1.5", "--resume"]) == 0
    facts = read_manifest(output)[0].training
    assert (facts["steps"], facts["minutes"]) == (9, 1.5)
    assert facts["config"]["channels"] == [3, 4]
    assert capsys.readouterr().out.splitlines()[-1] == f"model: {output}"


@pytest.mark.parametrize(
    "words, steps, minutes",
    [([], None, 60.0), (["--minutes", "2.5"], None, 2.5), (["--steps", "7"], 7, None)],
)
def test_a_training_takes_an_hour_unless_steps_or_minutes_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], steps: int | None, minutes: float | None
) -> None:
    asked: list[tuple[Any, bool]] = []

    def train(data: Any, output: Any, config: Any, budget: training.Budget, *, resume: bool, **more: Any) -> None:
        asked.append((budget, resume))
        raise KeyboardInterrupt

    monkeypatch.setattr(train_model, "train_model", train)
    for resume in ([], ["--resume"]):
        cli.main(["train", "--data", str(tmp_path), "-o", str(tmp_path / "m.mts.safetensors"), *words, *resume])
    budget = training.Budget(steps, minutes)
    assert asked == [(budget, False), (budget, True)]


@pytest.mark.parametrize(
    "error, status, says",
    [
        (KeyboardInterrupt(), 130, "interrupted; the same command"),
        (Terminated(), 130, "interrupted; the same command (of a training with --resume)"),
        (MemoryError(), 4, "not enough memory. Lower"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), 4, "not enough memory. Lower"),
    ],
)
def test_an_interrupted_command_and_one_without_memory_say_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, says: str
) -> None:
    def fail(*arguments: object) -> int:
        raise error

    monkeypatch.setattr("trainer.verification.verify.run_verify", fail)
    assert cli.main(["verify", "anywhere"]) == status
    err = capsys.readouterr().err
    assert err.startswith(f"multitaskseg-trainer: {says}")
    assert len(err.splitlines()) == 1


def test_the_benchmark_s_options_reach_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        "trainer.ood.benchmark.run_benchmark", lambda *arguments: asked.append(arguments) or {"models": []}
    )
    words = ["ood-benchmark", "-m", "a", "b", "--in", "known", "--ood", "foreign", "-o", "out"]
    assert cli.main(words) == 0
    assert cli.main([*words, "--artefact-cases", "5", "--passes", "3", "--families", "real", "--no-untrained"]) == 0
    models, known, foreign, out, plain, ensemble = asked[0]
    assert ([*models], known, foreign, out) == ([Path("a"), Path("b")], [Path("known")], [Path("foreign")], Path("out"))
    assert (plain.families, plain.artefact_cases, plain.passes) == (("real", "left-out", "matched", "artefact"), 2, 0)
    assert (asked[1][4].families, asked[1][4].artefact_cases, asked[1][4].passes) == (("real",), 5, 3)
    assert [*ensemble] == []


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--data", "{data}", "-o", "{room}/m.mts.safetensors"],
        ["pretrain", "--task", "self-supervised", "--data", "{data}", "-o", "{room}/m.mts.safetensors"],
        ["finetune", "-m", "{model}", "--data", "{data}", "-o", "{room}/m.mts.safetensors"],
        ["two-stage", "--data", "{data}", "--labelled", "2", "-o", "{room}/m.mts.safetensors"],
        ["transfer", "-o", "{room}/out"],
    ],
    ids=lambda words: words[0],
)
def test_a_misspelt_dataset_to_be_mirrored_is_refused_and_the_known_ones_are_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    BallDataset("Dataset001_A", shape=(4, 8, 8), patients=12).write(tmp_path)
    config = tmp_path / "tiny.toml"
    matrix = (
        '[transfer]\n[[transfer.targets]]\nname = "t"\ndomain = "d"\ndata = "Dataset001_A"\n'
        '[[transfer.sources]]\nname = "s"\ndomain = "d"\ntask = "segmentation"\ndata = ["Dataset001_A"]\n'
    )
    config.write_text(
        f'[mirror_axes]\nDataset001_a = "x"\n{matrix if words[0] == "transfer" else ""}', encoding="utf-8"
    )
    filled = [word.format(data=tmp_path / "Dataset001_A", room=tmp_path, model=model) for word in words]
    assert cli.main([*filled, "--config", str(config)]) == 2
    assert "mirror_axes names Dataset001_a, which is not trained on" in (err := capsys.readouterr().err)
    assert "known are Dataset001_A" in err
    assert not (tmp_path / "m.mts.safetensors").exists()


def test_every_exit_status_is_documented_and_no_other() -> None:
    text = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text(encoding="utf-8")
    table = text.partition("## Exit status")[2].partition("\n## ")[0]
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}
    unfinished_story = 1
    known = {
        0,
        unfinished_story,
        UsageError.exit_code,
        runtime_cli.EXIT_OOD,
        MtsError.exit_code,
        cli.EXIT_INTERRUPTED,
        EXIT_CLOSED_PIPE,
    }
    assert documented == known
    assert {runtime_cli.EXIT_REFUSED, runtime_cli.EXIT_INTERRUPTED, cli.EXIT_REFUSED, cli.EXIT_INTERRUPTED} <= known
