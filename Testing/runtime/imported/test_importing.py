"""A results folder becomes a model file that holds its weights bit for bit, or nothing is written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ModelError, MtsError, UsageError
from MultiTaskSegLib.runtime.imported.imported_card import imported_card
from MultiTaskSegLib.runtime.imported.imported_consistency import check_imported_manifest
from MultiTaskSegLib.runtime.imported.imported_file import is_imported, load_imported, save_imported
from MultiTaskSegLib.runtime.imported.importing import Choice, import_model
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.nnunet import plan_value
from MultiTaskSegLib.runtime.nnunet.results_source import results_source
from MultiTaskSegLib.runtime.nnunet.trained_model import load_trained_model, trained_models
from MultiTaskSegLib.task_list import known_tasks
from Testing.runtime.imported.imported_models import NAME, REGIONS, checkpoint, imported, plans_with, results_folder
from Testing.runtime.nnunet.checkpoint_bytes import checkpoint_content, saved_checkpoint, written_results
from Testing.runtime.tiny_model import write_tiny_model


def test_the_file_holds_the_weights_and_the_plan_that_the_folder_holds(tmp_path: Path) -> None:
    model = load_imported(imported(tmp_path, folds=2))
    source = results_source(tmp_path / "results")
    loaded = load_trained_model(source, trained_models(source)[0])
    assert model.manifest.plan == loaded.plan
    assert [fold.name for fold in model.manifest.origin.folds] == ["0", "1"]
    assert model.manifest.origin.mirror_axes == (0, 1, 2)
    for network, fold in zip(model.networks, loaded.folds, strict=True):
        for name, tensor in fold.network.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor)


def test_labels_have_names_colours_and_terminology(tmp_path: Path) -> None:
    dataset = {**REGIONS, "labels": {"background": 0, "left_kidney": 1, "right": 2}}
    (task,) = load_imported(imported(tmp_path, dataset=dataset)).manifest.tasks
    kidney = task.labels[0]
    assert (kidney.value, kidney.name, kidney.display_name) == (1, "left_kidney", "left kidney")
    assert "64033007" in kidney.terminology
    assert (task.inputs, task.are_regions, task.modality) == (("T1",), False, "T1")


def test_regions_are_kept_in_the_order_in_which_they_are_painted(tmp_path: Path) -> None:
    (task,) = load_imported(imported(tmp_path, dataset=REGIONS)).manifest.tasks
    assert task.are_regions
    assert [(label.name, label.value) for label in task.labels] == [("whole", 3), ("core", 1), ("enhancing", 2)]


def test_the_card_tells_origin_licence_and_that_nothing_was_measured(tmp_path: Path) -> None:
    manifest = load_imported(imported(tmp_path)).manifest
    card = imported_card(manifest, "abc")
    for words in ("nnUNetTrainer", "Dataset900_Tiny", "3d_fullres", "CC BY 4.0", "7 epochs", "SHA-256 abc"):
        assert words in card
    assert "not checked: the model has no reference images" in card
    assert "not measured" in card


def test_which_kind_a_file_is_can_be_told_and_neither_is_read_as_the_other(tmp_path: Path) -> None:
    own, other = write_tiny_model(tmp_path / "own.mts.safetensors"), imported(tmp_path)
    assert (is_imported(own), is_imported(other)) == (False, True)
    with pytest.raises(ModelError, match="imported from another program"):
        load_model(other)
    with pytest.raises(ModelError, match="format version 1 of kind None"):
        load_imported(own)


def test_panels_learn_the_task_from_the_header_alone(tmp_path: Path) -> None:
    (task,) = known_tasks(imported(tmp_path))
    assert (task.name, task.modality, task.spacing_zyx_mm) == ("Dataset900_Tiny", "T1", (2.0, 1.0, 1.0))


def test_progress_rises_from_nothing_to_all(tmp_path: Path) -> None:
    shares: list[float] = []
    folder = results_folder(tmp_path / "results")
    import_model(folder, tmp_path / NAME, Choice(), "CC0", progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "results")


@pytest.mark.parametrize(
    ("choice", "licence", "output", "words"),
    [
        (Choice(), " ", NAME, "licence"),
        (Choice(), "CC0", "tiny.pth", "does not end in"),
        (Choice(configuration="2d"), "CC0", NAME, "asked for"),
        (Choice(folds=("7",)), "CC0", NAME, "no fold 7"),
    ],
)
def test_wrong_use_is_told_and_nothing_is_written(
    tmp_path: Path, choice: Choice, licence: str, output: str, words: str
) -> None:
    folder = results_folder(tmp_path / "results")
    with pytest.raises(UsageError, match=words) as refused:
        import_model(folder, tmp_path / output, choice, licence)
    assert refused.value.exit_code == 2
    assert written(tmp_path) == []


def test_of_several_models_one_must_be_chosen_from_the_list(tmp_path: Path) -> None:
    for plans in ("nnUNetPlans", "nnUNetResEncUNetMPlans"):
        written_results(tmp_path / "results", {"0": checkpoint()}, name=f"nnUNetTrainer__{plans}__3d_fullres")
    with pytest.raises(UsageError, match=r"nnUNetTrainer__nnUNetPlans__3d_fullres.*nnUNetResEncUNetMPlans"):
        import_model(tmp_path / "results", tmp_path / NAME, Choice("3d_fullres"), "CC0")
    assert written(tmp_path) == []
    import_model(tmp_path / "results", tmp_path / NAME, Choice(plans="nnUNetResEncUNetMPlans"), "CC0")
    assert written(tmp_path) == [NAME]


@pytest.mark.parametrize(
    "changed",
    [
        {"plans": plans_with(previous_stage="3d_lowres")},
        {"plans": plans_with(patch_size=[16, 16, 15])},
        {"dataset": {**REGIONS, "regions_class_order": [300, 1, 2]}},
    ],
    ids=["a cascade", "a patch that does not fit", "a value that no label map holds"],
)
def test_what_cannot_be_run_is_refused_and_nothing_is_written(tmp_path: Path, changed: dict[str, Any]) -> None:
    with pytest.raises(MtsError):
        imported(tmp_path, **changed)
    assert written(tmp_path) == []


def test_a_refusal_leaves_the_earlier_model_as_it_was(tmp_path: Path) -> None:
    path = imported(tmp_path)
    before = path.read_bytes()
    (tmp_path / "results" / "nnUNetTrainer__nnUNetPlans__3d_fullres" / "plans.json").write_text("{}")
    with pytest.raises(MtsError):
        import_model(tmp_path / "results", path, Choice(), "CC0")
    assert path.read_bytes() == before


def validated(folder: Path, names: Sequence[str]) -> None:
    """What nnU-Net's validation of each fold leaves, of cases with many structures."""
    cases = [{"metrics": {"1": {"Dice": 0.5}}, "prediction_file": f"/results/{name}.nii.gz"} for name in names]
    for fold in folder.glob("fold_*"):
        (fold / "validation").mkdir()
        (fold / "validation" / "summary.json").write_text(json.dumps({"foreground_mean": {}, "metric_per_case": cases}))


