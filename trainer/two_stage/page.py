"""The report of two-stage learning: plots first, then the table with intervals, the choices and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from trainer.pretraining.pretext.catalogue import PRETEXTS
from trainer.report.curves import COLOURS, FOREIGN_COLOUR, INK, SOFT, new_figure, plain
from trainer.report.report import Report
from trainer.two_stage.findings import BEST, ENSEMBLE, bar_text
from trainer.two_stage.matrix import STUDENT
from trainer.two_stage.run import JOINT, LONG, PRETRAINED, SCRATCH, TOGETHER

NAMES = {
    SCRATCH: "from scratch",
    LONG: "from scratch, as many steps as pre-training and fine-tuning",
    TOGETHER: "plain joint training of all tasks",
    BEST: "best single teacher (by validation)",
    ENSEMBLE: "average of the teachers",
    STUDENT: "student",
}
MODES = {JOINT: "joint", PRETRAINED: "pre-training"}


def method_name(method: str) -> str:
    """For people."""
    if method in NAMES:
        return NAMES[method]
    kind, _, pretext = method.partition("-")
    return {"teacher": f"teacher: {pretext}", JOINT: f"{pretext}, joint", PRETRAINED: f"{pretext}, pre-training"}[kind]


def shown_methods(methods: Mapping[str, Any]) -> list[str]:
    """Those of the main table; single modes are in a table of their own."""
    return [name for name in methods if not name.startswith((f"{JOINT}-", f"{PRETRAINED}-")) or name in NAMES]


def write_page(found: Mapping[str, Any], path: Path) -> None:
    """Write the report.

    Args:
        found: content of ``metrics.json``.
        path: HTML file.
    """
    rule = found["criterion"]
    report = Report(f"Two-stage learning on {found['target']}")
    for figure, caption in figures(found).values():
        report.add_figure(figure, caption)
    for bar in found["bars"]:
        report.add_verdict(bar_text(bar), bar["met"])
    for count, methods in found["labelled"].items():
        report.add_heading(f"{count} labelled images")
        report.add_table(TABLE_HEADERS, table_rows(methods, shown_methods(methods), rule), _caption(found, count))
        single = [name for name in methods if name not in shown_methods(methods)]
        report.add_table(TABLE_HEADERS, table_rows(methods, single, rule), "Both modes of every auxiliary task")
    headers = ["Labels, seed", *found["choices"][0]["tasks"], "Best teacher"]
    report.add_table(headers, choice_rows(found["choices"]), "Mode chosen, and validation Dice joint / pre-training")
    report.add_text(EXPLANATION)
    report.write(path)


def figures(found: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Pictures with their captions by name, from the content of ``metrics.json``."""
    return {
        "methods": (
            methods_figure(found, found["criterion"]),
            "Test Dice of every method: one dot per seed, a line at their mean",
        ),
        "curves": (
            curves_figure(found["curves"]),
            "Validation Dice of the runs behind the student that is shipped",
        ),
    }


TABLE_HEADERS = [
    "Method",
    "Dice, positives only",
    "Dice, empty-image rule",
    "Gain over scratch",
    "Networks at inference",
]
EXPLANATION = (
    "Intervals are Student's t over seeds, which draw labels, weights and patches alike. Test patients are the same "
    "for every seed and are looked at by no choice. Positives only: images without the structure are left out. "
    "Empty-image rule: they count 1 when nothing is marked and 0 otherwise. The two are never mixed; the gain is in "
    "the Dice by which the teachers were chosen."
)


def table_rows(methods: Mapping[str, Any], names: Sequence[str], rule: str) -> list[list[str | float | int | None]]:
    """Rows of the table of methods."""
    return [
        [
            method_name(name),
            interval_text(methods[name]["dice_positives_only"]),
            interval_text(methods[name]["dice_empty_rule"]),
            interval_text(methods[name]["gain_over_scratch"][rule], sign=True),
            methods[name]["networks"],
        ]
        for name in names
    ]


