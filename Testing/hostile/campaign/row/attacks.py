"""Attacks that can be run: none runs code, changes a file outside the results, or takes hold of the terminal."""

from __future__ import annotations

from functools import cache

from Testing.bench.process_memory import PeakMemory
from Testing.hostile.attack.attack import CANARY, Attack, watched
from Testing.hostile.attack.data_attacks import data_attacks
from Testing.hostile.attack.model_attacks import model_attacks
from Testing.hostile.campaign.trial import Ground, ListedTrial, require

MOST_MB = 500.0
TERMINAL_CODES = {*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {ord("\n")}


@cache
def attacks() -> dict[str, Attack]:
    """All by name."""
    return {attack.name: attack for attack in (*model_attacks(), *data_attacks())}


def attempt(case: str, ground: Ground) -> None:
    """The name of an attack."""
    attack = attacks()[case]
    for name in ("in", "out"):
        (ground.folder / name).mkdir()
    memory = PeakMemory()
    with watched(ground.folder) as heard:
        answer = attack.act(ground.folder)
    require(memory.above_start_mb() < MOST_MB, f"took {memory.above_start_mb():.0f} MB")
    require(heard == [], f"ran code or changed files: {heard[:2]}")
    require(not list(ground.folder.rglob(CANARY)), "its code was run")
    require({path.name for path in ground.folder.iterdir()} == {"in", "out"}, "a file lies outside the results")
    require(answer or not attack.is_refused, "was not refused")
    require("Traceback" not in answer, f"a traceback: {answer[:100]}")
    # Controls of a terminal, and what turns its text around; line ends are the product's own.
    wicked = [letter for letter in answer if ord(letter) in TERMINAL_CODES]
    require(not wicked, f"escape codes reach the terminal: {wicked[:3]} in {answer[:100]!r}")


ATTACKS = ListedTrial(
    "attacks",
    "attacks by model files, imported and resumed checkpoints, datasets, requests to the worker, file names, DICOM",
    "no code runs, nothing outside the results is changed, no escape code reaches the terminal, at most 500 MB",
    tuple(attacks()),
    attempt,
)
