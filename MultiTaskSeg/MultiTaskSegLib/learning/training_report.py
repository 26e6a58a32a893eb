"""What a training says while it goes on: lines of its progress, and the log of its run folder."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

LINE = re.compile(r"^(?P<what>[a-z]+): +(?P<percent>\d+) %(?P<rest>.*)$")
LEFT = re.compile(r"(?:^|, )((?:\d+ (?:s|min|h) ?)+) left")
NOTE = re.compile(r"(?: left|time left unknown|took [^,]+)(?:, (?P<note>.*))?$")
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
WHOLE = "training"  # of the run as a whole, measuring included; others are parts of it
OWN_NAME = "multitaskseg-trainer: "
NOTE_MARK = "note: "


@dataclass(frozen=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        fraction: 0 to 1 of the whole run; 0 while its data is being prepared.
        eta_s: seconds that are left, or None while nobody knows.
        step: what is done now.
    """

    fraction: float
    eta_s: float | None
    step: str


def read_progress(line: str) -> TrainingProgress | None:
    """What a line of the trainer says of its progress; None where it says something else.

    >>> read_progress("training:  25 %, 3 min 05 s left, step 40 loss 0.312")
    TrainingProgress(fraction=0.25, eta_s=185.0, step='step 40 loss 0.312')
    >>> read_progress("preparing:  50 % (3/6), 2 s left")
    TrainingProgress(fraction=0.0, eta_s=None, step='preparing 50 %')
    """
    found = LINE.match(line.strip())
    if found is None:
        return None
    what, percent, rest = found["what"], int(found["percent"]), found["rest"]
    if what != WHOLE:
        return TrainingProgress(0.0, None, f"{what} {percent} %")
    left, note = LEFT.search(rest), NOTE.search(rest)
    return TrainingProgress(
        percent / 100.0,
        None if left is None else _seconds(left[1]),
        (note["note"] if note is not None else None) or what,
    )


def failure_words(lines: Iterable[str]) -> str:
    """Why a training ended, from what it said last: its own words, or the last line of an unexpected error."""
    said = [line.strip() for line in lines if line.strip()]
    own = [line.removeprefix(OWN_NAME) for line in said if line.startswith(OWN_NAME)]
    others = [line for line in said if read_progress(line) is None and not line.startswith(NOTE_MARK)]
    return (own or others or ["it left no message"])[-1]


def held_out_dice(steps_file: Path) -> list[Mapping[str, float]]:
    """Mean Dice of held-out cases by dataset, each time that it was measured, the newest last.

    A last line that is still being written is left out, and there is none before the first measurement.
    """
    try:
        lines = steps_file.read_text(encoding="utf-8").split("\n")
    except OSError:
        return []
    found: list[Mapping[str, float]] = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("dice"), dict):
            found.append({str(name): float(dice) for name, dice in record["dice"].items()})
    return found


def _seconds(text: str) -> float:
    """Seconds of a duration.

    >>> _seconds("2 h 07 min"), _seconds("42 s")
    (7620.0, 42.0)
    """
    words = text.split()
    return sum(int(number) * SECONDS[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
