"""Figures of 8 bits as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Figures = dict[str, Any]
LAYERS = "log_spectrum_shift"


def eight_bits_table(found: Figures) -> Iterator[str]:
    """What `Testing.bench.eight_bits` measured."""
    size, images = " x ".join(str(n) for n in found["volume_zyx"]), found["images"]
    yield f"### 8 bits: {found['model']['name']}"
    yield ""
    yield (
        f"CPU seconds of a pass over {size} voxels, {found['rounds']} round(s); {sum(images['held_out'].values())} "
        f"held-out images, {images['spoilt']} with artefacts, {images['foreign']} foreign ones; ranges learnt on "
        f"{found['calibration_images']} images of the training. The processor has "
        f"{', '.join(found['instructions']) or 'no instructions for less than float32'}."
    )
    yield ""
    yield (
        "| convolutions in 8 bits | of all products | CPU / float32 | the rest in bfloat16 | "
        "Dice off by at most | least Dice to float32's labels | least share of equal labels | spectra off by at most | "
        "other verdicts | accepted |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, own in found["precisions"].items():
        yield _row(name, own, found)
    yield ""
    yield from _by_layer(found)
    yield ""
    missing = [name for name in found["share_in_8_bits"] if name not in found["precisions"]]
    yield _conclusion(found) + (f" Not measured: {'; '.join(missing)}." if missing else "")


def _row(name: str, own: Figures, found: Figures) -> str:
    costs, part = found["cost"]["to_float32"], found["share_in_8_bits"].get(name)
    beside = costs.get(f"{name}, rest in bfloat16")
    off = max(own["dice_difference"].values(), key=abs, default=0.0)
    cells = [
        name,
        "" if part is None else f"{100 * part:.0f} %",
        f"{costs[name]:.2f}",
        "" if beside is None else f"{beside:.2f}",
        f"{off:+.4f}",
        _least(own["dice_to_float32"]),
        _least(own["equal_labels"]),
        f"{max(own[LAYERS].values(), default=0.0):.3f}",
        f"{sum(own['differing_verdicts'].values())} of {own['verdicts']}",
        "yes" if own["is_accepted"] else "no",
    ]
    return f"| {' | '.join(cells)} |"


def _least(by_task: Figures) -> str:
    return f"{min(of['least'] for of in by_task.values()):.4f}" if by_task else ""


def _by_layer(found: Figures) -> Iterator[str]:
    """Where the spectra are moved, of those precisions that move them."""
    for name, own in found["precisions"].items():
        if any(own[LAYERS].values()):
            shifts = ", ".join(f"{layer} {value:.3f}" for layer, value in own[LAYERS].items())
            yield f"- {name}: largest change of the logarithm of a singular value {shifts}"


def _conclusion(found: Figures) -> str:
    cheaper, accepted, worth = found["cost"]["cheaper_bfloat16"], found["accepted"], found["accepted_and_cheaper"]
    cost = found["cost"]["to_bfloat16"]
    if worth:
        return f"Accepted, and spare 15 % or more of what bfloat16 takes: {'; '.join(worth)}."
    if accepted:
        shown = "; ".join(f"{name} ({cost[name]:.2f} of {cheaper})" for name in accepted)
        return f"Accepted: {shown}; none of them spares 15 % of what bfloat16 takes."
    return "No step is accepted."
