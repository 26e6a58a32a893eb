"""Growth to what hospitals have, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def hospital_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines of what ``Testing.bench.hospital`` has written."""
    parts = found["parts"]
    yield "### Growth to what hospitals have"
    yield ""
    yield "| tasks in a file | file MB | loading s | CPU s of a segmentation with `auto` | peak MB above the model |"
    yield "|---|---|---|---|---|"
    for name, own in parts.items():
        if name.startswith("tasks "):
            last = own["told"][-1]
            costs = f"{own['file_mb']:.1f} | {own['load_s']:.2f} | {last['cpu_s']:.2f} | {last['peak_mb']:.0f}"
            yield f"| {own['tasks']} | {costs} |"
    powers = [
        f"{key.removesuffix('_exponent')} {value:.2f}" for key, value in found["laws"].items() if value is not None
    ]
    if powers:
        yield ""
        yield f"Powers with which they grow with the number of tasks (least squares): {', '.join(powers)}."
    if "series" in parts:
        own = parts["series"]
        size = " x ".join(str(n) for n in own["shape_zyx"])
        yield ""
        yield f"A series of {own['frames']} frames of {size} voxels in one process:"
        yield ""
        yield "| frame | CPU s | peak MB above the model so far |"
        yield "|---|---|---|"
        for frame in own["told"]:
            yield f"| {frame['frame']} | {frame['cpu_s']:.2f} | {frame['peak_mb']:.0f} |"
    if "large" in parts:
        own = parts["large"]
        size, step = " x ".join(str(n) for n in own["shape_zyx"]), own["first_fitting_step"]
        least, most = min(own["steps_mb"]), max(own["steps_mb"])
        fits = (
            "does not fit, however small the parts" if step is None else f"fits with step {step} of the ladder of parts"
        )
        yield ""
        yield (
            f"{size} voxels with {own['classes']} classes are planned with {least} to {most} MB (not run): with "
            f"{own['host_gb']:g} GB free this {fits}."
        )
