"""What each run of the matrix is given, and what is chosen from the outcomes that the runs before it left on disk."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.two_stage.discs import OTHER, SETTINGS, TARGET, write_target
from Testing.trainer.two_stage.untrained_matrix import UntrainedMatrix
from trainer.data.dataset import read_dataset
from trainer.experiment.executor import SequentialExecutor
from trainer.experiment.run import make_jobs
from trainer.report.run_folder import RunFolder
from trainer.two_stage import run as run_module
from trainer.two_stage.distillation import Distillation
from trainer.two_stage.division import Division
from trainer.two_stage.experiment import Request, run_two_stage, shipped_cell
from trainer.two_stage.matrix import Cell, make_cells, prepare_cells
from trainer.two_stage.settings import Settings, TwoStageConfig
from trainer.two_stage.student_views import StudentViews

# Validation and test disagree about every choice: the mode of each task, and the best teacher.
VALIDATION = {
    "scratch": 0.10, "scratch-long": 0.11, "joint-all": 0.12, "student": 0.13, "average": 0.14,
    "joint-denoising": 0.80, "pretrained-denoising": 0.60, "joint-orientation": 0.50, "pretrained-orientation": 0.70,
}  # fmt: skip
TEST = {
    "scratch": 0.20, "scratch-long": 0.21, "joint-all": 0.22, "student": 0.23, "average": 0.24,
    "joint-denoising": 0.30, "pretrained-denoising": 0.90, "joint-orientation": 0.95, "pretrained-orientation": 0.40,
}  # fmt: skip
MODEL = "model.mts.safetensors"
CHOSEN = {"denoising": "joint", "orientation": "pretrained"}


@dataclass(frozen=True)
class Folders:
    """The target and the other images, written once."""

    target: Path
    other: Path


@dataclass(frozen=True)
class Experiment:
    """A matrix that is over, without any training."""

    matrix: UntrainedMatrix
    request: Request
    found: dict[str, Any]

    def run(self, name: str) -> Path:
        """The only folder of a run."""
        (folder,) = (RunFolder(self.request.output).path / "runs").glob(f"{name}.*")
        return folder

    def metrics(self, name: str) -> dict[str, Any]:
        """What a run left on disk."""
        content: dict[str, Any] = json.loads((self.run(name) / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        return content


def experiment_of(
    folders: Folders, output: Path, settings: Settings = SETTINGS, spoilt: frozenset[str] = frozenset()
) -> Experiment:
    request = Request(folders.target, (folders.other,), output / "student.mts.safetensors", (4,), (0,))
    (cell,) = make_cells(request.target, request.unlabelled, (4,), (0,), settings)
    choosing, testing = ({case.name for case in part} for part in (cell.division.validation, cell.division.test))
    matrix = UntrainedMatrix(VALIDATION, TEST, choosing, testing, spoilt=spoilt)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("train_prepared", "train", "examine"):
            patch.setattr(run_module, name, getattr(matrix, name))
        patch.setattr("trainer.experiment.outcome.source_commit", lambda: "0123abc")
        # The page is a matter of its own and takes most of the time.
        patch.setattr("trainer.two_stage.experiment.write_page", lambda found, path: None)
        found = run_two_stage(request, settings, SequentialExecutor(), lambda line: None)
    return Experiment(matrix, request, found)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    parent = tmp_path_factory.mktemp("discs")
    return Folders(write_target(parent), OTHER.write(parent))


@pytest.fixture(scope="module")
def plain(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """With the settings of all tests; the training's own learning rate does for fine-tuning."""
    return experiment_of(folders, tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def special(folders: Folders, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """With every setting of the student changed, and the rule for empty images."""
    options = replace(
        SETTINGS.two_stage, student_steps=9, finetuning_learning_rate=0.5, criterion="empty-rule",
        distillation_weight=0.7, temperature=3.0, teacher_weights="per-class", distil_other_datasets=False,
        student_start="best-teacher", student_views="perturbed",
    )  # fmt: skip
    auxiliary = replace(SETTINGS.auxiliary, weight=0.8, schedule="linear")
    settings = replace(SETTINGS, two_stage=options, auxiliary=auxiliary)
    spoilt = frozenset({"joint-denoising"})
    return experiment_of(folders, tmp_path_factory.mktemp("special"), settings, spoilt=spoilt)


def test_teachers_are_chosen_by_validation_dice_where_test_dice_says_the_opposite(plain: Experiment) -> None:
    student = plain.metrics("n4-s0-student")
    assert {pretext: chosen["mode"] for pretext, chosen in student["choice"].items()} == CHOSEN
    assert {pretext: chosen["run"] for pretext, chosen in student["choice"].items()} == {
        "denoising": "n4-s0-joint-denoising",
        "orientation": "n4-s0-pretrained-orientation",
    }
    assert student["choice"]["denoising"]["validation"] == {"joint": 0.80, "pretrained": 0.60}
    assert student["best_teacher"] == {"pretext": "denoising", "run": "n4-s0-joint-denoising"}
    recipe = plain.matrix.trainings["n4-s0-student"].recipe
    assert recipe.identity["teachers"] == ["n4-s0-joint-denoising", "n4-s0-pretrained-orientation"]
    files = [plain.run(name) / MODEL for name in recipe.identity["teachers"]]
    assert recipe.identity["digests"] == [load_model(path).digest for path in files]


def test_the_student_learns_from_the_networks_of_the_chosen_runs(plain: Experiment) -> None:
    (term,) = plain.matrix.trainings["n4-s0-student"].recipe.companions
    assert isinstance(term, Distillation)
    for network, name in zip(term.teachers, ("joint-denoising", "pretrained-orientation"), strict=True):
        expected = load_model(plain.run(f"n4-s0-{name}") / MODEL).network.state_dict()
        assert all(torch.equal(weights, expected[key]) for key, weights in network.state_dict().items())


def test_figures_on_test_cases_are_those_of_the_runs_that_validation_chose(plain: Experiment) -> None:
    methods = plain.found["labelled"]["4"]
    said = {name: methods[name]["dice_positives_only"]["value"] for name in methods}
    assert said == pytest.approx(
        {
            "scratch": 0.20, "scratch-long": 0.21, "joint-all": 0.22, "student": 0.23, "ensemble": 0.24,
            "joint-denoising": 0.30, "pretrained-denoising": 0.90, "teacher-denoising": 0.30,
            "joint-orientation": 0.95, "pretrained-orientation": 0.40, "teacher-orientation": 0.40,
            "best-teacher": 0.30,
        }
    )  # fmt: skip
    # An empty image is kept empty by all of them.
    assert methods["student"]["dice_empty_rule"]["value"] == pytest.approx((0.23 + 1) / 2)


def test_every_model_is_measured_on_validation_and_on_test_cases_and_the_average_is_of_the_teachers(
    plain: Experiment,
) -> None:
    average = ("joint-denoising", "pretrained-orientation")
    expected = [((name,), part) for name in VALIDATION if name != "average" for part in ("validation", "test")]
    assert sorted(plain.matrix.measured) == sorted([*expected, (average, "validation"), (average, "test")])
    for name in ("scratch", "student"):
        metrics = plain.metrics(f"n4-s0-{name}")
        assert metrics["validation"]["dice_positives_only"] == pytest.approx(VALIDATION[name])
        assert metrics["test"]["dice_positives_only"] == pytest.approx(TEST[name])
    ensemble = plain.metrics("n4-s0-student")["ensemble"]
    assert ensemble["validation"]["dice_positives_only"] == pytest.approx(0.14)
    assert ensemble["test"]["dice_positives_only"] == pytest.approx(0.24)


def test_the_rule_for_empty_images_chooses_when_the_settings_say_so(special: Experiment) -> None:
    # Marking an empty image halves what counts under this rule: (0.80 + 0) / 2 < (0.60 + 1) / 2.
    student = special.metrics("n4-s0-student")
    assert student["choice"]["denoising"]["mode"] == "pretrained"
    assert student["choice"]["denoising"]["validation"] == pytest.approx({"joint": 0.40, "pretrained": 0.80})
    assert student["best_teacher"]["run"] == "n4-s0-pretrained-orientation"
    assert special.found["criterion"] == "dice_empty_rule"


def test_every_method_takes_the_steps_that_are_its_own(plain: Experiment, special: Experiment) -> None:
    steps = {name.removeprefix("n4-s0-"): training.steps for name, training in plain.matrix.trainings.items()}
    # Training for longer takes as many steps as pre-training and fine-tuning together: 4 + 3.
    assert steps.pop("scratch-long") == 7
    assert set(steps.values()) == {4}
    assert {training.steps for training in plain.matrix.pretrainings.values()} == {3}
    assert set(plain.matrix.pretrainings) == {"n4-s0-pretrained-denoising", "n4-s0-pretrained-orientation"}
    assert special.matrix.trainings["n4-s0-student"].steps == 9
    assert special.matrix.trainings["n4-s0-scratch"].steps == 4


def test_only_fine_tuning_has_a_learning_rate_of_its_own(plain: Experiment, special: Experiment) -> None:
    rates = {name: training.config.learning_rate for name, training in special.matrix.trainings.items()}
    assert {name for name, rate in rates.items() if rate == 0.5} == {
        "n4-s0-pretrained-denoising",
        "n4-s0-pretrained-orientation",
    }
    assert {training.config.learning_rate for training in special.matrix.pretrainings.values()} == {1e-2}
    assert {training.config.learning_rate for training in plain.matrix.trainings.values()} == {1e-2}


def test_joint_training_has_its_tasks_beside_segmentation_with_lambda_and_others_have_none(plain: Experiment) -> None:
    recipes = {name.removeprefix("n4-s0-"): training.recipe for name, training in plain.matrix.trainings.items()}
    companions = {name: [c.name for c in recipe.companions] for name, recipe in recipes.items()}
    assert companions == {
        "scratch": [], "scratch-long": [], "joint-all": ["denoising", "orientation"], "student": ["distillation"],
        "joint-denoising": ["denoising"], "joint-orientation": ["orientation"], "pretrained-denoising": [],
        "pretrained-orientation": [],
    }  # fmt: skip
    assert all(recipe.supervised for recipe in recipes.values())
    weights = {c.weight(share) for c in recipes["joint-all"].companions for share in (0.0, 0.9)}
    assert weights == {0.3}
    assert [name for name, recipe in recipes.items() if recipe.weights is not None] == [
        "pretrained-denoising",
        "pretrained-orientation",
    ]


def test_lambda_follows_its_schedule_beside_segmentation_and_is_1_in_pretraining(special: Experiment) -> None:
    (beside,) = special.matrix.trainings["n4-s0-joint-denoising"].recipe.companions
    assert [beside.weight(share) for share in (0.0, 0.25, 1.0)] == pytest.approx([0.8, 0.6, 0.0])
    pretraining = special.matrix.pretrainings["n4-s0-pretrained-denoising"].recipe
    assert [c.name for c in pretraining.companions] == ["denoising"]
    assert [c.weight(share) for c in pretraining.companions for share in (0.0, 0.25, 1.0)] == [1.0, 1.0, 1.0]
    assert not pretraining.supervised


def test_fine_tuning_starts_from_the_pretrained_encoder_and_decoder_but_not_the_head(plain: Experiment) -> None:
    training = plain.matrix.trainings["n4-s0-pretrained-denoising"]
    weights = training.recipe.weights
    assert weights is not None
    assert {name.split(".")[0] for name in weights} == {"encoder", "down", "up", "decoder"}
    assert all(bool((tensor == 1).all()) for tensor in weights.values())
    # Turns are told from the encoder alone: it gets the scale that the fresh decoder expects, which stays as it is.
    rescaled = plain.matrix.trainings["n4-s0-pretrained-orientation"].recipe.weights
    assert rescaled is not None
    assert {name.split(".")[0] for name, tensor in rescaled.items() if not bool((tensor == 1).all())} == {
        "encoder",
        "down",
    }


def test_the_distillation_is_that_of_the_settings(plain: Experiment, special: Experiment) -> None:
    terms = []
    for done in (plain, special):
        (term,) = done.matrix.trainings["n4-s0-student"].recipe.companions
        assert isinstance(term, Distillation)
        terms.append(term)
    assert [(t.factor, t.temperature, t.weighting) for t in terms] == [(1.0, 2.0, "uniform"), (0.7, 3.0, "per-class")]
    views = [term.batches.pretext for term in terms]
    assert [isinstance(v, StudentViews) and v.are_harder for v in views] == [False, True]
    names = [[task.name for task in term.batches.pool.tasks] for term in terms]
    assert names == [[TARGET.name, OTHER.name], [TARGET.name]]
    assert {term.batches.images for term in terms} == {3}
    # Validation Dice by label, the background's being their mean: by the rule that chose, too.
    torch.testing.assert_close(terms[0].class_weights, torch.tensor([[0.8, 0.8], [0.7, 0.7]]))
    torch.testing.assert_close(terms[1].class_weights, torch.tensor([[0.8, 0.8], [0.85, 0.85]]))


def test_the_student_may_start_from_the_best_teacher_with_its_head(plain: Experiment, special: Experiment) -> None:
    assert plain.matrix.trainings["n4-s0-student"].recipe.weights is None
    weights = special.matrix.trainings["n4-s0-student"].recipe.weights
    assert weights is not None
    best = load_model(special.run("n4-s0-pretrained-orientation") / MODEL).network.state_dict()
    assert weights.keys() == best.keys()
    assert all(torch.equal(weights[name], best[name]) for name in best)


def test_only_the_student_is_given_the_unlabelled_cases_of_the_target(plain: Experiment) -> None:
    (cell,) = make_cells(plain.request.target, plain.request.unlabelled, (4,), (0,), SETTINGS)
    unlabelled = {case.name for case in cell.division.unlabelled}
    assert unlabelled
    for name, training in plain.matrix.trainings.items():
        given = {case.case.name for cases in training.data.unlabelled for case in cases}
        assert given == (unlabelled if name == "n4-s0-student" else set()), name
        assert {case.case.name for case in training.data.training[0]} == {case.name for case in cell.division.labelled}
        held_out = {case.case.name for case in training.data.held_out[0]}
        assert held_out == {case.name for case in cell.division.validation}


def test_a_model_says_its_method_and_who_was_never_trained_on(plain: Experiment) -> None:
    (cell,) = make_cells(plain.request.target, plain.request.unlabelled, (4,), (0,), SETTINGS)
    dataset = read_dataset(plain.request.target)
    never = {case.name for case in (*cell.division.validation, *cell.division.test)}
    for name, training in plain.matrix.trainings.items():
        generation = training.generation
        assert {case.name for case in dataset.cases if not generation.saw(case.group)} == never
        assert len(generation.labelled[TARGET.name]) == len({case.group for case in cell.division.labelled})
        assert len(generation.held_out[TARGET.name]) == len({case.group for case in cell.division.validation})
        assert set(generation.unlabelled) == {TARGET.name, OTHER.name}
        assert name.removeprefix("n4-s0-").startswith(training.said["two_stage"]["method"])
    said = plain.matrix.trainings["n4-s0-joint-denoising"].said["two_stage"]
    assert (said["method"], said["joint"]) == ("joint", ["denoising"])


def test_the_student_of_the_first_seed_and_the_most_labels_ships_under_the_name_that_is_wanted(
    plain: Experiment,
) -> None:
    cells = [Cell(labelled, seed, {}, Division((), (), (), ())) for labelled in (4, 10, 6) for seed in (1, 0)]
    assert shipped_cell(cells).name("student") == "n10-s1-student"
    ours, theirs = (load_model(path) for path in (plain.request.output, plain.run("n4-s0-student") / MODEL))
    assert ours.manifest.name == "student"
    assert replace(ours.manifest, name="n4-s0-student") == theirs.manifest
    assert torch.equal(ours.network.head.weight, theirs.network.head.weight)


def test_curves_are_validation_dice_by_step_images_are_counted_and_no_checkpoint_is_kept(plain: Experiment) -> None:
    assert list(plain.request.output.parent.rglob("checkpoint.pt")) == []
    assert plain.found["curves"]["n4-s0-joint-denoising"] == [[4, 0.80]]
    (cell,) = make_cells(plain.request.target, plain.request.unlabelled, (4,), (0,), SETTINGS)
    parts, (images,) = cell.division, plain.found["images"]
    assert (images["labelled"], images["seed"]) == (4, 0)
    assert images["validation"] == len(parts.validation) != len(parts.test) == images["test"]
    kept_apart = {case.group for case in (*parts.validation, *parts.test)}
    others = [f"patient_{number}" for number in range(OTHER.patients)]
    own = len(parts.labelled) + len(parts.unlabelled)
    assert images["without_labels"] == own + sum(group not in kept_apart for group in others)
    assert (plain.found["target"], plain.found["other_images"]) == (TARGET.name, [OTHER.name])


def test_the_seed_of_a_cell_is_that_of_its_trainings(folders: Folders) -> None:
    for cell in make_cells(folders.target, (folders.other,), (4,), (0, 3), SETTINGS):
        assert cell.parameters["settings"]["training"]["seed"] == cell.seed
        for run in cell.runs(SETTINGS.two_stage.pretexts):
            assert run.parameters["settings"]["training"]["seed"] == cell.seed


def test_other_settings_of_the_student_make_another_student_and_no_other_teacher(
    folders: Folders, tmp_path: Path
) -> None:
    def places(options: TwoStageConfig) -> dict[str, Path]:
        settings = replace(SETTINGS, two_stage=options)
        (cell,) = make_cells(folders.target, (folders.other,), (4,), (0,), settings)
        return {name: job.folder for name, job in make_jobs(cell.runs(options.pretexts), tmp_path).items()}

    plain = places(SETTINGS.two_stage)
    other = places(replace(SETTINGS.two_stage, student_steps=9, criterion="empty-rule", temperature=1.5))
    assert {name for name in plain if plain[name] != other[name]} == {"n4-s0-student"}
    longer = places(replace(SETTINGS.two_stage, steps=5))
    assert {name for name in plain if plain[name] != longer[name]} == set(plain)


def test_runs_without_weights_of_datasets_are_those_from_before_there_were_any(folders: Folders) -> None:
    weighted = replace(SETTINGS, training=replace(SETTINGS.training, sampling_weights={OTHER.name: 2.0}))
    for settings, expected in ((SETTINGS, None), (weighted, {OTHER.name: 2.0})):
        (cell,) = make_cells(folders.target, (folders.other,), (4,), (0,), settings)
        for run in cell.runs(SETTINGS.two_stage.pretexts):
            assert run.parameters["settings"]["training"].get("sampling_weights") == expected, run.name


def test_validation_cases_without_any_structure_are_refused_as_labelled_ones_are(
    folders: Folders, tmp_path: Path
) -> None:
    target = tmp_path / TARGET.name
    shutil.copytree(folders.target, target)
    cells = make_cells(target, (), (4,), (0,), SETTINGS)
    for case in cells[0].division.validation:
        assert case.label is not None
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros(TARGET.shape, dtype=np.uint8)), str(case.label))
    with pytest.raises(DatasetError, match="none of the 2 validation cases shows a structure"):
        prepare_cells(cells, SETTINGS, tmp_path / "cache", None)
