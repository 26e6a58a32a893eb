"""What a page says that a command leaves, prints or ends with, beside ending with 0."""

from __future__ import annotations

RESULT = ("segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", "report.json")
RUN = ("report.html", "metrics.json", "metrics.jsonl")
COHORT = ("cohort.csv", "cohort.html", "cohort.json", "cohort.log.jsonl", "cohort.parquet")


def _in(folder: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


# By the command that is run: files.
LEAVES: dict[str, tuple[str, ...]] = {
    "multitaskseg segment scan.nii.gz -o result": _in("result", RESULT),
    "multitaskseg segment scan.nii.gz -m mine.mts.safetensors -o result": _in("result", RESULT),
    "multitaskseg segment scan.nii.gz -m kidney.mts.safetensors -o result": _in("result", RESULT),
    "multitaskseg segment scan.nii.gz -o plain": _in("plain", RESULT),
    "multitaskseg cohort segment scans -m mr3d -o results --workers 2": _in("results", COHORT),
    "multitaskseg cohort check list.csv -m mr3d -o verdicts --workers 2": _in("verdicts", COHORT),
    "multitaskseg check scan.nii.gz -m model.mts.safetensors --map maps --device cpu --json": (
        "maps/scan_foreign.nii.gz",
    ),
    "python -m trainer train --data Dataset201_KidneyCT Dataset202_LiverCT -o mine.mts.safetensors --minutes 0.01 "
    "--config small.toml": _in("mine.run", RUN),
    "python -m Testing.bench.head.known_heads . -o known --kept-back rest": ("known/dataset.json", "rest/dataset.json"),
    "python -m trainer recommend --data Dataset201_KidneyCT --models . -o recommended": (
        "recommended/recommendation.json",
        "recommended/report.html",
    ),
}
# By the command that is run: words that it prints.
SAYS: dict[str, tuple[str, ...]] = {
    "multitaskseg info mr3d": ("Dataset101_HippocampusT1", "mr3d.mts.safetensors"),
    "multitaskseg models": ("mr3d", "planar2d", "head_brain"),
    "multitaskseg info model.mts.safetensors": ("SHA-256",),
    "python -m trainer verify Dataset201_KidneyCT": ("0 defects",),
}
# By the command that is run: pages that it writes anew, the same as before, because nothing in them is typed.
SAME: dict[str, tuple[str, ...]] = {
    "multitaskseg-trainer experiment model-page -m mr3d planar2d head_brain --results docs/results --evaluations "
    "docs/results/evaluation-2026-11-29-mr3d-told.json -o docs/models.md": (
        "docs/models.md",
        "docs/models/mr3d.md",
        "docs/models/planar2d.md",
        "docs/models/head_brain.md",
    ),
}
