"""Pictures and report of the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.ood.signature import SPECTRUM
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.demo.story import Story
from trainer.measuring.shipped_pass import ShippedPass
from trainer.report.curves import SpectrumPanel, dice_figure, ood_figure, spectrum_figure, training_figure
from trainer.report.report import Report, png_bytes, write_whole
from trainer.report.run_folder import RunFolder
from trainer.report.slice_view import CaseView, LabelStyle, overview_figure

SHOWN_LAYERS = ("encoder0", "encoder1", "decoder1", "decoder0")
COLOURS = ((231, 84, 72), (78, 190, 112), (70, 140, 240), (250, 200, 60), (190, 110, 220), (70, 200, 210))
TITLES = {
    "Dataset901_PhantomBrainT1": "Head, T1 MR",
    "Dataset902_PhantomHeartCine": "Heart, cine MR",
    "Dataset903_PhantomTorsoCT": "Torso, CT",
}


def write_pictures(story: Story, predictor: Predictor, run: RunFolder, directory: Path) -> None:
    """Writes the pictures as PNG files and once more together in ``report.html``.

    Args:
        story: what the demo found out.
        predictor: the model.
        run: holds the log of the training.
        directory: where the files go.
    """
    pictures = {
        "overview": (overview(story), "Unseen phantoms and two foreign objects: outlines, uncertainty and verdict."),
        "ood_scores": (scores(story), "Distance from the known images; the dashed line is the limit."),
        "spectrum": (
            spectrum("knee", story.foreign["knee"], predictor),
            "Singular values of the knee's feature maps against those of the nearest task's images.",
        ),
        "spectrum_known": (
            spectrum(story.known[0].name, story.known[0].result, predictor),
            "The same for an unseen image of a known task.",
        ),
        "training_curves": (training_figure(run.records()), "Training on two CPU cores."),
        "dice": (dice_strip(story), "Dice of every unseen case against its exact labels."),
    }
    report = Report("MultiTaskSeg demo: three tasks, one model, foreign images flagged")
    for name, (figure, caption) in pictures.items():
        png = png_bytes(figure)
        write_whole(directory / f"{name}.png", png)
        report.add_png(png, caption)
    _add_words(report, story)
    report.write(directory / "report.html")


def overview(story: Story) -> Figure:
    """First unseen case of each task, then two foreign objects."""
    first = {case.task: case for case in reversed(story.known)}
    views = [
        view(TITLES[case.task], case.result, f"Dice {case.mean_dice:.2f} against the exact labels")
        for case in reversed(first.values())
    ]
    views += [view(f"{name.capitalize()} (foreign)", story.foreign[name], "") for name in ("knee", "seed pod")]
    return overview_figure(views)


def view(title: str, result: Segmentation, note: str) -> CaseView:
    """A result as the slice pictures want it; foreign objects (no note) are cut upright."""
    # Anatomical colours are much alike (liver and kidney are both red-brown); a picture needs different ones.
    styles = tuple(
        LabelStyle(label.value, label.display_name, COLOURS[number % len(COLOURS)])
        for number, label in enumerate(result.task.labels)
    )
    verdict = result.checked
    return CaseView(
        title=title,
        volume=result.volume,
        labels=result.labels,
        uncertainty=result.uncertainty,
        styles=styles,
        verdict=verdict,
        known_as=TITLES[verdict.nearest_task],
        note=note or f"Nearest task: {TITLES[verdict.nearest_task]}",
        plane="axial" if note else "coronal",
    )


def scores(story: Story) -> Figure:
    """Distances of the known, foreign and spoilt images, as multiples of the limits, which differ by task."""

    def multiple(result: Segmentation) -> float:
        """Above 1 an image is foreign."""
        return result.checked.score / result.checked.threshold

    known: dict[str, list[float]] = {}
    for case in story.known:
        known.setdefault(TITLES[case.task], []).append(multiple(case.result))
    foreign = {name: [multiple(result)] for name, result in story.foreign.items()}
    spoilt = {f"head, {name}": [multiple(result)] for name, result in story.spoilt.items()}
    return ood_figure(known, foreign | spoilt, 1.0, "distance from the nearest task, as a multiple of its limit")


def spectrum(name: str, result: Segmentation, predictor: Predictor) -> Figure:
    """Spectra of an image against the band of its nearest task."""
    reference, verdict = predictor.model.reference, result.checked
    task = next(t for t in predictor.manifest.tasks if t.name == verdict.nearest_task)
    prepared = prepare(result.volume, task.profile)
    shipped = ShippedPass(predictor.network, predictor.device)
    vectors = reference.spec.vectors(shipped.observed(prepared.voxels, reference.spec))
    own = reference.tasks == reference.task_names.index(task.name)
    # A whitened signature has two blocks per layer, of which one is the spectrum.
    names = {block.removesuffix(f".{SPECTRUM}"): block for block in vectors}
    blocks = {layer: names[layer] for layer in SHOWN_LAYERS if layer in names}
    panels = [SpectrumPanel(layer, vectors[b], reference.vectors[b][own]) for layer, b in blocks.items()]
    return spectrum_figure(panels, name, TITLES[task.name], verdict.is_ood)


def dice_strip(story: Story) -> Figure:
    """Dice of every unseen case by task and label."""
    table: dict[str, dict[str, list[float]]] = {}
    for case in story.known:
        for label, value in case.dice.items():
            table.setdefault(TITLES[case.task], {}).setdefault(label.replace("_", " "), []).append(value)
    return dice_figure(table)


def _add_words(report: Report, story: Story) -> None:
    failures = story.failures()
    report.add_heading("Did the story hold?")
    report.add_verdict("No: " + "; ".join(failures) if failures else "Yes.", not failures)
    report.add_table(
        ["case", "task chosen", "mean Dice", "distance", "verdict"],
        [
            [c.name, TITLES[c.result.task.name], c.mean_dice, c.result.checked.score, _words(c.result)]
            for c in story.known
        ],
        "Unseen phantoms",
    )
    odd = {**story.foreign, **{f"head, {name}": result for name, result in story.spoilt.items()}}
    report.add_table(
        ["image", "nearest task", "distance", "p-value", "mean uncertainty", "verdict"],
        [
            [
                n,
                TITLES[r.checked.nearest_task],
                r.checked.score,
                r.checked.p_value,
                float(np.mean(r.uncertainty)),
                _words(r),
            ]
            for n, r in odd.items()
        ],
        "Foreign objects, and one head with faults",
    )


def _words(result: Segmentation) -> str:
    return "OUT OF DISTRIBUTION" if result.checked.is_ood else "in distribution"
