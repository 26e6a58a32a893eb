"""How often the claim is refuted or holds in worlds in which it is known whether it is true."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.transfer.claim import MARGIN, claim
from trainer.transfer.findings import foreseen
from trainer.transfer.publication import PAGE, published_page

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def rows(dice: np.ndarray, matched: int = 1) -> list[dict[str, Any]]:
    """Sources ``(sources, seeds)``, the first of which are segmentation in the target's domain."""
    return [
        {
            "source": f"s{number}",
            "matched": number < matched,
            "dice": {"value": float(np.mean(values))},
            "dice_by_seed": {str(seed): float(value) for seed, value in enumerate(values)},
        }
        for number, values in enumerate(dice)
    ]


def share(
    verdict: str, means: list[float], spread: float, seeds: int = 3, matched: int = 1, worlds: int = 300
) -> float:
    """How often the verdict is reached for sources of these true means."""
    rng = np.random.default_rng(0)
    drawn = np.array(means)[None, :, None] + spread * rng.normal(size=(worlds, len(means), seeds))
    return float(np.mean([claim(rows(world, matched))["verdict"] == verdict for world in drawn]))


@pytest.mark.parametrize("others, seeds", [(1, 3), (6, 3), (6, 5)])
def test_of_equal_sources_hardly_any_refutes_the_claim_by_chance(others: int, seeds: int) -> None:
    # Without a correction six sources refute it in 12 %.
    assert share("refuted", [0.7] * (1 + others), 0.02, seeds) <= 0.045


def test_a_source_that_is_five_points_worse_does_not_hold_for_want_of_certainty() -> None:
    means = [0.25] + [0.30] * 6
    assert share("holds", means, 0.08) <= 0.025
    assert share("undecided", means, 0.08) > 0.9


def test_exactly_at_the_margin_the_claim_holds_in_2_5_percent() -> None:
    assert share("holds", [0.5, 0.5 + MARGIN], 0.02, seeds=5, worlds=1000) == pytest.approx(0.025, abs=0.012)


def test_that_the_best_of_several_matched_sources_was_chosen_does_not_make_the_claim_hold_more_often() -> None:
    assert share("holds", [0.5] * 4 + [0.5 + MARGIN], 0.02, seeds=5, matched=4, worlds=600) <= 0.035


def test_what_is_clear_is_said() -> None:
    assert share("holds", [0.7] + [0.7] * 6, 0.004) > 0.9
    assert share("refuted", [0.5, 0.5, 0.7], 0.01) > 0.9
    assert share("holds", [0.7, 0.5, 0.5], 0.03) > 0.9


def test_a_lead_that_is_certain_but_within_the_margin_does_not_refute() -> None:
    found = claim(rows(np.array([[0.50, 0.51, 0.49], [0.511, 0.52, 0.501]])))
    (compared,) = found["compared"]
    assert compared["p_better"] < 0.001
    assert (compared["better"], compared["within_margin"], found["verdict"]) == (False, True, "holds")


def test_p_values_are_corrected_for_the_number_of_sources() -> None:
    lead = np.array([0.12, 0.10, 0.08])
    base = np.array([0.5, 0.52, 0.48])
    alone = claim(rows(np.stack([base, base + lead])))
    among = claim(rows(np.stack([base, base + lead, *[base - np.array([0.1, 0.12, 0.14])] * 5])))
    assert alone["compared"][0]["p_better"] == pytest.approx(0.0066, abs=2e-4)
    assert among["compared"][0]["p_better"] == pytest.approx(6 * alone["compared"][0]["p_better"])
    assert (alone["verdict"], among["verdict"]) == ("refuted", "undecided")


@pytest.mark.parametrize("path", sorted(RESULTS.glob("transfer-*.json")), ids=lambda path: path.stem)
def test_published_claims_are_judged_by_the_rules_of_today(path: Path) -> None:
    published = json.loads(path.read_text(encoding="utf-8"))
    for target in published["targets"]:
        found = claim(target["rows"])
        assert target["claim"]["verdict"] == found["verdict"]
        assert [c["p_better"] for c in target["claim"]["compared"]] == pytest.approx(
            [c["p_better"] for c in found["compared"]], rel=1e-4
        )
    pairs = published["prediction"]["pairs"]
    for name, said in published["prediction"]["predictors"].items():
        now = foreseen(pairs, name)
        assert said["overall"] == pytest.approx(now["overall"], rel=1e-4)
        assert said["meets_bar"] == now["meets_bar"]


def test_the_published_page_of_this_repository_is_that_of_its_figures() -> None:
    assert (RESULTS / PAGE).read_text(encoding="utf-8") == published_page(RESULTS)
