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
from trainer.multi_task.case_picture import ARM_COLOURS, TRUTH_COLOUR, Panel, _drawn, case_figure, may_be_published
from trainer.multi_task.measurement import FOREGROUND
from trainer.multi_task.settings import ArmSettings, MultiTaskSettings
from trainer.multi_task.shown_case import Compared, compared_runs, dice_by_case, shown_cases
from trainer.multi_task.wording import case_caption
from trainer.report.report import png_bytes


def case(name: str, dice: float | None, foreground: float | None = None) -> dict[str, Any]:
    own = {} if dice is None and foreground is not None else {"a": {"dice": dice}}
    return {"case": name, "labels": 1, "structures": {**own, FOREGROUND: {"dice": foreground or dice}}}


def test_cases_without_a_label_in_truth_and_result_are_not_shown() -> None:
    assert shown_cases({"a": None, "b": None}) == {}
    assert shown_cases({"a": None, "b": 0.5}) == {"best": "b"}
    assert shown_cases({"a": 0.7, "b": 0.5}) == {"best": "a", "worst": "b"}


def test_of_a_head_that_all_tasks_share_all_labels_count_as_one() -> None:
    shared = {"case": "a", "labels": 2, "structures": {"foreground": {"dice": 0.3}, FOREGROUND: {"dice": 0.4}}}
    assert dice_by_case({"shared": [shared]}) == {"a": {"shared": 0.4}}
    assert dice_by_case({"own": [case("a", 0.6, 0.9)]}) == {"a": {"own": 0.6}}
    # Figures of one kind stand side by side.
    found = dice_by_case({"own": [case("a", 0.6, 0.9), case("b", None)], "shared": [shared, case("b", None)]})
    assert found == {"a": {"own": 0.9, "shared": 0.4}, "b": {"own": None, "shared": None}}


def test_a_case_of_which_the_reference_has_no_dice_is_drawn_all_the_same(tmp_path: Path) -> None:
    """Nothing is there and the reference finds nothing, where ours does: of the reference there is no Dice."""
    volume = Volume(np.random.default_rng(0).random((1, 20, 20), dtype=np.float32), np.eye(4))
    nothing, found = np.zeros((1, 20, 20), dtype=np.uint8), np.zeros((1, 20, 20), dtype=np.uint8)
    found[0, 5:15, 5:15] = 1
    single: Any = SimpleNamespace(name="one", read_pair=lambda labels: (volume, nothing))
    dataset: Any = SimpleNamespace(name="Dataset001_A", cases=(single,), labels={1: "a"}, info={}, directory=tmp_path)
    answers = {"run-a": nothing, "run-b": found}
    metrics = {run: {"datasets": {dataset.name: [case("one", dice)]}} for run, dice in (("a", None), ("b", 0.0))}
    result: Any = SimpleNamespace(metrics=metrics, folders={run: Path(f"run-{run}") for run in metrics})
    compared = Compared({"dedicated": "a", "joint": "b"}, 5, 0, 0)
    opened: Any = lambda path: SimpleNamespace(answer=lambda volume, task: (answers[path.name], 0.0))  # noqa: E731
    entry = _drawn(dataset, compared, result, tmp_path, opened)
    assert entry["cases"] == [{"place": "best", "case": "one", "dice": {"dedicated": None, "joint": 0.0}}]
    assert (tmp_path / entry["picture"]).is_file()


def test_the_caption_names_our_arm_whatever_the_order_of_the_alphabet() -> None:
    dice = {"joint": 0.5, "transfer": 0.4}
    entry = {"dataset": "A", "labelled_groups": 5, "seed": 0, "cases": [{"place": "best", "case": "a", "dice": dice}]}
    words = case_caption({"reference": "transfer", "ours": "joint"}, entry)
    assert "best case of joint with the Dice of transfer and joint" in words


def test_the_runs_with_most_labels_that_both_arms_have_are_compared() -> None:
    arms = (ArmSettings("dedicated", "dedicated"), ArmSettings("joint", "joint"))
    settings = MultiTaskSettings(("A", "B"), labelled_groups=(5, 20, 0), seeds=(0, 1), arms=arms)
    design: Any = SimpleNamespace(runs_of=lambda arm, name, count, seed: [f"{arm.name}.{count}.{seed}"])
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


def test_where_there_is_no_truth_the_slice_with_most_of_the_results_is_shown() -> None:
    volume = Volume(np.random.default_rng(0).random((5, 40, 40), dtype=np.float32), np.eye(4))
    nothing, found = (np.zeros((5, 40, 40), dtype=np.uint8) for _ in range(2))
    found[4, 5:30, 5:30] = 1
    panel = Panel("worst", volume, nothing, {"dedicated": nothing, "joint": found})
    assert pixels_of(case_figure([panel], ["dedicated", "joint"]), ARM_COLOURS[1]) > 50


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