def test_the_fold_of_all_cases_is_not_believed_to_be_validated_on_others(tmp_path: Path) -> None:
    folder = written_results(tmp_path / "results", {"all": checkpoint()})
    validated(folder, ["a", "b"])
    manifest, _ = import_model(folder, tmp_path / NAME, Choice(), "CC0")
    assert manifest.training == {}


def test_validated_cases_keep_their_whole_names_however_much_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_value, "MAX_JSON_BYTES", 20_000)
    folder, names = results_folder(tmp_path / "results"), [f"1.3.6.1.4.1.{number:080d}" for number in range(200)]
    validated(folder, names)
    import_model(folder, tmp_path / NAME, Choice(), "CC0")
    assert load_imported(tmp_path / NAME).manifest.training == {"validation_cases": names}


def test_a_validation_that_names_no_case_is_refused(tmp_path: Path) -> None:
    folder = results_folder(tmp_path / "results")
    validated(folder, [])
    with pytest.raises(ModelError, match=r"no list of validated cases: .*summary\.json"):
        import_model(folder, tmp_path / NAME, Choice(), "CC0")
    assert written(tmp_path) == []


def test_what_is_written_can_be_read_whatever_a_checkpoint_says_of_its_epochs(tmp_path: Path) -> None:
    content = saved_checkpoint(checkpoint_content(current_epoch=True))
    import_model(written_results(tmp_path / "results", {"0": content}), tmp_path / NAME, Choice(), "CC0")
    assert load_imported(tmp_path / NAME).manifest.origin.folds[0].epochs == 0


def test_a_description_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    model = load_imported(imported(tmp_path))
    fold = replace(model.manifest.origin.folds[0], epochs=True)
    wrong = replace(model.manifest, origin=replace(model.manifest.origin, folds=(fold,)))
    with pytest.raises(ModelError, match="epochs"):
        save_imported(tmp_path / "wrong.mts.safetensors", wrong, model.networks)
    assert not (tmp_path / "wrong.mts.safetensors").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("image_spacing_mm", "1 1 1"),
        ("image_spacing_mm", [1.0, 1.0]),
        ("image_spacing_mm", [1.0, 0.0, 1.0]),
        ("image_spacing_mm", [1.0, None, 1.0]),
        ("validation_cases", 5),
        ("validation_cases", [["a"]]),
    ],
)
def test_what_a_reference_is_fitted_by_is_checked_when_a_file_is_read(key: str, value: object, tmp_path: Path) -> None:
    manifest = load_imported(imported(tmp_path)).manifest
    with pytest.raises(ModelError):
        check_imported_manifest(replace(manifest, training={key: value}))
