"""Figures, differences and the claim of a multi-task experiment, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trainer.metrics.interval import PatientDraws
from trainer.multi_task.cell import FIGURES, Cell, figure, make_cell, patients_of
from trainer.multi_task.figures import forest_plot, gain_by_labels, reliability_diagram
from trainer.multi_task.findings import _bar, _differences, _figures, _p_value
from trainer.multi_task.foreign import auroc
from trainer.multi_task.interval import interval_over_patients_and_seeds
from trainer.multi_task.measurement import FOREGROUND
from trainer.multi_task.wording import SUMMARY, empty_sentences, shortage_sentences, summary_rows, verdict_sentence
from trainer.uncertainty.reliability import BINS

NAN = float("nan")


def agreement(dice: float | None, hausdorff95: float | None = 2.0) -> dict[str, float | None]:
    return {"dice": dice, "hausdorff95": hausdorff95, "assd": hausdorff95, "surface_dice": dice}


def case(
    group: str, dice: dict[str, float | None], score: float = 0.5, labels: int = 0, lesions: tuple[int, ...] = ()
) -> dict[str, Any]:
    """One measured case; the ring has ten voxels of probability .35, of which three are foreground."""
    table = np.zeros((3, 3, BINS))
    table[:, :, 3] = [10, 3.5, 3]
    measured = {
        "case": f"{group}_case", "group": group, "labels": labels or len(dice), "unit": "mm", "score": score,
        "voxels": 1000,
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
    assert np.isnan(once(cell_of({0: [case("p", {"foreground": 0.9}, labels=2)]}), "dice")[0])
    assert once(cell_of({0: [case("p", {"foreground": 0.9}, labels=1)]}), "dice") == pytest.approx([0.9])


def test_a_label_that_is_called_foreground_counts_like_the_others() -> None:
    cell = cell_of({0: [case("p", {"foreground": 0.2, "b": 0.4})]})
    assert once(cell, "dice") == pytest.approx([0.3])
    assert once(cell, "foreground_dice") == pytest.approx([0.9])


def test_calibration_errors_are_of_all_cases_together_and_lesions_are_counted_over_images() -> None:
    cell = cell_of({0: [case("p", {"a": 0.5}, lesions=(2, 1, 3, 1)), case("q", {"a": 0.5}, lesions=(2, 2, 1, 1))]})
    # |7 - 6| of 20 voxels in bins; of whole images, 2000 with those that are in none.
    for name in ("ring_ece", "predicted_ring_ece", "ring_mce"):
        assert once(cell, name) == pytest.approx([0.05])
    assert once(cell, "ece") == pytest.approx([0.0005])
    assert figure(cell, "ece", np.array([[3.0, 0.0]]))[0] == pytest.approx([1.5 / 3000])
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


def test_scores_of_a_network_that_checks_nothing_have_no_auroc() -> None:
    # Not 0, which would be the worst of checks.
    assert np.isnan(auroc([NAN], [0.9, 1.5]))
    assert np.isnan(auroc([0.5], [0.9, NAN]))
    assert np.isnan(once(cell_of({0: [case("p", {"a": 0.5}, NAN)]}, [0.9]), "auroc")[0])


def test_errors_that_are_smaller_are_ahead_and_seeds_that_only_one_has_are_left_out() -> None:
    better = cell_of({0: [case("p", {"a": 0.8}), case("q", {"a": 0.6})], 1: [case("p", {"a": 0.1})] * 2})
    worse = cell_of({0: [case("p", {"a": 0.7}), case("q", {"a": 0.6})]})
    pairs = {"D": (better.of_seeds([0]), worse)}
    found = _differences(pairs, draws(["p", "q"]), "dice")
    assert found["by_dataset"]["D"]["value"] == pytest.approx(0.05)
    assert (found["not_worse"], found["compared"]) == (1, 1)
    farther = Cell(worse.seeds, worse.groups, {**worse.values, "hausdorff95": worse.values["hausdorff95"] + 1},
                   worse.tables, worse.voxels, worse.counts, "mm")  # fmt: skip
    assert _differences({"D": (worse, farther)}, draws(["p", "q"]), "hausdorff95")["mean"] == pytest.approx(1.0)


def test_distances_of_two_arms_are_compared_where_both_have_a_label() -> None:
    """The second misses what is hard, in one case as a whole: that must not make it nearer."""

    def far(**distances: float | None) -> dict[str, Any]:
        measured = case("p", {}, labels=2)
        measured["structures"] |= {name: agreement(0.5, value) for name, value in distances.items()}
        return measured

    complete = cell_of({0: [far(a=1.0, b=9.0), far(a=1.0, b=1.0)]})
    missing = cell_of({0: [far(a=1.0, b=None), far(a=None, b=None)]})
    for name in ("hausdorff95", "assd"):
        assert once(complete, name) == pytest.approx([3.0])
        found = _differences({"D": (missing, complete)}, draws(["p"]), name)["by_dataset"]["D"]
        assert found["value"] == pytest.approx(0.0)
        assert found["p"] is None


def test_a_difference_is_of_the_seeds_in_which_both_have_the_figure() -> None:
    own = cell_of({0: [case("p", {"a": 0.5, "b": 0.5})], 1: [case("p", {"a": 0.9, "b": 0.9})]})
    other = cell_of({0: [case("p", {"a": 0.4, "b": 0.4})], 1: [case("p", {"a": None, "b": None})]})
    assert _differences({"D": (own, other)}, draws(["p"]), "dice")["mean"] == pytest.approx(0.1)


def draws(patients: list[str]) -> PatientDraws:
    return PatientDraws(patients, np.random.default_rng(0), 500)


def test_limits_of_patients_and_of_seeds_are_put_together_in_quadrature() -> None:
    by_seed = np.array([0.1, 0.2, 0.3])
    rounds = np.random.default_rng(0).normal(0.2, 0.05, (4000, 1)).repeat(3, axis=1)
    patients = interval_over_patients_and_seeds(by_seed[[1, 1, 1]], rounds, 10**6)
    both = interval_over_patients_and_seeds(by_seed, rounds, 10**6)
    assert patients is not None
    assert both is not None
    student = 4.3027 * 0.1 / 3**0.5
    for limit, alone in zip(both, patients, strict=True):
        assert abs(limit - 0.2) == pytest.approx(np.hypot(alone - 0.2, student), rel=1e-4)
    assert interval_over_patients_and_seeds(by_seed, rounds, 10**6, (0.0, 0.3)) == [0.0, 0.3]


def test_intervals_hold_the_true_difference_as_often_as_they_say_where_seeds_matter_most() -> None:
    rng = np.random.default_rng(3)
    people = [f"p{n}" for n in range(30)]
    weights = PatientDraws(people, np.random.default_rng(0), 400).weights(people)
    held = []
    for _ in range(400):
        leads = 0.03 + rng.normal(0, 0.05, 30) + rng.normal(0, 0.03, (3, 1)) + rng.normal(0, 0.02, (3, 30))
        limits = interval_over_patients_and_seeds(leads.mean(axis=1), weights @ leads.T / 30, len(people))
        assert limits is not None
        held.append(limits[0] <= 0.03 <= limits[1])
    # A bootstrap of three seeds holds it in 88 %.
    assert np.mean(held) > 0.93


def test_of_fewer_seeds_in_one_dataset_the_mean_has_no_interval() -> None:
    people = [f"p{n}" for n in range(6)]
    one = [case(p, {"a": 0.3 + n / 20}) for n, p in enumerate(people)]
    two = [case(p, {"a": 0.3 + n / 30}) for n, p in enumerate(people)]
    whole, part = (cell_of({0: one, 1: two}), cell_of({0: two, 1: two})), (cell_of({0: one}), cell_of({0: two}))
    assert _differences({"D": whole, "E": whole}, draws(people), "dice")["interval"] is not None
    assert _differences({"D": whole, "E": part}, draws(people), "dice")["interval"] is None


def test_of_other_seeds_in_one_dataset_the_mean_has_no_interval_however_many_they_are() -> None:
    people = [f"p{n}" for n in range(6)]

    def ahead(**by_seed: float | None) -> tuple[Cell, Cell]:
        """With a lead in each of the seeds; None: ours has no figure there."""
        leads = {int(seed[1:]): lead for seed, lead in by_seed.items()}
        own, other = (
            {s: [case(p, {"a": None if lead is None else 0.3 + n / 40 + sign * lead}) for n, p in enumerate(people)]
             for s, lead in leads.items()}
            for sign in (1, 0)
        )  # fmt: skip
        return cell_of(own), cell_of(other)

    first = ahead(s0=0.1, s1=0.3)
    assert _differences({"D": first, "E": ahead(s0=0.2, s1=0.3)}, draws(people), "dice")["interval"] is not None
    # A lead of seed 0 is not one of seed 2: means over datasets would be of no seed at all.
    found = _differences({"D": first, "E": ahead(s1=0.1, s2=0.3)}, draws(people), "dice")
    assert (found["mean"], found["interval"]) == (pytest.approx(0.2), None)
    # Where a seed has no figure, the interval would be of one seed and lie beside the mean.
    found = _differences({"D": first, "E": ahead(s0=0.4, s1=None)}, draws(people), "dice")
    assert (found["mean"], found["interval"]) == (pytest.approx(0.3), None)


def test_an_interval_is_as_wide_as_the_patients_ask_who_have_the_figure() -> None:
    """Few patients ask for more of the draws: those without the figure are none of them."""
    far = [case(f"p{n}", {"a": 0.5}) for n in range(40)]
    for one in far:
        one["structures"]["a"] = agreement(
            0.5, 1.0 + int(one["group"][1:]) if one["group"] in ("p0", "p1", "p2") else None
        )
    people, cell = [one["group"] for one in far], cell_of({0: far})
    assert patients_of(cell, "dice") == set(people)
    assert patients_of(cell, "hausdorff95") == {"p0", "p1", "p2"}
    # Of three, Student's t asks for the outermost of the draws.
    assert _figures(cell, draws(people))["hausdorff95"]["interval"] == pytest.approx([1.0, 3.0])
    near = cell_of({0: [one | {"structures": one["structures"] | {"a": agreement(0.5, 0.5)}} for one in far]})
    found = _differences({"D": (near, cell)}, draws(people), "hausdorff95")
    assert found["by_dataset"]["D"]["interval"] == pytest.approx([0.5, 2.5])
    assert found["interval"] == pytest.approx([0.5, 2.5])


def test_patients_of_datasets_without_the_figure_do_not_narrow_the_interval_of_the_mean() -> None:
    few, many = [f"p{n}" for n in range(3)], [f"q{n}" for n in range(60)]
    with_lesions = [
        cell_of({0: [case(p, {"a": 0.5}, lesions=(4, found[n], 4, found[n])) for n, p in enumerate(few)]})
        for found in ((4, 3, 1), (1, 1, 1))
    ]
    without = cell_of({0: [case(q, {"a": 0.5}) for q in many]})
    pairs = {"D": (with_lesions[0], with_lesions[1]), "E": (without, without)}
    found = _differences(pairs, draws([*few, *many]), "lesion_sensitivity")
    assert found["interval"] == found["by_dataset"]["D"]["interval"] == pytest.approx([0.0, 0.75])


def test_no_interval_leaves_what_is_possible() -> None:
    cell = cell_of({s: [case(f"p{n}", {"a": 0.999 - s / 2 - n / 99}) for n in range(4)] for s in (0, 1)})
    found = _figures(cell, draws([f"p{n}" for n in range(4)]))
    assert found["dice"]["interval"] == [0.0, 1.0]
    low, high = (
        cell_of({s: [case(f"p{n}", {"a": level + sign * s / 3 + n / 99}) for n in range(4)] for s in (0, 1)})
        for level, sign in ((0.1, 1), (0.9, -1))
    )
    # Two seeds: their Student's t is 12.7.
    lead = _differences({"D": (low, high)}, draws([f"p{n}" for n in range(4)]), "dice")
    assert lead["interval"] == lead["by_dataset"]["D"]["interval"] == [-1.0, 1.0]


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
    assert _bar([one], "joint", "dice", 0.75, 4)["met"] is met
    assert not _bar([], "joint", "dice", 0.75, 4)["met"]


def test_the_bar_is_not_met_by_the_few_datasets_that_could_be_compared() -> None:
    one = {"arm": "joint", "figures": {"dice": {"not_worse": 3, "compared": 3}}}
    bar = _bar([one], "joint", "dice", 0.75, 10)
    assert not bar["met"]
    result = {"ours": "joint", "reference": "dedicated"}
    words = verdict_sentence(result, {"labelled_groups": 5, "bars": [bar], "against_reference": []})
    assert "Dice not worse on 3 of 10 datasets (bar 75 %, not met; 7 not compared)" in words


def test_a_mean_over_some_of_the_datasets_says_so() -> None:
    values = {key: {"value": 0.5} for key in SUMMARY}
    rows = [
        {"arm": "joint", "dataset": "D", **values},
        {"arm": "joint", "dataset": "E", **values, "dice": {"value": None}},
        {"arm": "dedicated", "dataset": "D", **values, "auroc": {"value": None}},
    ]
    result = {"arms": ["joint", "dedicated"], "datasets": {"D": {}, "E": {}}, "compute": {"5": {}}}
    _, (joint, dedicated) = summary_rows(result, {"labelled_groups": 5, "rows": rows, "against_reference": []})
    assert joint[1:3] == ["0.500 (1 of 2)", "0.500"]
    assert dedicated[len(SUMMARY)] is None


def test_every_arm_has_a_curve_however_many_there_are() -> None:
    table = np.full((3, 3, BINS), 30.0).tolist()
    arms = [f"arm{n}" for n in range(11)]
    rows = [{"arm": arm, "dataset": "D", "reliability": table} for arm in arms]
    shown = reliability_diagram([*rows, {"arm": "arm0", "dataset": "E", "reliability": table}], arms)
    _, *curves = shown.axes[0].get_lines()
    # Of means over fewer datasets than others it is said.
    assert [curve.get_label() for curve in curves] == ["arm0", *(f"{arm} (1 of 2)" for arm in arms[1:])]


def test_pictures_of_leads_say_on_how_many_datasets_they_rest() -> None:
    """A shared head is measured on all datasets, and has the Dice of labels on those with one label alone."""
    lead = {"value": 0.1, "interval": None}
    dice = {"by_dataset": {"D": lead, "E": {"value": None, "interval": None}}, "mean": 0.1, "interval": None,
            "compared": 1}  # fmt: skip
    shared = {"arm": "shared", "reference": "dedicated", "datasets": ["D", "E"], "figures": {"dice": dice}}
    whole = {"by_dataset": {"D": lead, "E": lead}, "mean": 0.1, "interval": None, "compared": 2}
    joint = {"arm": "joint", "reference": "dedicated", "datasets": ["D", "E"], "figures": {"dice": whole}}
    regime = {"labelled_groups": 5, "against_reference": [shared, joint], "bars": [{"datasets": 2}]}
    gain = gain_by_labels([regime], "dice", "Dice")
    assert gain.axes[0].get_legend_handles_labels()[1] == ["shared (1 of 2)", "joint"]
    for one, words in ((shared, "mean (1 of 2)"), (joint, "mean of all")):
        rows = forest_plot(one, "dice", "Dice", 2).axes[0].get_yticklabels()
        assert rows[0].get_text() == words


def test_datasets_with_fewer_patients_than_the_number_of_labels_are_named() -> None:
    datasets = {"D": {"groups": 26, "tested_groups": 8}, "E": {"groups": 30, "tested_groups": 10}}
    (words,) = shortage_sentences({"datasets": datasets}, {"labelled_groups": 20})
    assert words == "Fewer than 20 patients are not tested on, and all of these have labels: D (18)."
    # With folds everybody is tested on.
    folded = {"datasets": {"D": {"groups": 26, "tested_groups": 26, "free_groups": 17}}, "folds": 3}
    (words,) = shortage_sentences(folded, {"labelled_groups": 20})
    assert words.startswith("Fewer than 20 patients are there to learn from in every fold, and all of these")
    assert words.endswith(": D (17).")
    for enough in (18, 0):
        assert shortage_sentences({"datasets": datasets}, {"labelled_groups": enough}) == []


def nothing_there(group: str, marks: bool = False) -> dict[str, Any]:
    """A case without any label in the truth: Dice 0 where something is marked, otherwise none."""
    found = case(group, {"a": 0.0 if marks else None})
    found["structures"][FOREGROUND] = agreement(0.0 if marks else None)
    return found


def test_images_without_a_label_in_truth_and_result_are_counted_by_arm_and_said() -> None:
    draws = PatientDraws({"p", "q", "r"}, np.random.default_rng(0), 10)
    careful = cell_of({seed: [case("p", {"a": 0.8}), nothing_there("q"), nothing_there("r")] for seed in (0, 1)})
    marking = cell_of(
        {seed: [case("p", {"a": 0.8}), nothing_there("q", marks=seed == 1), nothing_there("r")] for seed in (0, 1)}
    )
    whole = cell_of({seed: [case(group, {"a": 0.8}) for group in "pqr"] for seed in (0, 1)})
    arms = {"careful": careful, "marking": marking}
    rows = [{"dataset": "D", "arm": arm, **_figures(cell, draws)} for arm, cell in arms.items()]
    assert [row["empty_cases"] for row in rows] == [{"0": 2, "1": 2}, {"0": 2, "1": 1}]
    # The false mark is in the mean of the arm that made it, and in no other.
    assert [row["dice"]["value"] for row in rows] == pytest.approx([0.8, (0.8 + 0.4) / 2])
    rows.append({"dataset": "E", "arm": "careful", **_figures(whole, draws)})
    words = "D, images of all seeds with no label in truth and result, left out of the Dice:"
    assert empty_sentences({"rows": rows}) == [f"{words} careful 4 of 6, marking 3 of 6."]
    older = [{name: value for name, value in row.items() if name != "empty_cases"} for row in rows]
    assert empty_sentences({"rows": older}) == []


def test_every_figure_can_be_drawn() -> None:
    cell = cell_of(
        {0: [case("p", {"a": 0.8}), case("q", {"a": 0.6})], 1: [case("p", {"a": 0.7}), case("q", {"a": 0.5})]}
    )
    for name in FIGURES:
        assert figure(cell, name, np.ones((5, 2))).shape == (5, 2)
    assert np.isnan(once(cell, "auroc")).all()
