"""Figures of the training benchmarks as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from Testing.bench.learning_curve import LearningCurve, curve_of

Figures = dict[str, Any]


def training_table(found: Figures) -> Iterator[str]:
    """What `Testing.bench.training` measured."""
    percent = round(100 * found["share_of_final"])
    for name, of in found["datasets"].items():
        yield f"### Training: {name}"
        yield ""
        theirs = of["nnunet"]
        if theirs:
            yield from _nnunet(theirs, percent)
            yield ""
        yield from _ours(of["ours"], theirs, percent)
        yield ""
        yield from _loader(of)
        yield ""


def _nnunet(theirs: Figures, percent: int) -> Iterator[str]:
    curve = curve_of(theirs["points"])
    threshold = percent / 100 * curve.final_dice
    memory_gb = theirs.get("planned_memory_gb")
    planned = f" for {memory_gb:g} GB" if memory_gb else ""
    yield (
        f"nnU-Net v2 {theirs['configuration']}, its own plan{planned} (patches {_by(theirs['patch'])}, batches of "
        f"{theirs['batch']}, {theirs['parameters'] / 1e6:.1f} million parameters), float32: one run of "
        f"{curve.points[-1].step} steps = {curve.total_cpu_s:.0f} CPU s, with its schedule ending there. Final Dice "
        f"{curve.final_dice:.4f}, so {percent} % are {threshold:.4f}; {_moment(curve, threshold)}. Planning and "
        f"preprocessing, not counted: {theirs['preparation_cpu_s']:.0f} CPU s."
    )


def _moment(curve: LearningCurve, dice: float) -> str:
    """Between which points a Dice was reached."""
    before, reached = curve.cpu_s_before(dice), curve.cpu_s_to(dice)
    if before:
        return f"below it at {before:.0f} CPU s, there at {reached:.0f}"
    return f"there already at the first measured point, {reached:.0f} CPU s"


def _ours(runs: list[Figures], theirs: Figures | None, percent: int) -> Iterator[str]:
    yield (
        f"| our run | planned for | steps | CPU s per step | final Dice | CPU s to {percent} % | "
        f"/ nnU-Net's total | / nnU-Net's own time to {percent} % |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for run in runs:
        curve, against = curve_of(run["points"]), run.get("against_nnunet", {})
        reached = [against.get(key) for key in ("ours_cpu_s", "ratio_of_total", "ratio_of_time")]
        cells = [f"{reached[0]:.0f}" if reached[0] is not None else "not reached" if theirs else ""]
        cells += [f"{ratio:.3f}" if ratio is not None else "" for ratio in reached[1:]]
        yield (
            f"| {run['precision']} | {curve.total_cpu_s:.0f} CPU s | {run['steps']} | {run['step_cpu_s']:.2f} | "
            f"{curve.final_dice:.4f} | {' | '.join(cells)} |"
        )


def _loader(of: Figures) -> Iterator[str]:
    yield "| precision | loader's workers | CPU s per step | wall s per step | waiting for data |"
    yield "|---|---|---|---|---|"
    for run in of["loader"]:
        yield (
            f"| {run['precision']} | {run['workers']} | {run['step_cpu_s']:.2f} | {run['step_wall_s']:.2f} | "
            f"{100 * run['loader_wait_share']:.1f} % |"
        )
    same = of["same_weights_to_the_bit"]
    if same is not None:
        yield ""
        end = "the same weights to the bit" if same else "different weights"
        yield f"These runs, of one seed and with different numbers of workers, ended with {end}."


def growth_table(found: Figures) -> Iterator[str]:
    """What `Testing.bench.training_growth` measured."""
    yield f"### Growth of a training step ({found['precision']})"
    yield ""
    yield f"Patches of {_by(found['shape_zyx'])} voxels, four per step, {found['steps']} steps."
    if found["dataset_exponent"] is not None:
        yield f"CPU seconds grow with the number of datasets to the power {found['dataset_exponent']:.3f}."
    yield ""
    yield "| datasets | classes of each | outputs | CPU s per step | waiting for data | peak MB of the process |"
    yield "|---|---|---|---|---|---|"
    for run in [*found["by_datasets"], *found["by_classes"]]:
        yield (
            f"| {run['datasets']} | {run['classes']} | {run['outputs']} | {run['step_cpu_s']:.2f} | "
            f"{100 * run['loader_wait_share']:.1f} % | {run['peak_mb']:.0f} |"
        )


def precision_table(found: Figures) -> Iterator[str]:
    """What `Testing.bench.step_precision` measured."""
    yield "### A training in 16 bits"
    yield ""
    yield (
        f"{found['steps']} steps from the same weights with the same batches, {found['seeds']} seeds; Dice of held-out "
        "cases at the end."
    )
    yield ""
    yield (
        "| dataset | Dice, float32 | Dice, bfloat16 | difference of each seed | CPU s per step, float32 | bfloat16 | "
        "ratio | ratio of the wall time |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, of in found["datasets"].items():
        differences = ", ".join(f"{value:+.4f}" for value in of["differences"])
        yield (
            f"| {name} | {of['dice_float32']:.4f} | {of['dice_bfloat16']:.4f} | {differences} | "
            f"{of['step_cpu_s_float32']:.3f} | {of['step_cpu_s_bfloat16']:.3f} | {of['step_cpu_ratio']:.2f} | "
            f"{of['step_wall_ratio']:.2f} |"
        )


def _by(sizes: list[int]) -> str:
    return " x ".join(str(n) for n in sizes)
