"""The benchmark's figures worked out by hand, and limits that no image helped to choose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.ood.catalogue import ARTEFACT, KNOWN, REAL
from trainer.ood.detector.spectral_detector import SHIPPED
from trainer.ood.findings import HARMFUL, SAME_GRID, ImageScores, families_of, summarise
from trainer.ood.page import detector_rows, write_page
from trainer.ood.published import PAGE, publish, published_pages
from trainer.ood.shipped_check import accepted_by_others
from trainer.reference.left_out_score import LeftOutScores


def row(family: str, source: str, group: str, score: float, dice: float | None = None) -> ImageScores:
    task = "A" if family in (KNOWN, ARTEFACT) else ""
    return ImageScores(family, source, f"image of {group}", group, task, "", dice, {"d": score, "worse": -score})


ROWS = [
    row(KNOWN, "A", "a1", 1.0, 0.9),
    row(KNOWN, "A", "a2", 3.0, 0.5),
    row(REAL, "X", "x1", 2.0),
    row(REAL, "Y", "y1", 4.0),
    row(REAL, "Y", "y2", 0.5),
    row(ARTEFACT, "noise", "a1", 5.0, 0.85),
    row(ARTEFACT, "blur", "a1", 0.0, 0.2),
    row(ARTEFACT, "blur", "a2", 2.0, 0.45),
    row(ARTEFACT, "wrong_spacing", "a2", 9.0, 0.1),
    row(ARTEFACT, "cut_off", "a2", 9.0, None),
]


def test_figures_worked_out_by_hand() -> None:
    figures = summarise(ROWS, seed=0)["d"][REAL]
    assert figures["auroc_by_source"] == pytest.approx({"X": 0.5, "Y": 0.5})
    assert figures["auroc"] == pytest.approx(0.5)
    # The limit that keeps 95 % of 1 and 3 is 2.9: X is below, of Y one of two.
    assert figures["fpr95"] == pytest.approx((1 + 0.5) / 2)
    assert figures["images"] == 3


def test_a_detector_that_ranks_the_other_way_round_gets_the_complement() -> None:
    found = summarise(ROWS, seed=0)
    for family in found["d"]:
        assert found["worse"][family]["auroc"] == pytest.approx(1 - found["d"][family]["auroc"])


def test_artefacts_that_change_the_grid_are_told_apart_because_the_header_gives_them_away() -> None:
    assert [r.source for r in families_of(ROWS)[SAME_GRID]] == ["noise", "blur", "blur", "cut_off"]


def test_harm_is_a_fall_of_the_dice_against_the_same_image_unspoilt() -> None:
    # 0.9 -> 0.2 and 0.5 -> 0.1 are harmful; 0.9 -> 0.85 and 0.5 -> 0.45 are not; without truth nothing can be said.
    assert [(r.source, r.group) for r in families_of(ROWS)[HARMFUL]] == [("blur", "a1"), ("wrong_spacing", "a2")]


def test_families_without_an_image_have_no_figures() -> None:
    assert set(summarise(ROWS[:5], seed=0)["d"]) == {REAL}


def test_no_image_helps_to_choose_the_limit_that_judges_its_own_patient() -> None:
    logs = np.array([0.0, 0.1, -0.1, 0.05, 50.0, 60.0])
    groups = ("a", "b", "c", "d", "e", "e")
    scores = LeftOutScores(logs, np.zeros(6, dtype=np.int64), groups, np.ones(6, dtype=bool))
    kept = accepted_by_others(scores, [(group, 0, float(np.exp(log))) for group, log in zip(groups, logs, strict=True)])
    # Were its patient's own two scores part of the fit, the limit would lie far above 60.
    np.testing.assert_array_equal(kept[4:], [False, False])
    assert kept[:4].all()


WITHIN_TASKS = {
    "Dataset1_Heart": {"patients": 2, "mean_p_value": 0.25, "distance": 0.5, "p": 0.0125},
    "Dataset2_Head": {"patients": 1, "mean_p_value": None, "distance": None, "p": None},
}
THE_CHECK = {
    "variant": "whitened", "layers": ["encoder0"], "specificity": 0.97, "known_images": 2,
    "recognised": 1.0, "sensitivity": {REAL: 0.9}, "p_value_within_tasks": WITHIN_TASKS,
    "limits": {"Dataset1_Heart": 1.5},
    "false_alarms": {
        "rate": 0.05, "interval": [0.01, 0.15], "images": 40, "patients": 30,
        "by_task": {"Dataset1_Heart": {"rate": 0.125, "interval": [0.02, 0.35], "images": 16, "patients": 14}},
    },
}  # fmt: skip


def whole_text(folder: Path) -> str:
    """All pages that a folder's files give."""
    return "\n".join(published_pages(folder).values())


