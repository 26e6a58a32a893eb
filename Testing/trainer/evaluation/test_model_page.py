"""The page of released models says what the model files and the published figures say, and nothing else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MultiTaskSegLib.runtime.errors import DatasetError, ModelError
from MultiTaskSegLib.runtime.model.manifest import Manifest
from MultiTaskSegLib.runtime.model.model_file import read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.model.released import released_models
from MultiTaskSegLib.runtime.model.training_data import TrainingData
from Testing.runtime.tiny_model import write_tiny_model
from trainer import cli
from trainer.evaluation.card_page import card_text
from trainer.evaluation.model_page import MARK, card_of, keep_evaluation, page_text, write_model_page
from trainer.evaluation.model_words import check_words
from trainer.evaluation.published_figures import published_figures

REPOSITORY = Path(__file__).parents[3]
REST = "(0.25 to 0.90) | 50 % | 25 % | 0.062 |"


def measured(dice: float) -> dict[str, Any]:
    return {
        "cases": 2, "patients": 2, "mean_foreground_dice": dice, "interval": [0.25, 0.9], "recognised": 0.5,
        "flagged_ood": 0.25, "flagged_interval": [0.0, 0.5], "unit": "mm", "tolerance": [1.0, 1.25], "one_is_empty": 3,
        "hausdorff95": {"mean": 4.5, "interval": [3.0, 6.0]}, "surface_dice": {"mean": 0.625, "interval": None},
        "expected_dice_error": 0.0625,
        "by_label": {"ball": {"dice": 0.75, "hausdorff95": None, "surface_dice": 0.5}},
    }  # fmt: skip


def trained_model(path: Path) -> Path:
    """A tiny model with the facts that a training leaves in its manifest."""
    manifest = read_manifest(write_tiny_model(path))[0]
    data = TrainingData("Somebody 2020", released_weights_may_use=True)
    tasks = tuple(replace(task, calibration={"ece": 0.0625}, licence="CC BY 4.0", data=data) for task in manifest.tasks)
    training = {"steps": 700, "minutes": 12.0, "finetuning": {"model": "older"}}
    rewrite_manifest(path, replace(manifest, tasks=tasks, training=training), path)
    return path


def published(folder: Path, model: Path) -> Path:
    """Figures of a tiny model, as the commands publish them."""
    manifest, digest = read_manifest(model)
    tasks = {task.name: measured(0.75) for task in manifest.tasks}
    evaluation = {"model": digest, "split": "imagesTr", "datasets": tasks}
    place = {"auroc": 0.875, "control": 0.5, "by_task": {}}
    shipped = {
        "variant": "composite", "layers": ["encoder0"], "specificity": 0.96, "known_images": 50,
        "sensitivity": {"real": 1.0, "artefact": 0.5},
        "sensitivity_by_source": {"real: EM": 1.0, "artefact: bias_field": 0.25, "artefact: noise": 0.75},
    }  # fmt: skip
    files = {
        "evaluation-2026-01-02": evaluation,
        "localisation-2026-01-02": {"model": digest, "patch": place, "streak": place},
    }
    told = {**evaluation, "datasets": {task.name: measured(0.875) for task in manifest.tasks}}
    (folder / f"evaluation-2026-01-02-{manifest.name}-told.json").write_text(json.dumps(told), encoding="utf-8")
    for name, content in files.items():
        (folder / f"{name}-{manifest.name}.json").write_text(json.dumps(content), encoding="utf-8")
    scores = {"whitened, encoder and image": 0.928, "control: image statistics": 0.913, "paper, deepest": 0.7}
    detectors = {name: {"artefact": {"auroc": auroc}} for name, auroc in scores.items()}
    whole = {
        "model": manifest.name, "sha256": digest, "shipped": shipped,
        "detectors": {"untrained network: ours": {}, **detectors},
    }  # fmt: skip
    partial = {**whole, "shipped": {**shipped, "specificity": 0.5}, "detectors": {"ours": {}}}
    for name, content in (("all", whole), ("some-detectors", partial)):
        path = folder / f"ood-benchmark-2026-01-02-{name}.json"
        path.write_text(json.dumps({"models": [content]}), encoding="utf-8")
    return model


def test_the_tables_hold_the_published_figures_of_this_very_file_and_the_prose_stays(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    page = tmp_path / "models.md"
    page.write_text(f"# Models\n\nRead this.\n\n{MARK}\n\nold figures", encoding="utf-8")
    write_model_page(page, [model], tmp_path)
    text = page.read_text(encoding="utf-8")
    manifest, digest = read_manifest(model)
    assert text.startswith(f"# Models\n\nRead this.\n\n{MARK}\n")
    assert "old figures" not in text
    assert digest in text
    assert "700 steps in 12 minutes, on top of the weights of an earlier older." in text
    assert text.count(f"| 2 | 0.750 (0.25 to 0.90) | 0.875 {REST}") == len(manifest.tasks)
    assert "96.0 % of 50 held-out images are accepted; flagged are 100 % of the real images (all from one so" in text
    assert "**Often missed:** flagged are 25 % of images with bias field. Spoilt images" in text
    assert "AUROC of 0.93, by the statistics of the image alone, without any network, with 0.91" in text
    assert "others may lie far from these figures: Dataset001_Balls (2), Dataset002_Cubes (2)." in text
    assert "Licence of the weights, [from those of their data](model_file.md#licence-of-the-weights): CC BY 4.0" in text
    assert f"[The card of {manifest.name}](models/{manifest.name}.md)" in text


def test_the_card_holds_surfaces_structures_calibration_false_alarms_data_and_pictures(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    pictures = {"Dataset001_Balls": "tiny-Dataset001_Balls.jpg"}
    text = card_text(manifest, digest, published_figures(manifest, digest, tmp_path), pictures)
    row = "| 2 | 2 | 0.750 (0.25 to 0.90) | 4.50 (3.00 to 6.00) mm | 0.625 within 1 to 1.25 mm | 3 | 0.062 |"
    assert text.count(row) == len(manifest.tasks)
    assert text.count("| ball | 0.750 | – | 0.500 |") == len(manifest.tasks)
    assert text.count("| 0.062 |") == 2 * len(manifest.tasks)
    assert text.count("| 2 | 25 % (0 to 50) | – |") == len(manifest.tasks)
    assert text.count("| CC BY 4.0 | Somebody 2020 |") == len(manifest.tasks)
    assert "AUROC of 0.88 (place alone 0.50)" in text
    assert "](../model_file.md#licence-of-the-weights)" in text
    assert "](../results/ood-benchmark.md)" in text
    assert text.count("![") == 1
    assert "![A typical case and the worst ones of Dataset001_Balls](tiny-Dataset001_Balls.jpg)" in text
    assert digest in text


def test_page_and_card_say_which_tasks_were_left_out(tmp_path: Path) -> None:
    model = trained_model(tmp_path / "tiny.mts.safetensors")
    manifest = read_manifest(model)[0]
    left = {"Dataset003_Cones": {"held_out_dice": {"cone": 0.5}, "held_out_cases": 4}}
    rewrite_manifest(model, replace(manifest, training=manifest.training | {"left_out": left}), model)
    manifest, digest = read_manifest(published(tmp_path, model))
    words = "Trained on, too, but left out: Dataset003_Cones (mean Dice 0.500 on 4 held-out cases)."
    assert words in card_text(manifest, digest, published_figures(manifest, digest, tmp_path), {})
    assert words in page_text(f"Read this.\n{MARK}\n", [model], tmp_path)


def spoofed(plain: Manifest, earlier: str, more: str) -> Manifest:
    """With more behind every text that pages show."""
    shown = ("reference", "description", "field_of_view", "scanners", "ages")
    data = replace(plain.tasks[0].data, released_weights_may_use=True, **{key: f"{key}{more}" for key in shown})
    texts = {"modality": f"T1{more}", "licence": f"CC BY 4.0{more}", "data": data}
    notes = {
        "measured_as": [earlier],
        "checked_as": [f"earlier`{more}"],
        "left_out": {f"cones{more}": {}},
        "finetuning": {"model": f"older{more}"},
    }
    tasks = tuple(replace(task, **texts) for task in plain.tasks)
    return replace(plain, intended_use=f"Research{more}", tasks=tasks, training=dict(plain.training) | notes)


@pytest.mark.parametrize("end", ["\n\n", "\u2028"])
def test_what_a_model_file_says_is_no_markup_and_begins_no_line_of_page_and_card(tmp_path: Path, end: str) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    plain, before = read_manifest(model)
    texts = []
    for more in ("", f"{end}## Data{end}| all | CC0 |{end}<b>![a](b) *c*\u202e"):
        rewrite_manifest(model, spoofed(plain, before, more), model)
        texts.append([*page_text(MARK, [model], tmp_path).split("\n"), *card_of(model, tmp_path).split("\n")])
    usual, found = texts
    assert [line[:6] for line in found] == [line[:6] for line in usual]
    cells = [[line.replace("\\|", "").count("|") for line in text if line.startswith("|")] for text in texts]
    assert cells[0] == cells[1]
    shown = re.sub("`[^`\n]*`", "", "\n".join(found)).replace("\\<", "")
    assert not [sign for sign in ("\u202e", "<b>", "![a", " *c*") if sign in shown]


def test_where_the_check_knows_images_without_labels_the_page_says_what_it_accepts_and_misses(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    for path in [*tmp_path.glob("ood-*"), *tmp_path.glob("localisation-*")]:
        path.unlink()
    manifest, digest = read_manifest(model)
    with pytest.raises(DatasetError, match="ood-benchmark"):
        page_text(MARK, [model], tmp_path)
    known = {"images": 9, "patients": 6, "accepted": 8, "interval": [0.5, 0.98]}
    lone = {"images": 2, "patients": 1, "accepted": 2, "interval": [0.025, 1.0]}
    foreign = {"hearts": {"images": 7, "flagged": 5}, "lungs": {"images": 20, "flagged": 20}}
    file = tmp_path / f"acceptance-2026-01-02-{manifest.name}.json"
    file.write_text(
        json.dumps({"model": digest, "known": {"heads": known, "one": lone}, "foreign": foreign}), encoding="utf-8"
    )
    for text in (page_text(MARK, [model], tmp_path), card_of(model, tmp_path)):
        assert "heads: 8 of 9 (6 persons, 95 % interval 50 to 98 %)" in text
        assert "one: 2 of 2 (1 person, 95 %" in text
        assert "Flagged are 25 of 27 images of something else (hearts, lungs); **missed**: 2 of 7 of hearts." in text
        assert "Map of foreign places" not in text
    file.write_text(file.read_text("utf-8").replace(digest, "0" * 64), encoding="utf-8")
    with pytest.raises(DatasetError, match="ood-benchmark"):
        page_text(MARK, [model], tmp_path)
    # Another predicted Dice leaves verdicts as they were.
    told = dict(manifest.training) | {"checked_as": ["0" * 64], "measured_as": [digest]}
    rewrite_manifest(model, replace(manifest, training=told), model)
    assert "heads: 8 of 9" in card_of(model, tmp_path)


def test_figures_of_another_file_are_not_taken(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    name = next(tmp_path.glob("evaluation-*"))
    name.write_text(name.read_text(encoding="utf-8").replace(read_manifest(model)[1], "0" * 64), encoding="utf-8")
    with pytest.raises(DatasetError, match="evaluation"):
        page_text(MARK, [model], tmp_path)


def test_figures_of_an_earlier_file_of_the_same_network_hold_when_the_manifest_says_so(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, earlier = read_manifest(model)
    rewrite_manifest(model, replace(manifest, training=dict(manifest.training) | {"measured_as": [earlier]}), model)
    text = page_text(MARK, [model], tmp_path)
    assert read_manifest(model)[1] != earlier
    assert f"Figures that name `{earlier}` hold for it, too" in text
    assert text.count(f"| 0.750 (0.25 to 0.90) | 0.875 {REST}") == len(manifest.tasks)


def test_after_a_refit_the_evaluation_must_be_new_and_older_figures_of_the_check_are_said_to_be_older(
    tmp_path: Path,
) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, before = read_manifest(model)
    rewrite_manifest(model, replace(manifest, training=dict(manifest.training) | {"refitted_from": [before]}), model)
    with pytest.raises(DatasetError, match="evaluation"):
        page_text(MARK, [model], tmp_path)
    content = {"model": read_manifest(model)[1], "datasets": {task.name: measured(0.5) for task in manifest.tasks}}
    for told in ("", "-told"):
        path = tmp_path / f"evaluation-2026-03-03-{manifest.name}{told}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    assert page_text(MARK, [model], tmp_path).count("before the check was fitted anew") == 1
    assert card_of(model, tmp_path).count("before the check was fitted anew") == 2


def test_after_another_quality_the_evaluation_must_be_new_and_figures_of_the_check_hold(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, before = read_manifest(model)
    rewrite_manifest(model, replace(manifest, training=dict(manifest.training) | {"checked_as": [before]}), model)
    with pytest.raises(DatasetError, match="evaluation"):
        page_text(MARK, [model], tmp_path)
    digest = read_manifest(model)[1]
    content = {"model": digest, "datasets": {task.name: measured(0.5) for task in manifest.tasks}}
    for told in ("", "-told"):
        path = tmp_path / f"evaluation-2026-03-03-{manifest.name}{told}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    text = page_text(MARK, [model], tmp_path)
    assert "before the check was fitted anew" not in text
    assert f"Figures of labels and verdicts that name `{before}` hold for it, too" in text
    assert "before the check was fitted anew" not in card_of(model, tmp_path)


def test_of_several_evaluations_the_newest_counts(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    for date, dice in (("2025-12-31", 0.25), ("2026-01-10", 0.5)):
        content = {"model": digest, "datasets": {task.name: measured(dice) for task in manifest.tasks}}
        path = tmp_path / f"evaluation-{date}-{manifest.name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    text = page_text(MARK, [model], tmp_path)
    assert text.count("| 0.500 (0.25 to 0.90) | 0.875 (") == len(manifest.tasks)


def test_a_page_without_the_mark_is_left_alone(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    with pytest.raises(DatasetError, match="lacks the line"):
        page_text("# Models", [model], tmp_path)


@pytest.mark.parametrize(
    ("licence", "may_use", "why"),
    [
        ("CC BY 4.0", False, "released weights may not be made of Dataset001_Balls"),
        ("unknown", True, "no licence is known of Dataset001_Balls"),
        ("CC0", None, "nobody has said"),
    ],
)  # fmt: skip
def test_a_model_is_not_presented_as_released_where_its_data_do_not_allow_it(
    tmp_path: Path, licence: str, may_use: bool | None, why: str
) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    first = replace(manifest.tasks[0], licence=licence, data=TrainingData(released_weights_may_use=may_use))
    training = dict(manifest.training) | {"measured_as": [digest]}
    rewrite_manifest(model, replace(manifest, tasks=(first, *manifest.tasks[1:]), training=training), model)
    with pytest.raises(ModelError, match=why):
        page_text(MARK, [model], tmp_path)


def test_an_evaluation_is_kept_under_the_name_of_its_model_and_others_are_refused(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    manifest, digest = read_manifest(model)
    metrics = tmp_path / "metrics.json"
    metrics.write_text(json.dumps({"model": digest, "datasets": {}}), encoding="utf-8")
    (kept,) = keep_evaluation(metrics, [model], tmp_path, tmp_path)
    assert kept.name.startswith("evaluation-")
    assert kept.name.endswith(f"-{manifest.name}.json")
    assert json.loads(kept.read_text(encoding="utf-8"))["model"] == digest
    metrics.write_text(json.dumps({"model": digest, "task": "dataset", "datasets": {}}), encoding="utf-8")
    assert keep_evaluation(metrics, [model], tmp_path, tmp_path)[0].name.endswith(f"-{manifest.name}-told.json")
    metrics.write_text(json.dumps({"model": "other", "datasets": {}}), encoding="utf-8")
    with pytest.raises(DatasetError, match="none of the models"):
        keep_evaluation(metrics, [model], tmp_path, tmp_path)


def test_pictures_are_kept_beside_the_card_under_the_name_of_the_model(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    manifest, digest = read_manifest(model)
    metrics, cards = tmp_path / "metrics.json", tmp_path / "models"
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "D.jpg").write_bytes(b"drawn")
    content = {"model": digest, "datasets": {}, "pictures": {"D": "D.jpg"}}
    metrics.write_text(json.dumps(content), encoding="utf-8")
    kept, picture = keep_evaluation(metrics, [model], tmp_path, cards)
    assert picture == cards / f"{manifest.name}-D.jpg"
    assert picture.read_bytes() == b"drawn"
    assert json.loads(kept.read_text(encoding="utf-8"))["pictures"] == {"D": picture.name}
    # Told the task, the pictures are of other results than the page's.
    metrics.write_text(json.dumps(content | {"task": "dataset"}), encoding="utf-8")
    assert len(keep_evaluation(metrics, [model], tmp_path, tmp_path / "other")) == 1
    assert not (tmp_path / "other").exists()


def test_an_evaluation_with_cases_that_were_trained_on_is_not_kept(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny.mts.safetensors")
    metrics = tmp_path / "metrics.json"
    content = {"model": read_manifest(model)[1], "datasets": {}}
    metrics.write_text(json.dumps({**content, "with_training_cases": True}), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"was trained on.*all-cases"):
        keep_evaluation(metrics, [model], tmp_path, tmp_path)
    assert not list(tmp_path.glob("evaluation-*"))
    metrics.write_text(json.dumps({**content, "with_training_cases": False}), encoding="utf-8")
    assert keep_evaluation(metrics, [model], tmp_path, tmp_path)[0].is_file()


def test_the_command_publishes_evaluations_and_then_writes_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    (tmp_path / f"evaluation-2026-01-02-{manifest.name}.json").unlink()
    metrics, page = tmp_path / "metrics.json", tmp_path / "models.md"
    tasks = {task.name: measured(0.625) for task in manifest.tasks}
    metrics.write_text(json.dumps({"model": digest, "datasets": tasks}), encoding="utf-8")
    page.write_text(f"Prose.\n{MARK}", encoding="utf-8")
    words = ["experiment", "model-page", "-m", str(model), "--results", str(tmp_path), "-o", str(page)]
    # Without the figures nothing is written.
    assert cli.main(words) == 4
    assert page.read_text(encoding="utf-8") == f"Prose.\n{MARK}"
    assert cli.main([*words, "--evaluations", str(metrics)]) == 0
    assert page.read_text(encoding="utf-8").count("| 0.625 (0.25 to 0.90) | 0.875 (") == len(manifest.tasks)
    (kept,) = tmp_path.glob(f"evaluation-*-{manifest.name}.json")
    assert capsys.readouterr().out.splitlines() == [f"written: {kept}", f"written: {page}"]


def test_the_page_of_this_repository_is_that_of_its_models_and_figures() -> None:
    page = (REPOSITORY / "docs" / "models.md").read_text(encoding="utf-8")
    models = released_models()
    assert page == page_text(page, models, REPOSITORY / "docs" / "results")
    for model in models:
        card = REPOSITORY / "docs" / "models" / f"{read_manifest(model)[0].name}.md"
        assert card.read_text(encoding="utf-8") == card_of(model, REPOSITORY / "docs" / "results")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (None, "that the network helps is not shown by a difference of +0.016 without an interval."),
        ([-0.002, 0.035], "that the network helps is not shown, +0.016 (-0.002 to +0.035)."),
        ([0.004, 0.03], "the difference is +0.016 (+0.004 to +0.030)."),
    ],
)  # fmt: skip
def test_that_the_network_helps_is_said_only_where_an_interval_shows_it(limits: list[float] | None, words: str) -> None:
    spoilt = {"auroc": 0.9, "lead_interval": limits}
    scores = {"whitened, encoder and image": {"auroc": 0.916}, "control: image statistics": spoilt}
    detectors = {name: {"artefact": of} for name, of in (scores | {"paper, deepest": {"auroc": 0.7}}).items()}
    shipped = {
        "variant": "composite", "layers": [], "specificity": 1.0, "known_images": 9, "sensitivity": {"artefact": 0.6},
    }  # fmt: skip
    assert words in check_words({"shipped": shipped, "detectors": detectors})


def test_newer_figures_of_some_tasks_do_not_take_the_place_of_those_of_all(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    part = {"model": digest, "datasets": {manifest.tasks[0].name: measured(0.1)}}
    (tmp_path / f"evaluation-2026-02-02-{manifest.name}.json").write_text(json.dumps(part), encoding="utf-8")
    found = published_figures(manifest, digest, tmp_path).evaluation["datasets"]
    assert [own["mean_foreground_dice"] for own in found.values()] == [0.75] * len(manifest.tasks)
    (tmp_path / f"evaluation-2026-01-02-{manifest.name}.json").unlink()
    with pytest.raises(DatasetError, match="all of its tasks"):
        card_of(model, tmp_path)


def test_pictures_that_no_card_shows_any_more_go_and_missing_ones_are_told(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    name = read_manifest(model)[0].name
    figures = tmp_path / f"evaluation-2026-01-02-{name}.json"
    content = json.loads(figures.read_text(encoding="utf-8"))
    shown = f"{name}-Dataset001_Balls.jpg"
    figures.write_text(json.dumps(content | {"pictures": {"Dataset001_Balls": shown}}), encoding="utf-8")
    page, cards = tmp_path / "models.md", tmp_path / "models"
    page.write_text(MARK, encoding="utf-8")
    cards.mkdir()
    with pytest.raises(DatasetError, match="picture of a card is missing"):
        write_model_page(page, [model], tmp_path)
    for picture in (shown, f"{name}-Dataset009_Gone.jpg", f"{name}-other-Dataset001.jpg", "else.jpg"):
        (cards / picture).write_bytes(b"jpeg")
    (cards / f"{name}-other.md").write_text(f"![x]({name}-other-Dataset001.jpg)", encoding="utf-8")
    write_model_page(page, [model], tmp_path)
    assert {p.name for p in cards.glob("*.jpg")} == {shown, f"{name}-other-Dataset001.jpg", "else.jpg"}


def test_where_no_distance_was_measured_the_card_has_no_unit(tmp_path: Path) -> None:
    model = published(tmp_path, trained_model(tmp_path / "tiny.mts.safetensors"))
    manifest, digest = read_manifest(model)
    figures = published_figures(manifest, digest, tmp_path)
    empty = measured(0.0) | {"hausdorff95": {"mean": None, "interval": None}}
    evaluation = {**figures.evaluation, "datasets": {task.name: empty for task in manifest.tasks}}
    text = card_text(manifest, digest, replace(figures, evaluation=evaluation), {})
    assert text.count("| 0.000 (0.25 to 0.90) | – | 0.625 within") == len(manifest.tasks)
