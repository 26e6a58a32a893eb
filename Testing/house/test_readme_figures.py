"""What the README's first screen says of the released models is what their files and the benchmark say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from MultiTaskSegLib.runtime.model.model_file import read_manifest

MODELS = ("mr3d", "planar2d", "head_brain")


@pytest.fixture(scope="module")
def first_screen(repository: Path) -> str:
    return (repository / "README.md").read_text("utf-8").split("## Two commands")[0]


@pytest.fixture(scope="module")
def dice_of_tasks(repository: Path) -> dict[str, tuple[float, int]]:
    """Mean Dice and number of held-out cases of every task of the released models."""
    folder = repository / "MultiTaskSeg" / "Resources" / "Models"
    return {
        task.name: (fmean(task.held_out_dice.values()), task.held_out_cases)
        for name in MODELS
        for task in read_manifest(folder / f"{name}.mts.safetensors")[0].tasks
    }


def test_the_table_of_the_readme_has_the_dice_of_the_model_files(
    first_screen: str, dice_of_tasks: dict[str, tuple[float, int]]
) -> None:
    told = {(found[1], int(found[2])) for found in re.finditer(r"\| (0\.\d{3}) \((\d+) cases\) \|", first_screen)}
    assert told == {(f"{dice:.3f}", cases) for dice, cases in dice_of_tasks.values()}


def test_what_was_trained_and_is_not_good_enough_is_told(first_screen: str, repository: Path) -> None:
    folder = repository / "MultiTaskSeg" / "Resources" / "Models"
    left = read_manifest(folder / "planar2d.mts.safetensors")[0].training["left_out"]
    weak = [fmean(known["held_out_dice"].values()) for known in left.values()]
    assert len(weak) == 1
    assert f"(the spine: {weak[0]:.3f}; before," in " ".join(first_screen.split())


def test_the_shares_of_spoilt_images_that_are_flagged_are_those_of_the_newest_benchmark(
    first_screen: str, repository: Path
) -> None:
    newest = sorted((repository / "docs" / "results").glob("ood-benchmark-*-all-detectors-2-d.json"))[-1]
    shipped = json.loads(newest.read_text("utf-8"))["models"][0]["shipped"]
    spoilt, motion = shipped["sensitivity"]["artefact"], shipped["sensitivity_by_source"]["artefact: motion"]
    words = f"of spoilt 2-D images it flags {100 * spoilt:.0f} %, of those with motion {100 * motion:.0f} %"
    assert words in " ".join(first_screen.split())


def test_what_the_page_of_the_check_says_of_spoilt_images_is_what_the_newest_benchmark_found(repository: Path) -> None:
    page = " ".join((repository / "docs" / "oodcheck.md").read_text("utf-8").split())
    ours, plain, paper = [], [], {"artefact": [], "artefact, Dice fell by 0.1": []}
    for grid in ("3-d", "2-d"):
        newest = sorted((repository / "docs" / "results").glob(f"ood-benchmark-*-all-detectors-{grid}.json"))[-1]
        found = json.loads(newest.read_text("utf-8"))["models"][0]["detectors"]
        ours.append(found["whitened, encoder and image"]["artefact"]["auroc"])
        plain.append(found["control: image statistics"]["artefact"]["auroc"])
        for family, ranges in paper.items():
            scores = [figures[family]["auroc"] for name, figures in found.items() if name.startswith("paper")]
            ranges.append(f"{min(scores):.2f} to {max(scores):.2f}".replace("0.", "."))
    figures = [f"{value:.3f}".replace("0.", ".") for value in (*ours, *plain)]
    assert "an AUROC of {} in 3-D and {} in 2-D.".format(*figures[:2]) in page
    assert "without any network, reach {} and {}:".format(*figures[2:]) in page
    assert "reaches {} in 3-D and {} in 2-D, by layer".format(*paper["artefact"]) in page
    assert "({} and {} where the Dice fell".format(*paper["artefact, Dice fell by 0.1"]) in page