def test_what_is_published_holds_no_path_and_no_single_image_and_the_page_follows_from_it(tmp_path: Path) -> None:
    result = {
        "model": "tiny",
        "detectors": summarise(ROWS, seed=0),
        "shipped": THE_CHECK,
        "images": [{"name": "secret"}],
    }
    command = ["ood-benchmark", "--in", "some/folder/Dataset1"]
    path, page = publish([result], "Every detector!", command, "abc", tmp_path)
    assert path.name.endswith("-every-detector.json")
    text = path.read_text(encoding="utf-8")
    assert "secret" not in text
    assert "folder" not in text
    assert "Dataset1" in text
    assert page == tmp_path / PAGE
    assert all(
        (tmp_path / name).read_text(encoding="utf-8") == text for name, text in published_pages(tmp_path).items()
    )
    assert "| d | 0.500 (0.75) |" in whole_text(tmp_path)
    assert "97.0 % of 2 known images accepted; flagged: real 90.0 %." in whole_text(tmp_path)


def test_the_page_says_of_each_task_whether_its_p_value_is_uniform_where_that_was_tested(tmp_path: Path) -> None:
    untested = {name: figure for name, figure in THE_CHECK.items() if name != "p_value_within_tasks"}
    models = [
        {"model": "tiny", "detectors": summarise(ROWS, seed=0), "shipped": check} for check in (THE_CHECK, untested)
    ]
    publish(models, "t", [], None, tmp_path)
    page = published_pages(tmp_path)["ood-benchmark-t.md"]
    words = "Mean p-value of a task's images by laws of the other patients: Heart 0.25 (p = 0.013)."
    assert page.count(words) == page.count("p-value of a task's images") == 1


def test_intervals_of_the_shares_are_published_where_they_were_measured(tmp_path: Path) -> None:
    shipped = THE_CHECK | {"specificity_interval": [0.9, 1.0], "sensitivity_interval": {REAL: [0.75, 0.96]}}
    publish([{"model": "tiny", "detectors": summarise(ROWS, seed=0), "shipped": shipped}], "t", [], None, tmp_path)
    words = "97.0 % (90 to 100) of 2 known images accepted; flagged: real 90.0 % (75 to 96)."
    assert words in whole_text(tmp_path)


def test_several_models_are_summed_up_by_mean_and_range(tmp_path: Path) -> None:
    first = {"model": "one", "detectors": summarise(ROWS, seed=0), "shipped": THE_CHECK}
    better = [*ROWS[:2], row(REAL, "X", "x1", 9.0), row(REAL, "Y", "y1", 9.0)]
    second = {"model": "two", "detectors": summarise(better, seed=0), "shipped": THE_CHECK}
    first["detectors"] = {name: {REAL: figures[REAL]} for name, figures in first["detectors"].items()}
    publish([first, second], "seeds", [], None, tmp_path)
    assert "| d | 0.750 (0.500 to 1.000) |" in whole_text(tmp_path)


def test_the_published_page_of_this_repository_is_that_of_its_figures() -> None:
    folder = Path(__file__).parents[3] / "docs" / "results"
    pages = published_pages(folder)
    assert {path.name for path in folder.glob("ood-benchmark*.md")} == set(pages)
    assert all((folder / name).read_text(encoding="utf-8") == text for name, text in pages.items())


