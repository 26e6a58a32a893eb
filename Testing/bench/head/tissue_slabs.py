"""Tissue Dice of a head model on a dataset that it was not trained on: ``python -m Testing.bench.head.tissue_slabs``.

The dataset has CSF, cortical grey, white and deep grey matter; the model's seven classes are merged into them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.model.manifest import TaskInfo
from MultiTaskSegLib.runtime.model.model_file import read_manifest
from MultiTaskSegLib.runtime.predictor import Predictor
from trainer.data.dataset import read_dataset
from trainer.metrics.overlap import dice_per_label, mean_defined
from trainer.report.origin import origin
from trainer.report.run_folder import write_json_file

# By position in the dataset's labels: CSF, grey, white, deep grey matter. Most of the cerebellum is cortex.
MERGED = {
    1: ("ventricles", "csf"),
    2: ("cortex", "cerebellum"),
    3: ("white_matter", "brain_stem"),
    4: ("deep_grey_matter",),
}


def merged_tissues(labels: NDArray[np.integer], task: TaskInfo) -> NDArray[np.uint8]:
    """A result's labels as those of the dataset."""
    result = np.zeros(labels.shape, dtype=np.uint8)
    for value, names in MERGED.items():
        result[np.isin(labels, [label.value for label in task.labels if label.name in names])] = value
    return result


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="dataset with the labels 1 CSF, 2 grey, 3 white, 4 deep grey matter")
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("-o", "--output", type=Path, help="JSON file, to be published")
    options = parser.parse_args()
    predictor = Predictor.load(options.model)
    (task,) = (task for task in predictor.manifest.tasks if task.name == options.task)
    dataset = read_dataset(options.data)
    scores: dict[int, list[float]] = {value: [] for value in MERGED}
    for case in dataset.cases:
        volume, truth = case.read_pair(dataset.labels)
        found = merged_tissues(predictor.segment(volume, task.name).labels, task)
        for value, score in dice_per_label(found, truth, tuple(MERGED)).items():
            scores[value].append(score)
    means = {dataset.labels[value]: round(mean_defined(own), 4) for value, own in scores.items()}
    found = {"cases": len(dataset.cases), "dice": means, "mean": round(mean_defined(list(means.values())), 4)}
    found |= {"model": read_manifest(options.model)[1]}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    if options.output:
        write_json_file(options.output, origin("python -m Testing.bench.head.tissue_slabs", None) | found)


if __name__ == "__main__":
    main()
