"""The figures of a card as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def card_table(found: Mapping[str, Any]) -> Iterator[str]:
    """Lines of what ``Testing.bench.cuda`` or ``Testing.bench.mps`` has written."""
    device, size = found["device"], " x ".join(str(n) for n in found["volume_zyx"])
    memory = f", {device['memory_gb']} GB" if "memory_gb" in device else ""
    yield f"### Card: {device.get('name', device['kind'])}{memory}"
    yield ""
    yield f"Model {found['model']['name']}, {size} voxels; peers with autocast, without mirroring, labels alone."
    yield ""
    yield "| part | engine | precision | first s | wall s | peak MB |"
    yield "|---|---|---|---|---|---|"
    for name, own in found["found"].items():
        if "wall_s" in own:
            part, engine, precision = name.split()
            peak = "not told" if own["peak_mb"] is None else f"{own['peak_mb']:.0f}"
            yield f"| {part} | {engine} | {precision} | {own['first_s']:.2f} | {own['wall_s']:.3f} | {peak} |"
    yield ""
    for name, images in found["found"].items():
        if name.startswith("agreement"):
            for image, own in images.items():
                verdict = "the same task and verdict" if own["same_task_and_verdict"] else "another task or verdict"
                scores = f"score {own['score']:.3f}, {own['score_of_processor']:.3f}"
                yield (
                    f"- {name.split()[1]} against the processor, {image} image: "
                    f"{own['labels_alike']:.6f} of the labels, {verdict} ({scores})"
                )
    for name, why in found["could_not"].items():
        yield f"- could not be done: {name} ({why})"
