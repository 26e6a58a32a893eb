"""Figures, differences and the claim of a multi-task experiment, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.metrics.interval import PatientDraws
from trainer.multi_task.cell import FIGURES, Cell, figure, make_cell
from trainer.multi_task.findings import Draws, _bar, _differences, _p_value
from trainer.multi_task.foreign import auroc
from trainer.multi_task.measurement import FOREGROUND
from trainer.uncertainty.reliability import BINS

NAN = float("nan")


def agreement(dice: float | None, hausdorff95: float | None = 2.0) -> dict[str, float | None]:
    return {"dice": dice, "hausdorff95": hausdorff95, "assd": hausdorff95, "surface_dice": dice}


def case(
    group: str, dice: dict[str, float | None], score: float = 0.5, labels: int = 2, lesions: tuple[int, ...] = ()
) -> dict[str, Any]:
    """One measured case; the ring has ten voxels of probability .35, of which three are foreground."""
    table = np.zeros((3, 3, BINS))
    table[:, :, 3] = [10, 3.5, 3]
    measured = {
        "case": f"{group}_case", "group": group, "labels": labels, "unit": "mm", "score": score, "voxels": 1000,
        "structures": {name: agreement(value) for name, value in dice.items()} | {FOREGROUND: agreement(0.9)},
        "reliability": table.tolist(),
    }  # fmt: skip
    keys = ("lesions", "detected", "candidates", "true_candidates")
    return measured | ({"lesions": dict(zip(keys, lesions, strict=True))} if lesions else {})


def cell_of(by_seed: dict[int, list[dict[str, Any]]], foreign: list[float] | None = None) -> Cell:
    return make_cell({s: {"datasets": {"D": cases}, "foreign": foreign or []} for s, cases in by_seed.items()}, "D")


def once(cell: Cell, name: str) -> list[float]:
    return [float(value) for value in figure(cell, name, np.ones((1, len(cell.groups))))[0]]


def test_dice_is_the_mean_over_labels_and_cases_and_what_is_in_neither_is_left_out() -> None:
    cell = cell_of({0: [case("p", {"a": 0.8, "b": 0.4}), case("q", {"a": 0.9, "b": None})]})
    assert once(cell, "dice") == pytest.approx([(0.6 + 0.9) / 2])
    assert once(cell, "foreground_dice") == pytest.approx([0.9])


def test_a_patient_who_is_drawn_twice_counts_twice() -> None:
    cell = cell_of({0: [case("p", {"a": 0.8}), case("q", {"a": 0.2})]})
    assert figure(cell, "dice", np.array([[2.0, 0.0], [1.0, 3.0]]))[:, 0] == pytest.approx([0.8, 0.35])


def test_of_a_network_that_tells_foreground_alone_labels_are_measured_only_where_there_is_one() -> None:
    assert np.isnan(once(cell_of({0: [case("p", {}, labels=2)]}), "dice")[0])
    assert once(cell_of({0: [case("p", {}, labels=1)]}), "dice") == pytest.approx([0.9])


def test_calibration_errors_are_of_all_cases_together_and_lesions_are_counted_over_images() -> None:
    cell = cell_of({0: [case("p", {"a": 0.5}, lesions=(2, 1, 3, 1)), case("q", {"a": 0.5}, lesions=(2, 2, 1, 1))]})
    # |7 - 6| of 20 voxels.
    for name in ("ece", "ring_ece", "predicted_ring_ece", "ring_mce"):
        assert once(cell, name) == pytest.approx([0.05])
    assert once(cell, "lesion_sensitivity") == pytest.approx([0.75])
    # Precision 2 of 4.
    assert once(cell, "lesion_f1") == pytest.approx([2 * 0.75 * 0.5 / 1.25])


def test_where_nothing_is_marked_f1_is_zero_and_without_lesions_there_is_none() -> None:
    assert once(cell_of({0: [case("p", {"a": 0.5}, lesions=(2, 0, 0, 0))]}), "lesion_f1") == [0.0]
    assert np.isnan(once(cell_of({0: [case("p", {"a": 0.5}, lesions=(0, 0, 2, 0))]}), "lesion_f1")[0])
    assert np.isnan(once(cell_of({0: [case("p", {"a": 0.5})]}), "lesion_f1")[0])


def test_the_auroc_of_cases_is_that_of_all_pairs() -> None:
    known, foreign = [0.5, 2.0, 0.9], [0.9, 1.5, 3.0]
    cell = cell_of({0: [case(str(n), {"a": 0.5}, score) for n, score in enumerate(known)]}, foreign)
    pairs = [(f > k) + 0.5 * (f == k) for k in known for f in foreign]
    assert once(cell, "auroc") == pytest.approx([np.mean(pairs)])
    assert auroc(known, foreign) == pytest.approx(np.mean(pairs))
    assert np.isnan(auroc(known, []))


def test_errors_that_are_smaller_are_ahead_and_seeds_that_only_one_has_are_left_out() -> None:
    better = cell_of({0: [case("p", {"a": 0.8}), case("q", {"a": 0.6})], 1: [case("p", {"a": 0.1})] * 2})
    worse = cell_of({0: [case("p", {"a": 0.7}), case("q", {"a": 0.6})]})
    pairs = {"D": (better.of_seeds([0]), worse)}
    found = _differences(pairs, draws(["p", "q"]), "dice")
    assert found["by_dataset"]["D"]["value"] == pytest.approx(0.05)
    assert (found["not_worse"], found["compared"]) == (1, 1)
    farther = Cell(worse.seeds, worse.groups, {**worse.values, "hausdorff95": worse.values["hausdorff95"] + 1},
                   worse.tables, worse.counts, "mm")  # fmt: skip
    assert _differences({"D": (worse, farther)}, draws(["p", "q"]), "hausdorff95")["mean"] == pytest.approx(1.0)


def draws(patients: list[str], seeds: tuple[int, ...] = (0,)) -> Draws:
    rng = np.random.default_rng(0)
    return Draws(PatientDraws(patients, rng, 500), np.ones((500, len(seeds))), seeds)


def test_an_interval_of_a_difference_is_paired() -> None:
    rng = np.random.default_rng(1)
    level = rng.uniform(0.2, 0.9, 12)
    one, other = (cell_of({0: [case(f"p{n}", {"a": value}) for n, value in enumerate(level + lead)]})
                  for lead in (0.05, 0.0))  # fmt: skip
    found = _differences({"D": (one, other)}, draws([f"p{n}" for n in range(12)]), "dice")["by_dataset"]["D"]
    # Patients differ by far more than the arms; each patient's difference is the same.
    assert found["value"] == pytest.approx(0.05)
    assert found["interval"] is None or found["interval"] == pytest.approx([0.05, 0.05])
    assert found["p"] == pytest.approx(2 * 0.5**12)


def test_without_a_difference_there_is_no_p_value_and_of_one_patient_none_either() -> None:
    same = cell_of({0: [case("p", {"a": 0.8}), case("q", {"a": 0.6})]})
    assert _p_value(same, same, "dice") is None
    assert _p_value(same, same, "ring_ece") is None
    first, second = (cell_of({0: [case("p", {"a": value})]}) for value in (0.4, 0.6))
    assert _p_value(first, second, "dice") is None


def test_cases_of_one_patient_are_one_observation_of_the_test() -> None:
    first, second = (cell_of({0: [case(f"p{n % 3}", {"a": lead + n / 20}) for n in range(9)]}) for lead in (0.3, 0.2))
    assert _p_value(first, second, "dice") == pytest.approx(2 * 0.5**3)


def test_p_values_are_corrected_for_the_number_of_datasets() -> None:
    people = [f"p{n}" for n in range(8)]
    first, second = (cell_of({0: [case(p, {"a": lead + n / 30}) for n, p in enumerate(people)]}) for lead in (0.3, 0.2))
    found = _differences({"D": (first, second), "E": (first, second)}, draws(people), "dice")["by_dataset"]
    assert found["D"]["p_corrected"] == pytest.approx(2 * found["D"]["p"])


@pytest.mark.parametrize(("not_worse", "compared", "met"), [(3, 4, True), (2, 4, False), (0, 0, False)])
def test_the_bar_is_a_share_of_the_datasets_and_is_not_met_where_nothing_was_compared(
    not_worse: int, compared: int, met: bool
) -> None:
    one = {"arm": "joint", "figures": {"dice": {"not_worse": not_worse, "compared": compared}}}
    assert _bar([one], "joint", "dice", 0.75)["met"] is met
    assert not _bar([], "joint", "dice", 0.75)["met"]


def test_every_figure_can_be_drawn() -> None:
    cell = cell_of(
        {0: [case("p", {"a": 0.8}), case("q", {"a": 0.6})], 1: [case("p", {"a": 0.7}), case("q", {"a": 0.5})]}
    )
    for name in FIGURES:
        assert figure(cell, name, np.ones((5, 2))).shape == (5, 2)
    assert np.isnan(once(cell, "auroc")).all()
