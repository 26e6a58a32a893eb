"""The whole matrix on pictures of discs: a student that ships, figures under both rules, nothing done twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.errors import DatasetError, MtsError, UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.trainer.two_stage.discs import OTHER, SETTINGS, SOLID, TARGET, write_target
from trainer import cli
from trainer.data.dataset import read_dataset
from trainer.data.image_source import without_labels
from trainer.data.provenance import unseen
from trainer.experiment.executor import SequentialExecutor
from trainer.experiment.run import Job, make_jobs
from trainer.report.run_folder import RunFolder
from trainer.training.optimization import Optimization
from trainer.two_stage import run as run_module
from trainer.two_stage.examination import examine, figures
from trainer.two_stage.experiment import Request, run_two_stage, shipped_cell
from trainer.two_stage.matrix import make_cells, prepare_cells
from trainer.two_stage.publication import publish
from trainer.two_stage.settings import STUDENT_ONLY, Settings, TwoStageConfig
from trainer.two_stage.together import segment_together

CPU = torch.device("cpu")
PRETEXTS = SETTINGS.two_stage.pretexts


@dataclass
class CountingExecutor(SequentialExecutor):
    """Notes which runs begin, and is switched off before the run number ``until``."""

    until: int = 10**9
    begun: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def start(self, job: Job) -> None:
        if len(self.begun) == self.until:
            raise KeyboardInterrupt
        self.begun.append(job.run.name)
        super().start(job)


@dataclass(frozen=True)
class Done:
    """An experiment that is over."""

    request: Request
    found: dict[str, Any]
    begun: list[str]

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.request.output)


def silent(line: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    parent = tmp_path_factory.mktemp("two_stage")
    request = Request(
        write_target(parent), (OTHER.write(parent),), parent / "out" / "student.mts.safetensors", (4,), (0, 1)
    )
    executor = CountingExecutor()
    return Done(request, run_two_stage(request, SETTINGS, executor, silent), executor.begun)


def test_ten_candidates_baselines_and_a_student_are_trained_for_every_seed(done: Done) -> None:
    expected = {"scratch", "scratch-long", "joint-all", "student"}
    expected |= {f"{mode}-{pretext}" for mode in ("joint", "pretrained") for pretext in PRETEXTS}
    assert set(done.begun) == {f"n4-s{seed}-{method}" for seed in (0, 1) for method in expected}
    assert len(set(done.begun)) == len(done.begun)


def test_the_student_is_an_ordinary_model_at_the_cost_of_one_network(done: Done) -> None:
    predictor = Predictor.load(done.request.output, "cpu")
    assert predictor.manifest.name == "student"
    volume = read_dataset(done.request.target).cases[1].read_image()
    result = predictor.segment(volume)
    assert result.labels.shape == volume.shape
    assert result.verdict.nearest_task == TARGET.name
    scratch = load_model(next((done.folder.path / "runs").glob("n4-s0-scratch.*")) / "model.mts.safetensors")
    assert predictor.manifest.architecture == scratch.manifest.architecture
    assert predictor.manifest.training["two_stage"]["method"] == "student"
    assert predictor.manifest.tasks[0].training_cases == 4


def test_the_student_knows_unlabelled_images_and_who_was_never_trained_on(done: Done) -> None:
    predictor = Predictor.load(done.request.output, "cpu")
    (cell,) = make_cells(done.request.target, done.request.unlabelled, (4,), (0,), SETTINGS)
    parts = cell.division
    assert len(predictor.model.reference.tasks) == len(parts.labelled) + len(parts.unlabelled)
    found = unseen(read_dataset(done.request.target), predictor.manifest)
    assert {case.name for case in found} == {case.name for case in (*parts.validation, *parts.test)}


def test_both_rules_for_empty_masks_are_told_apart(done: Done) -> None:
    methods = done.found["labelled"]["4"]
    assert set(methods) >= {"scratch", "best-teacher", "ensemble", "student", *(f"teacher-{p}" for p in PRETEXTS)}
    assert methods["ensemble"]["networks"] == 2
    assert methods["student"]["networks"] == 1
    for figures_of in methods.values():
        for rule in ("dice_positives_only", "dice_empty_rule"):
            assert figures_of[rule]["value"] == pytest.approx(np.mean(figures_of[rule]["seeds"]))
    run = next((done.folder.path / "runs").glob("n4-s0-student.*")) / "metrics.json"
    label = json.loads(run.read_text(encoding="utf-8"))["metrics"]["test"]["by_label"]["part1"]
    assert 0 < label["positives"] < label["images"]
    empty = label["images"] - label["positives"]
    both = label["positives"] * label["dice_positives_only"] + empty * label["empty_kept_empty"]
    assert label["dice_empty_rule"] == pytest.approx(both / label["images"])


def test_the_teacher_of_a_task_is_the_mode_with_the_better_validation_dice(done: Done) -> None:
    # By what each candidate's own run left on disk, not by what the student's run says about it.
    left = {path.parent.name.split(".")[0]: path for path in (done.folder.path / "runs").glob("*/metrics.json")}
    for choice in done.found["choices"]:
        best = {}
        for pretext, task in choice["tasks"].items():
            scores = {}
            for mode in ("joint", "pretrained"):
                content = json.loads(left[f"n4-s{choice['seed']}-{mode}-{pretext}"].read_text(encoding="utf-8"))
                scores[mode] = content["metrics"]["validation"]["dice_positives_only"]
            assert task["validation"] == scores
            assert task["mode"] == ("pretrained" if scores["pretrained"] > scores["joint"] else "joint")
            best[pretext] = max(scores.values())
        assert best[choice["best_teacher"]] == max(best.values())


def test_the_same_command_does_nothing_twice(done: Done) -> None:
    executor = CountingExecutor()
    before = load_model(done.request.output).digest
    again = run_two_stage(done.request, SETTINGS, executor, silent)
    assert executor.begun == []
    assert again == done.found
    assert load_model(done.request.output).digest == before


def test_an_interrupted_matrix_goes_on_where_it_stood_and_labels_not_given_play_no_part(
    done: Done, tmp_path: Path
) -> None:
    folder = tmp_path / TARGET.name
    shutil.copytree(done.request.target, folder)
    for case in make_cells(folder, done.request.unlabelled, (4,), (0,), SETTINGS)[0].division.unlabelled:
        assert case.label is not None
        case.label.write_bytes(b"unreadable")
    request = replace(done.request, target=folder, output=tmp_path / "student.mts.safetensors", seeds=(0,))
    first, second = CountingExecutor(until=5), CountingExecutor()
    with pytest.raises(KeyboardInterrupt):
        run_two_stage(request, SETTINGS, first, silent)
    assert not request.output.exists()
    found = run_two_stage(request, SETTINGS, second, silent)
    assert set(first.begun) | set(second.begun) == {name for name in done.begun if "-s0-" in name}
    assert not set(first.begun) & set(second.begun)
    for method, values in found["labelled"]["4"].items():
        for rule in ("dice_positives_only", "dice_empty_rule"):
            assert values[rule]["seeds"] == [done.found["labelled"]["4"][method][rule]["seeds"][0]], method


def test_other_settings_are_other_runs(done: Done, tmp_path: Path) -> None:
    def folders(settings: Settings) -> set[Path]:
        (cell,) = make_cells(done.request.target, done.request.unlabelled, (4,), (0,), settings)
        return {job.folder for job in make_jobs(cell.runs(PRETEXTS), tmp_path).values()}

    assert folders(SETTINGS) == folders(SETTINGS)
    assert not folders(SETTINGS) & folders(replace(SETTINGS, auxiliary=replace(SETTINGS.auxiliary, weight=0.9)))


def test_another_student_needs_no_new_teachers(done: Done, tmp_path: Path) -> None:
    options = replace(SETTINGS.two_stage, student_steps=6, student_start="best-teacher", temperature=1.0)
    settings = replace(SETTINGS, two_stage=options)
    output = tmp_path / "student.mts.safetensors"
    shutil.copytree(done.folder.path / "runs", RunFolder(output).path / "runs")
    executor = CountingExecutor()
    run_two_stage(replace(done.request, output=output), settings, executor, silent)
    assert sorted(executor.begun) == ["n4-s0-student", "n4-s1-student"]
    assert Predictor.load(output, "cpu").manifest.training["steps"] == 6


def test_every_setting_but_the_student_s_own_is_one_of_the_teachers() -> None:
    changed = TwoStageConfig(
        pretexts=("denoising",), steps=7, pretraining_steps=8, student_steps=9, finetuning_learning_rate=0.1,
        test_fraction=0.3, validation_groups=3, criterion="empty-rule", distillation_weight=2.0, temperature=3.0,
        teacher_weights="per-class", distil_other_datasets=False, student_start="best-teacher",
        student_views="perturbed",
    )  # fmt: skip
    kept = replace(SETTINGS, two_stage=changed).of_teachers().two_stage
    differing = {f.name for f in fields(TwoStageConfig) if getattr(kept, f.name) != getattr(changed, f.name)}
    assert all(getattr(changed, f.name) != f.default for f in fields(TwoStageConfig)), "a setting is left unchanged"
    assert differing == set(STUDENT_ONLY)


def test_a_run_that_fails_does_not_lose_the_others(done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = replace(done.request, output=tmp_path / "student.mts.safetensors", seeds=(0,))
    settings = replace(SETTINGS, two_stage=replace(SETTINGS.two_stage, pretexts=("denoising",)))

    def broken(*arguments: object) -> None:
        raise DatasetError("the disk is on fire")

    with monkeypatch.context() as context:
        context.setattr(run_module, "pretrained_recipe", broken)
        with pytest.raises(MtsError, match="2 of 6 runs failed, first n4-s0-pretrained-denoising: the disk is on fire"):
            run_two_stage(request, settings, CountingExecutor(), silent)
    executor = CountingExecutor()
    run_two_stage(request, settings, executor, silent)
    assert sorted(executor.begun) == ["n4-s0-pretrained-denoising", "n4-s0-student"]


def test_the_report_is_one_file_with_table_curves_and_choices(done: Done) -> None:
    text = done.folder.report.read_text(encoding="utf-8")
    assert text.count("data:image/png") == 2
    assert "http" not in text
    for words in ("from scratch", "average of the teachers", "best single teacher", "Mode chosen", "empty-image rule"):
        assert words in text, words


def test_finished_runs_keep_no_checkpoint(done: Done) -> None:
    assert list(done.folder.path.rglob("checkpoint.pt")) == []
    assert len(list(done.folder.path.glob("runs/*/metrics.json"))) == len(done.begun)


def test_what_is_published_says_how_it_was_made_and_names_no_folder(done: Done, tmp_path: Path) -> None:
    words = ["two-stage", "--data", str(done.request.target), "--labelled", "4"]
    path, page = publish(done.found, SETTINGS, words, tmp_path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["command"] == ["two-stage", "--data", TARGET.name, "--labelled", "4"]
    assert content["config"]["two_stage"]["steps"] == 4
    text = page.read_text(encoding="utf-8")
    assert "| student |" in text
    assert path.name in text
    assert str(done.request.target.parent) not in path.read_text(encoding="utf-8") + text


def test_one_model_together_is_the_shipped_pipeline_and_twins_are_one(done: Done) -> None:
    model = load_model(done.request.output)
    dataset = read_dataset(done.request.target)
    for case in dataset.cases[:4]:
        volume = case.read_image()
        alone = Predictor(model, "cpu").segment(volume).labels
        assert np.array_equal(segment_together([model], volume, CPU), alone)
    counts = examine([model], dataset, dataset.cases, CPU)["part1"]
    assert [row[1] for row in counts] == [int((case.read_labels()[0] == 1).sum()) for case in dataset.cases]


def test_figures_of_perfect_and_of_empty_answers() -> None:
    perfect = figures({"a": [[5, 5, 5], [0, 0, 0]]})
    assert (perfect["dice_positives_only"], perfect["dice_empty_rule"]) == (1, 1)
    nothing = figures({"a": [[0, 5, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]})
    assert (nothing["dice_positives_only"], nothing["dice_empty_rule"]) == (0, 0.75)


REFUSED: list[tuple[str, Callable[[Request, Path], Request], type[Exception], str]] = [
    ("dimension", lambda r, p: replace(r, unlabelled=(SOLID.write(p),)), DatasetError, "unlabelled images are 3-D"),
    ("twice", lambda r, p: replace(r, unlabelled=(r.target,)), DatasetError, "given twice"),
    ("many", lambda r, p: replace(r, labelled=(99,)), DatasetError, "99 labelled"),
    ("few", lambda r, p: replace(r, labelled=(1,)), DatasetError, "fewer than two groups"),
    ("none left", lambda r, p: replace(r, labelled=(None,), unlabelled=()), DatasetError, "no unlabelled images"),
    ("seed twice", lambda r, p: replace(r, seeds=(1, 1)), UsageError, "once"),
    ("ending", lambda r, p: replace(r, output=p / "m.pt"), UsageError, "must end"),
    ("missing", lambda r, p: replace(r, unlabelled=(p / "nowhere",)), DatasetError, "missing"),
]


@pytest.mark.parametrize("change, error, message", [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_bad_input_is_refused_before_any_training(
    change: Callable[[Request, Path], Request],
    error: type[Exception],
    message: str,
    done: Done,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Optimization, "train_step", None)
    request = change(replace(done.request, output=tmp_path / "m.mts.safetensors"), tmp_path)
    with pytest.raises(error, match=message):
        run_two_stage(request, SETTINGS, CountingExecutor(), silent)
    assert not request.output.exists()


def test_labelled_cases_without_any_structure_are_refused(tmp_path: Path) -> None:
    cells = make_cells(write_target(tmp_path, empty=1), (), (4,), (0,), SETTINGS)
    with pytest.raises(DatasetError, match="none of the 4 labelled cases shows a structure"):
        prepare_cells(cells, SETTINGS, tmp_path / "cache", None)


def test_the_pool_has_every_image_but_those_that_choose_or_test_and_no_label(done: Done, tmp_path: Path) -> None:
    cells = make_cells(done.request.target, done.request.unlabelled, (4,), (0,), SETTINGS)
    material = prepare_cells(cells, SETTINGS, tmp_path / "cache", None)[0]
    own, other = ({case.case.name for case in cases} for cases in material.pool.cases)
    kept_apart = {case.name for case in (*material.division.validation, *material.division.test)}
    assert own == {case.name for case in read_dataset(done.request.target).cases} - kept_apart
    assert other == {case.name for case in without_labels(read_dataset(done.request.unlabelled[0])).cases} - kept_apart
    assert not any(case.points or np.asarray(case.labels).any() for cases in material.pool.cases for case in cases)
    assert shipped_cell(cells) is cells[0]


def test_the_commands_pretrain_finetune_and_two_stage(
    done: Done, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(
        "channels = [4, 6]\nworkers = 0\nthreads = 1\nfit_matrix = 16\nvalidations = 1\nood_layers = ['encoder0']\n"
        "[auxiliary]\nimages_per_step = 3\n",
        encoding="utf-8",
    )
    target, start = str(done.request.target), str(tmp_path / "start.mts.safetensors")
    common = ["--config", str(config), "--steps", "2"]
    pretrain = ["pretrain", "--task", "self-supervised", "--data", target, "-o", start, *common]
    assert cli.main([*pretrain, "--pretexts", "contrastive"]) == 0
    assert load_model(start).manifest.training["pretraining"]["pretexts"] == ["contrastive"]
    assert cli.main([*pretrain, "--pretexts", "colouring"]) == 2
    config.write_text(config.read_text(encoding="utf-8").split("[auxiliary]")[0], encoding="utf-8")
    tuned = str(tmp_path / "tuned.mts.safetensors")
    finetune = ["finetune", "-m", start, "--data", target, "-o", tuned, "--labelled", "5", *common]
    assert cli.main([*finetune, "--strategy", "gradual"]) == 0
    assert load_model(tuned).manifest.training["finetuning"]["strategy"] == "gradual"
    two_stage = ["two-stage", "--data", target, "--unlabelled", target, "-o", str(tmp_path / "s.mts.safetensors")]
    assert cli.main(two_stage) == 4
    assert "given twice" in capsys.readouterr().err
