"""What is concluded from known figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trainer.config import TrainingConfig
from trainer.report.run_folder import write_json_file
from trainer.transfer.findings import findings
from trainer.transfer.page import write_page
from trainer.transfer.settings import SourceSettings, TargetSettings, TransferPlan, TransferSettings
from trainer.transfer.wording import claim_sentence, shown

SOURCES = (
    SourceSettings("same", "segmentation", "brain", ("a",)),
    SourceSettings("other", "segmentation", "heart", ("b",)),
    SourceSettings("photos", "classification", "natural", ("c",)),
    SourceSettings("self", "self-supervised", "brain", ("d",)),
)
NEARNESS = {"same": -0.5, "self": -1.0, "other": -2.0, "photos": -3.0}


def experiment(dice: dict[str, list[float]], seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, Any]:
    """Findings of an experiment with one target and these Dice coefficients by source."""
    plan = TransferPlan(
        TransferSettings(SOURCES, (TargetSettings("t", "brain", "t"),), seeds=seeds), TrainingConfig(), Path()
    )
    metrics: dict[str, dict[str, Any]] = {}
    for name, values in dice.items():
        for seed, value in zip(seeds, values, strict=True):
            figures = {"dice": value, "iou": value / 2, "dice_empty_rule": value}
            metrics[f"finetune-t-from-{name}-s{seed}"] = figures
            if name != "scratch":
                metrics[f"predict-t-from-{name}-s{seed}"] = {
                    "richness": 1.0, "spectral": NEARNESS[name], "histogram": None, "size": None, "cases": 1.0,
                    "segments": 1.0,
                }  # fmt: skip
    return findings(plan, metrics, {})


SCRATCH = [0.50, 0.52, 0.48]
SAME = [0.70, 0.71, 0.69]


def test_gains_are_paired_by_seed():
    row = experiment({"scratch": [0.1, 0.5, 0.9], "same": [0.2, 0.61, 1.02]})["targets"][0]["rows"][1]
    assert row["gain"]["value"] == pytest.approx(0.11)
    # Every seed gains about 0.11: pairing leaves little spread, however far the seeds lie apart.
    assert row["gain"]["high"] - row["gain"]["low"] == pytest.approx(2 * 4.302653 * 0.01 / 3**0.5, rel=1e-5)


def test_a_claim_that_is_neither_shown_nor_refuted_is_undecided():
    found = experiment({"scratch": SCRATCH, "same": SAME, "other": [0.60, 0.61, 0.62], "photos": [0.74, 0.66, 0.72]})
    target = found["targets"][0]
    assert (target["claim"]["verdict"], target["claim"]["best"]) == ("undecided", "same")
    assert target["claim"]["higher_mean"] == ["photos"]
    sentence = claim_sentence(target)
    assert "undecided. No other source is shown to be better (smallest p = 0.837)." in sentence
    assert "Shown not to be better by 3 Dice points: other. Higher on average: photos." in sentence
    assert target["not_measured"] == ["self"]


def test_the_claim_holds_when_no_source_can_be_better_by_the_margin():
    target = experiment({"scratch": SCRATCH, "same": SAME, "other": [0.60, 0.61, 0.62], "photos": [0.71, 0.72, 0.70]})[
        "targets"
    ][0]
    assert target["claim"]["verdict"] == "holds"
    sentence = claim_sentence(target)
    assert (
        "is at least as good as every other source, give or take 3 Dice points. Higher on average: photos." in sentence
    )


def test_a_source_that_is_better_beyond_chance_refutes_it():
    target = experiment({"scratch": SCRATCH, "same": SAME, "photos": [0.80, 0.82, 0.80]})["targets"][0]
    assert target["claim"]["verdict"] == "refuted"
    assert "NOT" in claim_sentence(target)
    assert "photos (p < 0.001) is better" in claim_sentence(target)


def test_one_seed_decides_nothing():
    target = experiment({"scratch": [0.5], "same": [0.7], "photos": [0.6]}, seeds=(0,))["targets"][0]
    assert target["claim"]["verdict"] == "undecided"
    assert "undecided" in claim_sentence(target)


@pytest.mark.parametrize("present", ["same", "photos"])
def test_without_one_side_there_is_nothing_to_compare(present: str):
    target = experiment({"scratch": SCRATCH, present: SAME})["targets"][0]
    assert target["claim"]["verdict"] == "untested"
    assert "could not be compared" in claim_sentence(target)


def test_a_target_that_no_network_learnt_decides_nothing_and_is_no_part_of_the_correlation():
    dice = {"scratch": [0.0] * 3, "same": [0.0] * 3, "other": [0.0] * 3, "photos": [0.04] * 3}
    found = experiment(dice)
    assert found["targets"][0]["claim"]["verdict"] == "untested"
    assert "no network learnt the target" in claim_sentence(found["targets"][0])
    assert found["prediction"]["pairs"] == []
    assert experiment(dice | {"photos": [0.06] * 3})["targets"][0]["claim"]["verdict"] == "refuted"


def test_a_predictor_in_the_order_of_the_gains_is_perfect_and_a_constant_one_says_nothing():
    dice = {"scratch": SCRATCH, "same": [0.9] * 3, "self": [0.8] * 3, "other": [0.7] * 3, "photos": [0.6] * 3}
    predictors = experiment(dice)["prediction"]["predictors"]
    assert predictors["spectral"]["overall"]["value"] == pytest.approx(1.0)
    assert predictors["spectral"]["meets_bar"] is True
    assert predictors["cases"]["meets_bar"] is None
    assert predictors["histogram"]["by_target"] == {}
    worst = experiment(dice | {"same": [0.1] * 3, "self": [0.2] * 3})["prediction"]["predictors"]["spectral"]
    assert worst["meets_bar"] is False


def test_figures_that_could_not_be_measured_leave_a_page_with_dashes(tmp_path: Path):
    nothing = float("nan")
    rates = dict.fromkeys(("sensitivity", "precision", "f1", "false_positives_per_image"), nothing)
    figures = {
        "dice": nothing,
        "iou": nothing,
        "dice_empty_rule": 1.0,
        "detection": rates,
        "free_response": [{"threshold": 0.5, "sensitivity": nothing, "false_positives_per_image": 0.0}],
    }
    plan = TransferPlan(
        TransferSettings(SOURCES[:1], (TargetSettings("t", "brain", "t", lesions=True),), seeds=(0, 1)),
        TrainingConfig(),
        Path(),
    )
    metrics = {f"finetune-t-from-{name}-s{seed}": figures for name in ("scratch", "same") for seed in (0, 1)}
    result = findings(plan, metrics, {"predict-t-from-same-s0": "it broke"}) | {"command": "transfer", "commit": None}
    write_json_file(tmp_path / "metrics.json", result)
    kept = json.loads((tmp_path / "metrics.json").read_text())
    write_page(kept, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "could not be compared" in page
    assert "it broke" in page
    assert "–" in page
    assert ">nan" not in page


def test_a_measured_nothing_is_a_dash():
    assert shown({"value": None, "low": None, "high": None}) == "–"