def interval_text(interval: Mapping[str, Any], sign: bool = False) -> str:
    """``0.812 (0.790 to 0.834)``; without the brackets when there is no interval."""
    form = "+.3f" if sign else ".3f"
    if interval["value"] is None or interval["value"] != interval["value"]:
        return "–"
    text = format(interval["value"], form)
    if interval["low"] is None:
        return text
    return f"{text} ({format(interval['low'], form)} to {format(interval['high'], form)})"


def choice_rows(choices: Sequence[Mapping[str, Any]]) -> list[list[str | float | int | None]]:
    """Rows of the table of choices."""
    return [
        [
            f"{choice['labelled']}, {choice['seed']}",
            *(
                f"{MODES[task['mode']]} ({task['validation'][JOINT]:.3f} / {task['validation'][PRETRAINED]:.3f})"
                for task in choice["tasks"].values()
            ),
            choice["best_teacher"],
        ]
        for choice in choices
    ]


def methods_figure(found: Mapping[str, Any], rule: str) -> Figure:
    """Test Dice by method, one panel per number of labels.

    Args:
        found: from `summarise`.
        rule: which Dice.
    """
    counts = list(found["labelled"])
    names = shown_methods(found["labelled"][counts[0]])
    figure = new_figure(4.2 + 3.2 * len(counts), 1.2 + 0.34 * len(names))
    panels = figure.subplots(1, len(counts), squeeze=False, sharey=True)[0]
    for axes, count in zip(panels, counts, strict=True):
        for height, name in enumerate(names):
            values = found["labelled"][count][name][rule]
            colour = FOREIGN_COLOUR if name == STUDENT else COLOURS[0]
            axes.scatter(values["seeds"], [height] * len(values["seeds"]), s=22, color=colour, alpha=0.75, zorder=3)
            axes.plot([values["value"]] * 2, [height - 0.3, height + 0.3], color=INK, linewidth=1.8)
        axes.set_title(f"{count} labelled images", fontsize=10, color=INK, loc="left")
        axes.set_xlabel("test Dice", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25, linewidth=0.6)
    panels[0].set_yticks(range(len(names)), [plain(method_name(name)) for name in names], fontsize=8)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return figure


def curves_figure(curves: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Validation Dice over the steps, one line per run.

    Args:
        curves: ``[step, Dice]`` by run name ``nN-sS-METHOD``; null is left out.
    """
    figure = new_figure(9, 4.2)
    axes = figure.subplots()
    for name, points in curves.items():
        defined = [(step, dice) for step, dice in points if dice is not None and dice == dice]
        steps, scores = [step for step, _ in defined], [dice for _, dice in defined]
        method = name.split("-", 2)[-1]
        axes.plot(steps, scores, label=plain(method), marker="o", markersize=2.5, **_line(method))  # type: ignore[arg-type]
    axes.set_xlabel("step of the training on labels", fontsize=9)
    axes.set_ylabel("validation Dice", fontsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.legend(fontsize=6, frameon=False, ncols=2)
    return figure


def _line(method: str) -> dict[str, object]:
    """A colour for each task, dashed when trained jointly; what matters most is thick."""
    if method in (STUDENT, SCRATCH):
        return {"color": FOREIGN_COLOUR if method == STUDENT else INK, "linewidth": 2.4}
    mode, _, pretext = method.partition("-")
    if method in NAMES or pretext not in PRETEXTS:
        return {"color": SOFT, "linewidth": 1.2, "linestyle": ":" if method == LONG else "-."}
    colour = COLOURS[list(PRETEXTS).index(pretext) % len(COLOURS)]
    return {"color": colour, "linewidth": 1.2, "linestyle": "--" if mode == JOINT else "-"}


def _caption(found: Mapping[str, Any], count: str) -> str:
    own = [images for images in found["images"] if str(images["labelled"]) == count]
    first = own[0]
    return (
        f"Mean and 95 % interval over {len(own)} seed(s), {first['test']} test images; {first['validation']} more "
        f"labelled images choose; {first['without_labels']} images are learnt from without labels"
    )
