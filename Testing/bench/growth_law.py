"""What both benchmarks of growth do with their figures: fit a power, write them down."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def exponent(counts: Sequence[float], costs: Sequence[float]) -> float | None:
    """Power of the count with which the cost grows, by least squares; None for fewer than two counts."""
    return float(np.polyfit(np.log(counts), np.log(costs), 1)[0]) if len(counts) > 1 else None


def tell(found: Mapping[str, Any], path: Path | None) -> None:
    """Print the figures without the machine's facts, and write all of them to a JSON file where one is wanted."""
    sys.stdout.write(json.dumps({key: value for key, value in found.items() if key != "machine"}, indent=1) + "\n")
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
