"""Which cases are shown, and what their pictures show."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.multi_task.case_picture import ARM_COLOURS, TRUTH_COLOUR, Panel, case_figure, may_be_published
from trainer.multi_task.measurement import FOREGROUND
from trainer.multi_task.settings import ArmSettings, MultiTaskSettings
from trainer.multi_task.shown_case import case_dice, compared_runs, shown_cases
from trainer.report.report import png_bytes


def case(name: str, dice: float | None, foreground: float | None = None) -> dict[str, Any]:
    own = {} if dice is None and foreground is not None else {"a": {"dice": dice}}
    return {"case": name, "labels": 1, "structures": {**own, FOREGROUND: {"dice": foreground or dice}}}


def test_cases_without_a_label_in_truth_and_result_are_not_shown() -> None:
    assert shown_cases([case("a", None), case("b", None)]) == {}
    assert shown_cases([case("a", None), case("b", 0.5)]) == {"best": "b"}
    assert shown_cases([case("a", 0.7), case("b", 0.5)]) == {"best": "a", "worst": "b"}


def test_of_a_head_that_all_tasks_share_all_labels_count_as_one() -> None:
    shared = {"labels": 2, "structures": {"foreground": {"dice": 0.3}, FOREGROUND: {"dice": 0.4}}}
    assert case_dice(shared) == 0.4
    assert case_dice(case("a", 0.6, 0.9)) == 0.6


def test_the_runs_with_most_labels_that_both_arms_have_are_compared() -> None:
    arms = (ArmSettings("dedicated", "dedicated"), ArmSettings("joint", "joint"))
    settings = MultiTaskSettings(("A", "B"), labelled_groups=(5, 20, 0), seeds=(0, 1), arms=arms)
    design: Any = SimpleNamespace(run_of=lambda arm, name, count, seed: f"{arm.name}.{count}.{seed}")
    done = {f"{arm}.{count}.{seed}": {} for arm in ("dedicated", "joint") for count in (5, 20) for seed in (0, 1)}
    del done["joint.20.0"]
    # All labels are not there yet, and of 20 one run has failed for the first seed.
    found = compared_runs(design, settings, "A", done)
    assert found is not None
    assert (found.labelled_groups, found.seed) == (20, 1)
    assert list(found.runs) == ["dedicated", "joint"]
    assert compared_runs(design, settings, "A", {}) is None


def pixels_of(figure: Any, colour: str) -> int:
    """How many pixels of the upper part (the images) have about a colour."""
    picture = imread(io.BytesIO(png_bytes(figure)), format="png")[..., :3]
    wanted = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    upper = picture[: int(0.85 * len(picture))]
    return int((np.abs(upper - wanted).max(axis=-1) < 0.08).sum())


def test_truth_and_both_results_have_an_outline_each_in_the_slice_with_most_of_the_truth() -> None:
    volume = Volume(np.random.default_rng(0).random((3, 40, 40), dtype=np.float32), np.diag([1.0, 1, 5, 1]))
    truth, own, other, none = (np.zeros((3, 40, 40), dtype=np.uint8) for _ in range(4))
    truth[1, 5:30, 5:30], own[1, 8:25, 8:25], other[1, 10:20, 10:20] = 1, 1, 2
    truth[2, 5:7, 5:7] = 1
    figure = case_figure([Panel("best", volume, truth, {"dedicated": own, "joint": other})], ["dedicated", "joint"])
    for colour in (TRUTH_COLOUR, *ARM_COLOURS):
        assert pixels_of(figure, colour) > 50
    # What lies in another slice is not drawn.
    moved = case_figure(
        [Panel("best", volume, truth, {"dedicated": np.roll(own, 1, axis=0), "joint": none})], ["dedicated", "joint"]
    )
    assert pixels_of(moved, ARM_COLOURS[0]) == 0


@pytest.mark.parametrize("shape", [(1, 60, 30), (1, 30, 60)])
def test_no_title_is_cut_off_whatever_the_proportions_of_the_image(shape: tuple[int, int, int]) -> None:
    volume = Volume(np.ones(shape, dtype=np.float32), np.eye(4))
    nothing = np.zeros(shape, dtype=np.uint8)
    figure = case_figure([Panel("best\na 0.1\nb 0.2", volume, nothing, {"a": nothing, "b": nothing})], ["a", "b"])
    picture = imread(io.BytesIO(png_bytes(figure)), format="png")[..., :3]
    # White above the title, and below the legend.
    assert (picture[0] == 1).all()
    assert (picture[-1] == 1).all()
    (axes,) = figure.axes
    box = axes.title.get_window_extent(figure.canvas.get_renderer())  # type: ignore[attr-defined]
    assert box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("licence", "may_use", "permitted"),
    [
        ("CC BY 4.0", True, True),
        ("CC0", True, True),
        ("CC BY-SA 4.0 (MSD)", True, True),
        ("CC BY 4.0", False, False),
        ("CC BY 4.0", None, False),
        ("CC BY-NC-SA 4.0", True, False),
        ("CC BY-ND 4.0", True, False),
        ("not stated", True, False),
    ],
)
def test_pictures_may_be_published_only_where_the_terms_permit_it(
    licence: str, may_use: bool | None, permitted: bool
) -> None:
    info = {"licence": licence} | ({} if may_use is None else {"released_weights_may_use": may_use})
    dataset: Any = SimpleNamespace(name="Dataset001_A", info=info, directory=Path("Dataset001_A"))
    assert may_be_published(dataset) is permitted
