"""What the performance page says of the comparison with nnU-Net's own prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

ENGINES = ("ours", "nnunet")


def parity_table(found: dict[str, Any]) -> Iterator[str]:
    """Markdown of one file of `Testing.bench.nnunet_parity`."""
    model, rows = found["model"], found["images"]
    compared = [row for row in rows if "voxels" in row]
    voxels, differing = (sum(row[key] for row in compared) for key in ("voxels", "differing"))
    patch = " x ".join(map(str, model["patch"]))
    kind = f"{model['structures']} {'regions' if model['are_regions'] else 'labels'}"
    kind += ", plans of the old format" if model.get("old_plans") else ""
    yield f"### Labels as nnU-Net's: {model['network']}, {model['dimension']}-D, {_channels(model)}, {kind}"
    yield ""
    yield (
        f"{model['dataset']}, {model['configuration']}, patches of {patch}, folds {', '.join(model['folds'])}, "
        f"{'with' if found['mirrored'] else 'without'} mirroring: {differing} of {voxels} voxels differ "
        f"({100 * (1 - differing / max(1, voxels)):.4f} % are the same) on {len(compared)} images."
    )
    yield ""
    yield "| image | voxels | differing | our CPU s | nnU-Net's | our peak MB | nnU-Net's |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        cells = [_of(row, engine, key) for key in ("cpu_s", "peak_mb") for engine in ENGINES]
        size, wrong = row.get("voxels", ""), row.get("differing", "another grid" if "shapes" in row else "")
        yield f"| {row['kind']} | {size} | {wrong} | {' | '.join(cells)} |"
    for row in rows:
        for engine, name in zip(ENGINES, ("Ours", "nnU-Net's"), strict=True):
            if said := row[engine].get("gave_up"):
                yield ""
                yield f"{name} gave up on the image that was made {row['kind']}: {said.rpartition('errors.')[2]}"


def _channels(model: dict[str, Any]) -> str:
    return f"{model['channels']} channel{'s' if model['channels'] > 1 else ''}"


def _of(row: dict[str, Any], engine: str, key: str) -> str:
    value = row[engine].get(key)
    return "" if value is None else f"{value:.1f}" if key == "cpu_s" else f"{value:.0f}"
