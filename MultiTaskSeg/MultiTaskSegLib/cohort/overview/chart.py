"""Charts of a page as SVG: bars in rows of time, and distributions. Nothing in them runs, names are shown as text."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

WIDTH, HEIGHT, BINS = 320, 120, 24
# Values that differ by so much of their size are equal but for rounding; there are no steps between them.
SAME, TINY = 1e-9, 1e-200
LABEL = 14  # pixels below the bars
BAR = "#3b6ea5"


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
