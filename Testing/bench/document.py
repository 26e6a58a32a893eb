"""Puts measured figures into docs/performance.md: ``python -m Testing.bench.document FOLDER``.

FOLDER holds what the other benchmarks wrote with ``--json``: ``inference*.json``, ``ood*.json``, ``startup*.json``,
``growth*.json``, ``memory*.json``, ``training*.json``, ``step_growth*.json``, ``step_precision*.json``,
``eight_bits*.json``, ``nnunet_parity*.json``, ``cohort*.json``, ``drift*.json``, ``hospital*.json``, ``cuda*.json``,
``mps*.json``. What stands between the marks of the document is replaced.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from Testing.bench.card.card_table import card_table
from Testing.bench.cohort.table import cohort_table, drift_table
from Testing.bench.eight_bits.table import eight_bits_table
from Testing.bench.hospital_table import hospital_table
from Testing.bench.labelled_image import REPOSITORY
from Testing.bench.parity_table import parity_table
from Testing.bench.training_table import growth_table, precision_table, training_table

CARDS = ("cuda", "mps")
DOCUMENT = REPOSITORY / "docs" / "performance.md"
START, END = "<!-- figures: written by Testing.bench.document -->\n", "<!-- end of figures -->"

Figures = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Rewrite the document; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m Testing.bench.document FOLDER\n")
        return 2
    text = DOCUMENT.read_text("utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(before + START + "\n" + figures(Path(arguments[0])) + "\n" + END + after, "utf-8")
    return 0


def figures(folder: Path) -> str:
    """Markdown of every benchmark in a folder."""
    writers: dict[str, Callable[[Figures], Iterator[str]]] = {
        "inference": _inference,
        "ood": _ood,
        "startup": _startup,
        "growth": _growth,
        "memory": _memory,
        "training": training_table,
        "step_growth": growth_table,
        "step_precision": precision_table,
        "eight_bits": eight_bits_table,
        "nnunet_parity": parity_table,
        "cohort": cohort_table,
        "drift": drift_table,
        "hospital": hospital_table,
        "cuda": card_table,
        "mps": card_table,
    }
    reasons = dict.fromkeys(writers, "") | dict.fromkeys(CARDS, ": there was no such device")
    not_run = {kind: why for kind, why in reasons.items() if not any(folder.glob(f"{kind}*.json"))}
    lines: list[str] = []
    for name, write in writers.items():
        for path in sorted(folder.glob(f"{name}*.json")):
            found = json.loads(path.read_text("utf-8"))
            lines += [*write(found), "", _machine(found["machine"]), ""]
    if not_run:
        lines += ["### Not measured yet", ""]
        lines += [f"- `python -m Testing.bench.{kind}` was not run yet{why}." for kind, why in not_run.items()] + [""]
    return "\n".join(lines)


def _inference(found: Figures) -> Iterator[str]:
    size = " x ".join(str(n) for n in found["volume_zyx"])
    patch = " x ".join(str(n) for n in found["patch_zyx"])
    yield f"### Inference: {size} voxels, {found['classes']} classes, {found['rounds']} round(s)"
    yield ""
    yield f"Model {found['model']['name']}; windows of the others {patch}, overlap {found['overlap']}."
    yield ""
    yield "| engine | CPU s | wall s | peak MB above the model | our CPU ratio | our memory ratio | mean Dice |"
    yield "|---|---|---|---|---|---|---|"
    for name, of in found["medians"].items():
        key = name.replace("-", "_")
        cpu, memory = (found.get(f"{kind}_ratio_vs_{key}") for kind in ("cpu", "memory"))
        ratios = f"{cpu:.3f} | {memory:.3f}" if cpu is not None and memory is not None else "|"
        scores = [values[name] for values in found["dice"].values()]
        dice = f"{sum(scores) / len(scores):.4f} ({len(scores)} images)" if scores else ""
        yield f"| {name} | {of['cpu_s']:.2f} | {of['wall_s']:.1f} | {of['peak_mb']:.0f} | {ratios} | {dice} |"
    if "label_share" in found:
        yield ""
        yield (
            "Ours spends this share on what comes after the network's last map (probabilities, calibration, arg-max, "
            f"uncertainty, their way to the image's grid): {found['label_share']:.3f}."
        )
    if found["dice"]:
        yield from _dice_by_task(found["dice"])


def _dice_by_task(dice: Figures) -> Iterator[str]:
    """Mean Dice of every engine on the images of each task; names of images begin with their task's."""
    engines = list(next(iter(dice.values())))
    yield ""
    yield f"| images of patients not trained on | {' | '.join(engines)} |"
    yield "|" + "---|" * (1 + len(engines))
    for task in dict.fromkeys(name.partition("/")[0] for name in dice):
        own = [values for name, values in dice.items() if name.startswith(f"{task}/")]
        means = " | ".join(f"{sum(values[engine] for values in own) / len(own):.4f}" for engine in engines)
        yield f"| {task} ({len(own)}) | {means} |"


