"""Pictures of the loop, from a result to a better model: ``python -m Testing.slicer.loop_pictures -o DIR``.

The phantom head is segmented with its model, corrected, kept and trained on, all with the real worker and the real
trainer; widgets are stand-ins, and the brush is a ball of voxels. ``loop_region.png`` (a region to work off),
``loop_corrected.png`` (the table after a correction), ``loop_dataset.png`` (kept as a case), ``loop_training.png`` (a
training under way) and ``loop_trained.png`` (the new model). The Segment Editor itself needs Slicer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import slicer

from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.oodcheck_pictures import SETTLE_S, WIDTH
from Testing.slicer.screenshots import MODEL, SAMPLES
from Testing.slicer.stand_ins.installation import install
from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until
from trainer.phantom.cohort import write_dataset
from trainer.phantom.task import TASKS, draw_exams

CASES, SEED, BALL_VOXELS = 6, 3, 3
TIMEOUT_S = 900.0


def picture(panel: object, part: object, path: Path) -> None:
    """Draw one part of a panel that is as high as it wants to be."""
    for _again in range(2):  # texts that are wrapped get their lines
        panel.parent.resize(WIDTH, panel.parent.layout().heightForWidth(WIDTH))
        run_event_loop_until(lambda: False, SETTLE_S)
    part.grab().save(str(path))


def stand_in_editor() -> None:
    """A Segment Editor that takes everything."""
    editor = types.SimpleNamespace(
        **dict.fromkeys(
            ("setSegmentationNode", "setSourceVolumeNode", "setCurrentSegmentID", "setActiveEffectByName"),
            lambda _value: None,
        )
    )
    panel = types.SimpleNamespace(editor=editor)
    representation = types.SimpleNamespace(self=lambda: panel)
    slicer.modules.segmenteditor = types.SimpleNamespace(widgetRepresentation=lambda: representation)
    slicer.util.selectModule = lambda _name: None


def paint_ball(widget: object) -> None:
    """Correct the segment of the region that is shown by a ball of voxels around it."""
    result = widget._resultView
    done = widget.logic.correct(result.segmentation, region=result.region)
    volume = widget.parameters.inputVolume
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result.segmentation, done.segment_id, volume)
    distance = np.indices(mask.shape) - np.reshape(result.region.place_ijk[::-1], (3, 1, 1, 1))
    mask[(distance**2).sum(axis=0) <= BALL_VOXELS**2] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result.segmentation, done.segment_id, volume)
    widget.logic.correctedSegments(result.segmentation)
    widget.onParametersChanged()


def draw(output: Path, panels: Panels, folder: Path) -> None:
    """All pictures; ``folder`` is for what is written meanwhile."""
    task = TASKS[0]
    dataset = write_dataset(folder / task.dataset, task, draw_exams(task, SEED, CASES), [])
    slicer.modules.volumes.logic().AddArchetypeVolume(str(SAMPLES / "PhantomHead.nrrd"), "PhantomHead", 0)
    widget = panels.open("MultiTaskSeg")
    ui, learn = widget.ui, widget._loop.ui
    widget.parameters.modelPath = str(MODEL)
    widget.parent.resize(WIDTH, 1200)
    widget.parent.show()
    ui.segmentButton.click()
    run_event_loop_until(lambda: ui.segmentButton.text == "Segment", TIMEOUT_S)
    ui.nextRegionButton.click()
    ui.regionDoneButton.click()
    picture(widget, ui.resultCollapsibleButton, output / "loop_region.png")
    paint_ball(widget)
    picture(widget, ui.resultCollapsibleButton, output / "loop_corrected.png")
    ui.learnCollapsibleButton.collapsed = False
    learn.datasetPathLineEdit.currentPath = str(dataset)
    learn.minutesSpinBox.value = 1
    learn.trainerPathLineEdit.currentPath = ""
    learn.addToDatasetButton.click()
    picture(widget, ui.learnCollapsibleButton, output / "loop_dataset.png")
    learn.trainButton.click()
    training = widget.logic.currentTraining()
    run_event_loop_until(lambda: training.is_over or len(training.dice) > 1, TIMEOUT_S)
    picture(widget, ui.learnCollapsibleButton, output / "loop_training.png")
    run_event_loop_until(lambda: training.is_over, TIMEOUT_S)
    widget.onParametersChanged()
    picture(widget, ui.learnCollapsibleButton, output / "loop_trained.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    qt, session = install(), MrmlSession()
    qt.QSettings().clear()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MULTITASKSEG_MODELS"] = str(Path(folder) / "models")
        stand_in_editor()
        panels = Panels(qt, session)
        draw(options.output, panels, Path(folder))
        panels.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
