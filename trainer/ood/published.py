"""The benchmark's figures for ``docs/results``: a JSON file, and a page made from it alone."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.ood.findings import FAMILY_ORDER
from trainer.ood.page import detector_rows
from trainer.run_folder import write_json_file, write_text_file

PAGE = "ood-benchmark.md"
TEXT = """# Out-of-distribution benchmark

Made by `python -m trainer ood-benchmark`; nothing on this page is typed by hand. The figures are those of
[{name}]({name}), from commit `{commit}`.

Known images are those of patients that the network was not trained on. Families of foreign images: *real* ones of
other modalities, anatomies and species; *left-out*: datasets that the network was not trained on; *matched*: both,
cropped and resampled onto the grid of a known image, so that size and spacing tell nothing; *artefact*: known images,
spoilt, all kinds and severities, then only the kinds that keep the grid, then only those that lower the Dice by 0.1 or
more. Given are the mean AUROC over the sources (datasets, folders, kinds of artefact) and, in brackets, the FPR95.
Detectors of this project begin with "whitened"; controls look at no trained network.
"""


def publish(
    results: Sequence[Mapping[str, Any]], command: Sequence[str], commit: str | None, folder: Path
) -> tuple[Path, Path]:
    """Write ``ood-benchmark-DATE.json`` and the page to ``folder``.

    Args:
        results: of the models.
        command: arguments; of paths only the last part is kept.
        commit: of the source code.
        folder: where to.

    Returns:
        Paths of both files.
    """
    kept = [{key: value for key, value in result.items() if key != "images"} for result in results]
    content = {"command": [Path(word).name for word in command], "commit": commit, "models": kept}
    path = folder / f"ood-benchmark-{datetime.date.today().isoformat()}.json"
    write_json_file(path, content)
    page = folder / PAGE
    write_text_file(page, published_page(path))
    return path, page


def published_page(path: Path) -> str:
    """The page of a published JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    parts = [TEXT.format(name=path.name, commit=content["commit"] or "unknown")]
    parts += [_model_section(result) for result in content["models"]]
    return "\n".join(parts)


def _model_section(result: Mapping[str, Any]) -> str:
    measured = next(iter(result["detectors"].values()))
    families = [family for family in FAMILY_ORDER if family in measured]
    table = [["Detector", *families], ["---"] * (1 + len(families)), *detector_rows(result["detectors"], families)]
    rows = ["| " + " | ".join(cells) + " |" for cells in table]
    return "\n".join([f"## {result['model']}", "", *_shipped_lines(result["shipped"]), "", *rows, ""])


def _shipped_lines(shipped: Mapping[str, Any]) -> list[str]:
    flagged = ", ".join(f"{family} {100 * share:.1f} %" for family, share in shipped["sensitivity"].items())
    uniform = shipped["p_value_uniformity"]
    return [
        f"The check as it ships (`{shipped['variant']}`, layers {', '.join(shipped['layers'])}), limit from other "
        f"patients: {100 * shipped['specificity']:.1f} % of {shipped['known_images']} known images accepted; "
        f"flagged: {flagged}. Task recognised in {100 * shipped['recognised']:.1f} %. "
        f"Uniformity of the p-value on known images: Kolmogorov-Smirnov statistic {uniform['statistic']:.3f} "
        f"(p = {uniform['p']:.2f})."
    ]
