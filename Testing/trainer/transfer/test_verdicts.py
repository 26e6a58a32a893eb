"""When a source counts as better, a target as learnt and a gain as foreseen: each limit from both of its sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainer.config import TrainingConfig
from trainer.pretraining.pretrain import SourceTask
from trainer.transfer.claim import is_learnt
from trainer.transfer.figures import gain_map
from trainer.transfer.findings import findings
from trainer.transfer.settings import SourceSettings, TargetSettings, TransferPlan, TransferSettings, is_matched

SEEDS = (0, 1, 2)


def source(name: str, domain: str = "heart", task: SourceTask = "segmentation") -> SourceSettings:
    return SourceSettings(name, task, domain, (name,))


def figures_of(dice: float, **others: Any) -> dict[str, Any]:
    return {"dice": dice, "iou": dice / 2, "dice_empty_rule": dice, **others}


def found_for(
    dice: dict[str, list[float | None]],
    sources: list[SourceSettings],
    spectral: dict[str, float] | None = None,
    targets: tuple[str, ...] = ("t",),
    scale: tuple[float, ...] = (1.0,),
) -> dict[str, Any]:
    """Findings for these Dice by source and seed; None where a run failed. Targets differ by a factor."""
    settings = TransferSettings(tuple(sources), tuple(TargetSettings(t, "brain", t) for t in targets), seeds=SEEDS)
    metrics: dict[str, dict[str, Any]] = {}
    for target, factor in zip(targets, scale, strict=True):
        for name, values in dice.items():
            for seed, value in zip(SEEDS, values, strict=True):
                if value is not None:
                    metrics[f"finetune-{target}-from-{name}-s{seed}"] = figures_of(factor * value)
                nearness = (spectral or {}).get(name)
                said = {"spectral": None if nearness is None else nearness + seed}
                said |= dict.fromkeys(("richness", "histogram", "size", "cases", "segments"))
                metrics[f"predict-{target}-from-{name}-s{seed}"] = said
    return findings(TransferPlan(settings, TrainingConfig(), Path()), metrics, {})


def alike(**dice: float) -> dict[str, list[float | None]]:
    """The same Dice with every seed."""
    return {name: [value] * 3 for name, value in dice.items()}


MATCHED = [source("poor", "brain"), source("good", "brain")]


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_matched_sources_the_better_one_is_compared_with_those_that_are_not_matched(order: int) -> None:
    dice = alike(scratch=0.9, poor=0.6, good=0.7, photos=0.65, hearts=0.5)
    sources = [*MATCHED[::order], source("photos", "natural", "classification"), source("hearts")]
    claim = found_for(dice, sources)["targets"][0]["claim"]
    assert (claim["verdict"], claim["best"]) == ("holds", "good")
    # Neither random weights nor the other matched source is what it is compared with, though both would matter.
    assert [c["source"] for c in claim["compared"]] == ["photos", "hearts"]
    assert [c["difference"]["value"] for c in claim["compared"]] == pytest.approx([-0.05, -0.2])


@pytest.mark.parametrize("ahead, verdict", [(-0.001, "holds"), (0.0, "holds"), (0.0299, "holds"), (0.0301, "refuted")])
def test_a_source_that_is_ahead_with_every_seed_refutes_the_claim_from_3_dice_points_on(
    ahead: float, verdict: str
) -> None:
    dice = alike(scratch=0.5, good=0.5, photos=0.5 + ahead)
    claim = found_for(dice, [source("good", "brain"), source("photos", "natural")])["targets"][0]["claim"]
    assert claim["verdict"] == verdict
    assert claim["higher_mean"] == (["photos"] if ahead > 0 else [])


def test_only_seeds_that_both_have_are_compared() -> None:
    # The seed that photos lack is the one with which the other source is best.
    dice: dict[str, list[float | None]] = {"scratch": [0.1] * 3, "good": [0.5, 0.6, 0.9], "photos": [0.6, 0.72, None]}
    claim = found_for(dice, [source("good", "brain"), source("photos", "natural")])["targets"][0]["claim"]
    assert claim["compared"][0]["difference"] == pytest.approx(
        {"value": 0.11, "low": 0.11 - 12.7062 * 0.01, "high": 0.11 + 12.7062 * 0.01, "count": 2}, abs=1e-5
    )
    assert claim["compared"][0]["p_better"] == pytest.approx(0.0289, abs=1e-4)


@pytest.mark.parametrize("best, learnt", [(0.0499, False), (0.0501, True)])
@pytest.mark.parametrize("name", ["scratch", "good"])
def test_networks_are_compared_from_a_mean_dice_of_a_twentieth(name: str, best: float, learnt: bool) -> None:
    found = found_for(
        alike(scratch=0.01, good=0.02, photos=0.0) | alike(**{name: best}),
        [source("good", "brain"), source("photos", "natural")],
    )
    assert (found["targets"][0]["claim"]["verdict"] == "untested") is not learnt
    assert bool(found["prediction"]["pairs"]) is learnt


def test_a_mean_dice_of_exactly_a_twentieth_is_enough() -> None:
    assert is_learnt([{"dice": {"value": 0.05}}, {"dice": {"value": None}}])
    assert not is_learnt([{"dice": {"value": 0.0499}}, {"dice": {"value": None}}])


def correlated(order: list[int]) -> dict[str, Any]:
    """The spectral predictor when the sources gain in this order and are foreseen to gain in that of their names."""
    names = [f"s{n}" for n in range(len(order))]
    dice = alike(scratch=0.1, **{name: 0.2 + 0.05 * place for name, place in zip(names, order, strict=True)})
    nearness = {name: float(number) for number, name in enumerate(names)}
    predictors: dict[str, Any] = found_for(dice, [source(n) for n in names], nearness)["prediction"]["predictors"]
    spectral: dict[str, Any] = predictors["spectral"]
    return spectral


@pytest.mark.parametrize(
    "order, value, met",
    [
        # 1 - 6 sum(d^2) / (n (n^2 - 1)): 18 for 6 sources, 2 for 3, 16 for 6.
        ([0, 4, 2, 3, 1, 5], 1 - 6 * 18 / 210, False),
        ([0, 2, 1], 0.5, True),
        ([1, 2, 0, 5, 4, 3], 1 - 6 * 14 / 210, True),
    ],
)
def test_a_predictor_meets_the_bar_from_a_rank_correlation_of_a_half(order: list[int], value: float, met: bool) -> None:
    spectral = correlated(order)
    assert spectral["overall"]["value"] == pytest.approx(value)
    assert spectral["meets_bar"] is met


def test_a_source_on_two_targets_is_one_cluster_and_only_ranks_within_a_target_count() -> None:
    dice, nearness = alike(scratch=0.1, a=0.2, b=0.5, c=0.3), {"a": 1.0, "b": 3.0, "c": 2.0}
    targets, scale = ("large", "small"), (1.0, 0.2)
    found = found_for(dice, [source(n) for n in "abc"], nearness, targets, scale)["prediction"]
    overall = found["predictors"]["spectral"]["overall"]
    assert len(found["pairs"]) == 6
    assert overall["count"] == 3
    assert overall["value"] == pytest.approx(1.0)
    # The mean over seeds of 1, 2, 3.
    assert found["pairs"][0]["predictors"]["spectral"] == pytest.approx(2.0)
    assert [pair["gain"] for pair in found["pairs"]] == pytest.approx([0.1, 0.4, 0.2, 0.02, 0.08, 0.04])
    two = found_for(alike(scratch=0.1, a=0.2, b=0.5), [source("a"), source("b")], nearness, targets, scale)
    assert two["prediction"]["predictors"]["spectral"]["overall"]["low"] is None


def test_a_gain_needs_random_weights_of_the_same_seed() -> None:
    dice: dict[str, list[float | None]] = {"scratch": [0.1, None, 0.3], "a": [0.2, 0.9, 0.5]}
    row = found_for(dice, [source("a")])["targets"][0]["rows"][1]
    assert row["gain_by_seed"] == pytest.approx({"0": 0.1, "2": 0.2})
    assert row["gain"]["value"] == pytest.approx(0.15)
    assert row["dice"]["count"] == 3


def test_curves_and_rates_of_lesions_are_means_over_seeds_at_each_threshold() -> None:
    def curve(*points: tuple[float, float, float]) -> list[dict[str, float]]:
        keys = ("threshold", "sensitivity", "false_positives_per_image")
        return [dict(zip(keys, point, strict=True)) for point in points]

    rates = [dict.fromkeys(("sensitivity", "precision", "f1", "false_positives_per_image"), v) for v in (0.2, 0.6)]
    curves = [curve((0.9, 0.2, 0.0), (0.5, 0.6, 1.0)), curve((0.9, 0.4, 1.0), (0.5, 1.0, 4.0))]
    metrics = {
        f"finetune-t-from-scratch-s{seed}": figures_of(0.5, detection=rates[seed], free_response=curves[seed])
        for seed in (0, 1)
    }
    settings = TransferSettings((source("a"),), (TargetSettings("t", "brain", "t", lesions=True),), seeds=(0, 1))
    found = findings(TransferPlan(settings, TrainingConfig(), Path()), metrics, {"finetune-t-from-a-s0": "it broke"})
    row = found["targets"][0]["rows"][0]
    assert row["free_response"] == [
        pytest.approx({"threshold": 0.9, "sensitivity": 0.3, "false_positives_per_image": 0.5}),
        pytest.approx({"threshold": 0.5, "sensitivity": 0.8, "false_positives_per_image": 2.5}),
    ]
    assert {rate: figure["value"] for rate, figure in row["detection"].items()} == pytest.approx(
        dict.fromkeys(("sensitivity", "precision", "f1", "false_positives_per_image"), 0.4)
    )
    assert found["targets"][0]["not_measured"] == ["a"]
    assert found["failures"] == {"finetune-t-from-a-s0": "it broke"}


@pytest.mark.parametrize(
    "task, domain, matched",
    [("segmentation", "brain", True), ("segmentation", "heart", False), ("self-supervised", "brain", False)],
)
def test_matched_is_segmentation_in_the_target_s_domain(task: SourceTask, domain: str, matched: bool) -> None:
    assert is_matched(source("a", domain, task), TargetSettings("t", "brain", "t")) is matched


def test_the_map_stars_gains_that_differ_from_0_whatever_their_number_and_frames_matched_sources() -> None:
    dice: dict[str, list[float | None]] = {
        "scratch": [0.3] * 3, "good": [0.41, 0.40, 0.39], "worse": [0.19, 0.2, 0.21], "unsure": [0.2, 0.4, 0.36],
        # Alone this one would be sure (p = 0.026), among four it is not.
        "lucky": [0.36, 0.42, 0.42],
    }  # fmt: skip
    found = found_for(dice, [source("good", "brain"), source("worse"), source("unsure"), source("lucky")])
    (axes, _) = gain_map(found["targets"]).axes
    assert [text.get_text() for text in axes.texts] == ["+10.0*", "-10.0*", "+2.0", "+10.0"]
    assert [round(patch.get_y() + 0.44) for patch in axes.patches] == [0]  # type: ignore[attr-defined]