def _ood(found: Figures) -> Iterator[str]:
    size = " x ".join(str(n) for n in found["volume_zyx"])
    yield f"### Check: {size} voxels, {len(found['rounds'])} round(s)"
    yield ""
    yield f"- check alone, CPU seconds over those of a segmentation with task auto: {found['check_ratio']:.3f}"
    yield f"- over those of a segmentation with a named task: {found['check_ratio_of_a_named_task']:.3f}"
    yield f"- share of the spectra in a segmentation with a named task: {found['spectra_share']:.3f}"
    if "verdict_share" in found:
        yield f"- share of the image's own statistics and the verdict in it: {found['verdict_share']:.3f}"


def _startup(found: Figures) -> Iterator[str]:
    yield "### Start"
    yield ""
    yield f"- worker, start to first result on {found['volume_zyx']} voxels: {found['cold_s']:.2f} s wall"
    yield f"- the same worker's third result: {found['warm_s']:.2f} s wall"
    if found["import_s"] is not None:
        loads = "is" if found["import_loads_torch"] else "is not"
        yield f"- importing both Slicer modules: {found['import_s']:.2f} s wall; torch {loads} among what they load"


def _growth(found: Figures) -> Iterator[str]:
    whole = ", whole segmentation" if found.get("engine", "ours") != "ours" else ""
    yield f"### Growth{whole}"
    yield ""
    if "cpu_exponent" in found:
        cpu, memory = found["cpu_exponent"], found["memory_exponent"]
        yield f"CPU seconds grow with voxels to the power {cpu:.2f}, peak memory with {memory:.2f} (least squares)."
        yield ""
    yield "| voxels | classes | CPU s | peak MB above the model |"
    yield "|---|---|---|---|"
    for run in [*found["by_size"], *found["by_classes"]]:
        size = " x ".join(str(n) for n in run["size_zyx"])
        yield f"| {size} | {run['classes']} | {run['cpu_s']:.2f} | {run['peak_mb']:.0f} |"


def _memory(found: Figures) -> Iterator[str]:
    yield "### Memory: what was told beforehand, and what was taken"
    yield ""
    yield "| voxels | mm | run | peak MB beyond the loaded model | estimate MB | estimate / peak |"
    yield "|---|---|---|---|---|---|"
    for run in found["runs"]:
        size, ratio = " x ".join(str(n) for n in run["shape_zyx"]), run["estimate_mb"] / run["peak_mb"]
        ends = f"{run['purpose']} | {run['peak_mb']} | {run['estimate_mb']} | {ratio:.2f}"
        yield f"| {size} | {run['spacing_mm']:g} | {ends} |"
    yield ""
    yield "Planned is the worst case: with `auto` the task that takes most, and a heap in which little that was"
    yield "freed is used again, which differs from run to run and weighs most where a run takes little."
    yield ""
    yield "### The command line under a limit of memory"
    yield ""
    yield "| voxels | command | limit GB | exit code | peak MB of the whole process | what it said where it gave up |"
    yield "|---|---|---|---|---|---|"
    for run in found["limits"]:
        size, said = " x ".join(str(n) for n in run["shape_zyx"]), run["last_line"] if run["exit_code"] else ""
        yield f"| {size} | {run['command']} | {run['limit_gb']} | {run['exit_code']} | {run['peak_mb']} | {said} |"


def _machine(facts: Figures) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    load = facts["load_average"]
    shared = f", load average {load[0]} (shared machine)" if load else ""
    threads = f", {facts['threads']} threads" if facts["threads"] else ""
    return (
        f"_{facts['processor']}, {facts['torch_cpu_capability']}, {facts['cores']} cores{threads}{shared}; {packages}._"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
