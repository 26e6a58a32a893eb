"""Charts of a page as SVG, in which nothing runs and names are shown as text: bars, distributions, spreads."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT, BINS = 320, 120, 24
# Values that differ by so much of their size are equal but for rounding; there are no steps between them.
SAME, TINY = 1e-9, 1e-200
LABEL = 14  # pixels below the bars
BAR = "#3b6ea5"
PALE = "#a9c3de"


def stacked_bars(counts: Sequence[tuple[str, Mapping[str, int]]], colours: Mapping[str, str]) -> str:
    """One bar for each label, its parts one above the other in their colours; the tallest fills the chart.

    Args:
        counts: label and counts by part, from left to right.
        colours: by part, in the order in which they are stacked.
    """
    tallest = max((sum(parts.values()) for _, parts in counts), default=0) or 1
    step = WIDTH / max(1, len(counts))
    shapes = []
    for number, (label, parts) in enumerate(counts):
        top = float(HEIGHT)
        for part, colour in colours.items():
            height = HEIGHT * parts.get(part, 0) / tallest
            top -= height
            told = f"{label}: {parts.get(part, 0)} {part}"
            shapes.append(_bar(number * step, top, step, height, colour, told) if height else "")
    ends = (counts[0][0], counts[-1][0]) if counts else ("", "")
    return _chart("".join(shapes), *ends)


def histogram(values: Sequence[float], limit: float | None = None) -> str:
    """How often values of each size are, in equal steps from the least to the greatest; a line shows the limit."""
    exact = np.asarray(values, dtype=np.float64)
    low, high = float(min(exact.min(), limit or np.inf)), float(max(exact.max(), limit or -np.inf))
    size = max(abs(low), abs(high), 1.0)
    if high - low <= SAME * max(abs(low), abs(high), TINY):
        exact, low, high = np.full_like(exact, low), low - size / 2, low + size / 2
    counts, edges = np.histogram(exact, BINS, (low, high))
    step, tallest = WIDTH / BINS, int(counts.max()) or 1
    bars = [
        _bar(
            k * step,
            HEIGHT - HEIGHT * n / tallest,
            step,
            HEIGHT * n / tallest,
            BAR,
            f"{n} from {edges[k]:.4g} to {edges[k + 1]:.4g}",
        )
        for k, n in enumerate(counts)
        if n
    ]
    if limit is not None:
        x = WIDTH * (limit - edges[0]) / (edges[-1] - edges[0])
        bars.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="#b3261e" stroke-width="2"/>')
    return _chart("".join(bars), f"{edges[0]:.4g}", f"{edges[-1]:.4g}")


@dataclass(frozen=True)
class Spread:
    """Values of one period or of one group.

    Attributes:
        label: its name.
        low, middle, high: quartiles; of shares the mean three times. None where there are no values.
        count: how many there are.
    """

    label: str
    low: float | None = None
    middle: float | None = None
    high: float | None = None
    count: int = 0


def spreads_chart(spreads: Sequence[Spread], marked: int | None = None) -> str:
    """A bar from the lower to the upper quartile and a dot at the median for each; a red line before the marked one."""
    known = [value for one in spreads for value in (one.low, one.middle, one.high) if value is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    height = (high - low) or 1.0
    step = WIDTH / max(1, len(spreads))
    shapes = []
    for number, one in enumerate(spreads):
        if one.low is None or one.middle is None or one.high is None:
            continue
        bottom, centre, top = (HEIGHT - 4 - (HEIGHT - 8) * (v - low) / height for v in (one.low, one.middle, one.high))
        told = f"{one.label}: {one.middle:.4g} ({one.low:.4g} to {one.high:.4g}), {one.count} cases"
        shapes.append(_bar(number * step, top, step, max(bottom - top, 1.0), PALE, told))
        shapes.append(f'<circle cx="{(number + 0.5) * step:.1f}" cy="{centre:.1f}" r="2.5" fill="{BAR}"/>')
    if marked is not None:
        x = marked * step
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}" stroke="#b3261e" stroke-width="2"/>')
    shapes.append(f'<text x="2" y="11">{high:.4g}</text><text x="2" y="{HEIGHT - 2}">{low:.4g}</text>')
    ends = (spreads[0].label, spreads[-1].label) if spreads else ("", "")
    return _chart("".join(shapes), *ends)


def _bar(x: float, y: float, width: float, height: float, colour: str, told: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 0.5):.1f}" height="{height:.1f}" fill="{colour}">'
        f"<title>{html.escape(told)}</title></rect>"
    )


def _chart(shapes: str, first: str, last: str) -> str:
    y = HEIGHT + LABEL - 2
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT + LABEL}" width="{WIDTH}" role="img">{shapes}'
        f'<text x="0" y="{y}">{html.escape(first)}</text>'
        f'<text x="{WIDTH}" y="{y}" text-anchor="end">{html.escape(last)}</text></svg>'
    )
