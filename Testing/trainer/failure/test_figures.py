"""Every confidence that is meant to be shown has a line of its own in the picture of failures."""

from __future__ import annotations

from Testing.trainer.failure.synthetic_image import measured
from trainer.failure.confidence import confidences
from trainer.failure.figures import SHOWN, risk_coverage_panels
from trainer.failure.findings import findings
from trainer.failure.repeat import DROPOUT, ENSEMBLE, LOOKS, SNAPSHOTS

WAYS = (DROPOUT, LOOKS, ENSEMBLE, SNAPSHOTS)


def test_all_ways_to_repeat_a_segmentation_are_drawn_beside_all_single_passes_and_can_be_told_apart() -> None:
    images = [
        measured(f"p{n}", 0.5 + n / 20, kind=kind, agreement=dict.fromkeys(WAYS, 0.4 + n / 20))
        for n in range(8)
        for kind in ("clean", "noise", "blur")
    ]
    tasks = findings(images, confidences(images), 0, 10)["tasks"]
    (axes,) = (axes for axes in risk_coverage_panels(tasks).axes if axes.get_visible())
    lines = {str(line.get_label()): (line.get_color(), line.get_linestyle()) for line in axes.get_lines()}
    # The best order, too.
    assert len(lines) == 1 + len(SHOWN) + len(WAYS)
    assert len(set(lines.values())) == len(lines)