def test_the_page_shows_every_detector_and_family_and_the_shipped_check(tmp_path: Path) -> None:
    detectors = summarise(ROWS, seed=0)
    write_page([{"model": "tiny", "detectors": detectors, "shipped": THE_CHECK}], tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "tiny" in page
    assert "0.97" in page
    for name in ("worse", REAL, HARMFUL, SAME_GRID):
        assert name in page
    assert page.count("data:image/png") == len(detectors["d"]) + 1


def test_the_table_is_ordered_by_the_mean_over_the_families() -> None:
    detectors = {
        "low": {"f": {"auroc": 0.6, "fpr95": 0.5}, "g": {"auroc": 0.7, "fpr95": 0.25}},
        "high": {"f": {"auroc": 0.5, "fpr95": 1.0}, "g": {"auroc": 0.99, "fpr95": 0.0}},
    }
    assert detector_rows(detectors, ["f", "g"]) == [
        ["high", "0.500 (1.00)", "0.990 (0.00)"],
        ["low", "0.600 (0.50)", "0.700 (0.25)"],
    ]


def test_the_published_page_tells_whether_inserted_patches_and_streaks_are_found(tmp_path: Path) -> None:
    row = {"auroc": 0.75, "control": 0.5, "interval": [0.625, 0.875], "images": 2}
    patch = {"auroc": 0.8125, "control": 0.25, "interval": [0.5, 0.9375], "by_task": {"heart": row}}
    streak = {"auroc": 0.9375, "control": 0.125, "interval": None, "by_task": {}}
    content = {"model": "0123456789abcdef", "patch": patch, "streak": streak}
    (tmp_path / "localisation-2026-01-01-mr3d.json").write_text(json.dumps(content), encoding="utf-8")
    pages = published_pages(tmp_path)
    assert (
        "](ood-benchmark-foreign-places.md), as AUROC per cell: patch 0.81 (mr3d); streak 0.94 (mr3d)." in pages[PAGE]
    )
    page = pages["ood-benchmark-foreign-places.md"]
    assert "## mr3d\n\nModel with SHA-256 `0123456789ab`; figures" in page
    assert "| heart | 0.750 (0.625 to 0.875) | 0.500 |  |  |" in page
    assert "| mean | 0.812 (0.500 to 0.938) | 0.250 | 0.938 | 0.125 |" in page


def test_a_map_that_was_measured_with_an_earlier_model_says_so(tmp_path: Path) -> None:
    row = {"auroc": 0.75, "control": 0.5, "interval": None, "images": 2}
    places = {"model": "0123456789abcdef", "patch": row | {"by_task": {"heart": row}}}
    by_task = {"1_heart": {"patients": 3, "mean_p_value": 0.5, "distance": 0.25, "p": 0.01}, "2_x": {"p": None}}
    tested = {"name": "mr3d", "model": "9" * 16, "commit": "c", "known_images": 3, "p_value_within_tasks": by_task}
    for name, content in (("localisation", places), ("p-value", tested)):
        (tmp_path / f"{name}-2026-01-01-mr3d.json").write_text(json.dumps(content), encoding="utf-8")
    pages = published_pages(tmp_path)
    assert "`0123456789ab`, an earlier one than that of the other figures;" in pages["ood-benchmark-foreign-places.md"]
    assert "](ood-benchmark-p-value.md): in 1 of 1 tasks a departure is found" in pages[PAGE]
    assert "In 1 of 1 tasks they are not uniform: heart." in pages["ood-benchmark-p-value.md"]


def test_models_whose_names_end_alike_have_a_section_each(tmp_path: Path) -> None:
    row = {"auroc": 0.75, "control": 0.5, "interval": None, "images": 2}
    by_task = {"1_heart": {"patients": 3, "mean_p_value": 0.5, "distance": 0.25, "p": 0.01}}
    for name in ("own-net", "another-net"):
        places = {"model": "0" * 16, "patch": row | {"by_task": {"heart": row}}}
        tested = {"name": name, "model": "0" * 16, "commit": "c", "known_images": 3, "p_value_within_tasks": by_task}
        for kind, content in (("localisation", places), ("p-value", tested)):
            (tmp_path / f"{kind}-2026-01-01-{name}.json").write_text(json.dumps(content), encoding="utf-8")
    pages = published_pages(tmp_path)
    for page in ("ood-benchmark-foreign-places.md", "ood-benchmark-p-value.md"):
        assert [line for line in pages[page].splitlines() if line.startswith("## ")] == ["## another-net", "## own-net"]


def test_what_matters_comes_first_and_the_changes_last(tmp_path: Path) -> None:
    shipped = THE_CHECK | {"sensitivity_by_source": {"real: X": 1.0}}
    publish([{"model": "m", "detectors": summarise(ROWS, seed=0), "shipped": shipped}], "All", [], None, tmp_path)
    (tmp_path / "changes-ood-benchmark.json").write_text('{"2026-01-01": ["Something."]}', encoding="utf-8")
    headings = [line for line in published_pages(tmp_path)[PAGE].splitlines() if line.startswith("## ")]
    expected = ["In short", "What the check misses", "What the words mean", "m, beside other detectors", "One by one"]
    assert headings == [f"## {words}" for words in [*expected, "What changed"]]


def test_runs_of_a_later_day_stay_beside_those_that_they_belong_to(tmp_path: Path) -> None:
    for name in ("2026-01-01-b", "2026-01-02-a", "2026-01-03-c"):
        content = {"title": name[-1], "command": [], "commit": None, "models": []}
        (tmp_path / f"ood-benchmark-{name}.json").write_text(json.dumps(content), encoding="utf-8")
    page = published_pages(tmp_path)[PAGE]
    assert page.index("[a]") < page.index("[b]") < page.index("[c]")


def contest(rng: np.random.Generator) -> list[ImageScores]:
    """The shipped detector, its equal on another scale, its opposite, and one that is a little worse."""
    rows = []
    for number in range(60):
        family, source = (KNOWN, "A") if number < 30 else (REAL, "X")
        score = float(rng.normal(0 if number < 30 else 2))
        scores = {
            SHIPPED: score,
            "equal": 3 * score + 1,
            "opposite": -score,
            "worse": score + float(rng.normal(0, 0.5)),
        }
        rows.append(ImageScores(family, source, f"{number}", f"{number}", "", "", None, scores))
    return rows


def test_the_lead_of_the_shipped_detector_is_paired() -> None:
    found = {name: figures[REAL] for name, figures in summarise(contest(np.random.default_rng(0)), seed=1).items()}
    for name in (SHIPPED, "equal"):
        assert found[name]["lead_of_shipped"] == 0
        # That two detectors agree on every image here is no proof that they always do: a point is no interval.
        assert found[name]["lead_interval"] is None
    assert found["opposite"]["lead_of_shipped"] == pytest.approx(2 * found[SHIPPED]["auroc"] - 1)
    low, high = found[SHIPPED]["auroc_interval"]
    assert found["opposite"]["lead_interval"] == pytest.approx((2 * low - 1, 2 * high - 1))
    # Both share the luck of the draw, so their difference varies less than either.
    low, high = found["worse"]["lead_interval"]
    assert low < found["worse"]["lead_of_shipped"] < high
    assert high - low < found["worse"]["auroc_interval"][1] - found["worse"]["auroc_interval"][0]


def test_nothing_is_said_of_a_lead_where_the_shipped_detector_was_not_measured() -> None:
    assert "lead_of_shipped" not in summarise(ROWS, seed=0)["d"][REAL]


def test_the_same_patients_are_drawn_for_known_and_spoilt_images_of_every_kind() -> None:
    # A patient's level is in all his images. Drawn together it cancels, and every round says the same.
    levels = np.linspace(-3, 3, 12)
    rows = [row(KNOWN, "A", f"a{n}", float(level)) for n, level in enumerate(levels)]
    kinds = [row(ARTEFACT, kind, f"a{n}", float(level)) for kind in ("noise", "blur") for n, level in enumerate(levels)]
    found = summarise([*rows, *kinds], seed=0)["d"][ARTEFACT]
    assert found["auroc"] == 0.5
    assert found["auroc_interval"] is None
    other = [row(REAL, "X", f"b{n}", float(level)) for n, level in enumerate(levels)]
    low, high = summarise([*rows, *other], seed=0)["d"][REAL]["auroc_interval"]
    assert low < 0.4 < 0.6 < high


def test_a_patient_of_two_tasks_is_one_patient() -> None:
    foreign = [row(REAL, "X", f"x{n}", float(n) / 3) for n in range(10)]

    def interval(second: str) -> list[float]:
        known = [row(KNOWN, "A", f"a{n}", float(n)) for n in range(6)]
        again = [replace(row(KNOWN, "B", f"{second}{n}", float(n)), task="B") for n in range(6)]
        between: list[float] = summarise([*known, *again, *foreign], seed=0)["d"][REAL]["auroc_interval"]
        return between

    same, others = interval("a"), interval("b")
    assert same[1] - same[0] > others[1] - others[0]


def test_the_page_tells_the_lead_where_it_was_measured(tmp_path: Path) -> None:
    result = {"model": "m", "detectors": summarise(contest(np.random.default_rng(0)), seed=1), "shipped": THE_CHECK}
    publish([result], "contest", ["ood-benchmark"], "abc", tmp_path)
    text = whole_text(tmp_path)
    lead, (low, high) = (result["detectors"]["opposite"][REAL][key] for key in ("lead_of_shipped", "lead_interval"))
    assert f"| opposite | {lead:+.3f} ({low:+.3f} to {high:+.3f}) |" in text
    assert f"By how much `{SHIPPED}` is ahead" in text


def test_a_lead_without_an_interval_is_published_without_one(tmp_path: Path) -> None:
    detectors = summarise(contest(np.random.default_rng(0)), seed=1)
    for figures in detectors.values():
        figures[REAL]["lead_interval"] = None
    result = {"model": "m", "detectors": detectors, "shipped": THE_CHECK}
    publish([result], "contest", ["ood-benchmark"], "abc", tmp_path)
    text = whole_text(tmp_path)
    assert f"By how much `{SHIPPED}` is ahead: difference of the mean AUROC.\n" in text
    assert f"| opposite | {detectors['opposite'][REAL]['lead_of_shipped']:+.3f} |" in text


def test_the_summary_says_what_the_check_misses_the_most_missed_first(tmp_path: Path) -> None:
    shares = {"artefact: blur": 0.75, "real: X": 1.0, "artefact: motion": 0.25}
    shipped = THE_CHECK | {
        "sensitivity_by_source": shares,
        "sensitivity_interval_by_source": {"artefact: motion": [0.125, 0.5]},
    }
    result = {"model": "tiny", "detectors": summarise(ROWS, seed=0), "shipped": shipped}
    publish([result], "All detectors, 2-D", [], None, tmp_path)
    lines = published_pages(tmp_path)[PAGE].splitlines()
    table = lines[lines.index("| Kind | tiny |") + 2 :][:3]
    assert table == ["| artefact: motion | 25.0 % (12 to 50) |", "| artefact: blur | 75.0 % |", "| real: X | 100.0 % |"]


def test_a_measurement_made_again_takes_the_page_of_the_earlier_one(tmp_path: Path) -> None:
    for day, share in (("2026-01-01", 0.25), ("2026-01-02", 0.75)):
        model = {"model": "tiny", "detectors": summarise(ROWS, seed=0), "shipped": THE_CHECK | {"specificity": share}}
        content = {"title": "All detectors", "command": [], "commit": day, "models": [model]}
        (tmp_path / f"ood-benchmark-{day}-all-detectors.json").write_text(json.dumps(content), encoding="utf-8")
    pages = published_pages(tmp_path)
    assert list(pages) == [PAGE, "ood-benchmark-all-detectors.md"]
    assert all("75.0 % of 2 known images" in text and "25.0 %" not in text for text in pages.values())


def test_a_title_of_other_models_or_one_that_is_spelt_alike_does_not_take_the_page(tmp_path: Path) -> None:
    model = {"model": "tiny", "detectors": summarise(ROWS, seed=0), "shipped": THE_CHECK}
    path, _ = publish([model], "All detectors, 2-D", [], None, tmp_path)
    earlier = path.with_name("ood-benchmark-2020-01-02-all-detectors-2-d.json")
    path.rename(earlier)
    for title, name in (("All detectors 2-D", "tiny"), ("All detectors, 2-D", "another")):
        with pytest.raises(UsageError, match="has the file name of another published study: All detectors, 2-D, tiny"):
            publish([model | {"model": name}], title, [], None, tmp_path)
    assert not path.exists()
    publish([model], "All detectors, 2-D", [], None, tmp_path)
    assert path.is_file()
    assert earlier.is_file()


def test_the_summary_is_of_the_measurement_of_all_detectors_and_links_the_others(tmp_path: Path) -> None:
    for title in ("All detectors", "Seeds"):
        publish(
            [{"model": title, "detectors": summarise(ROWS, seed=0), "shipped": THE_CHECK}], title, [], None, tmp_path
        )
    page = published_pages(tmp_path)[PAGE]
    assert "## All detectors, beside other detectors" in page
    assert "## Seeds" not in page
    assert "- [Seeds](ood-benchmark-seeds.md)" in page


def test_what_the_network_adds_to_plain_statistics_is_said_with_its_interval(tmp_path: Path) -> None:
    figures = {"auroc": 0.9, "fpr95": 0.5, "auroc_interval": [0.85, 0.95], "lead_of_shipped": 0.016, "images": 3}
    control = {REAL: figures | {"lead_interval": [-0.002, 0.035]}}
    detectors = {SHIPPED: {REAL: figures | {"lead_interval": None}}, "control: image statistics": control}
    publish([{"model": "m", "detectors": detectors, "shipped": THE_CHECK}], "All detectors", [], None, tmp_path)
    page = published_pages(tmp_path)[PAGE]
    assert "by real +0.016 (-0.002 to +0.035) of the AUROC." in page
    assert f"| {SHIPPED} | 0.900 (0.850 to 0.950) |" in page
