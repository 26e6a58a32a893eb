"""Pictures of the list of models on stand-in widgets: ``python -m Testing.slicer.model_pictures -o DIR [--dark]``.

``models.png`` (the list in Slicer), ``import.png`` (what is asked before an import) and ``channels.png`` (the panel for
a task of two channels). The user's folder holds the model of the phantoms and files that are headers only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import slicer

from Testing.runtime.model.header_file import manifest, task_entry, write_header_file
from Testing.slicer import scene_samples
from Testing.slicer.fake_worker import TRAINED
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.oodcheck_pictures import SETTLE_S, WIDTH, make_dark
from Testing.slicer.stand_ins.installation import install
from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until

PANEL_HEIGHT = 420


def fill_folder(folder: Path) -> Path:
    """Write a folder of models; the one that takes two channels."""
    from MultiTaskSegLib.registration.sample_data import sample_model  # needs the stand-ins

    shutil.copy(sample_model(), folder)
    names = ("whole tumour", "tumour core", "enhancing tumour")
    labels = [{"value": n, "name": name, "display_name": name} for n, name in enumerate(names, 1)]
    pair = task_entry("BrainTumour", modality="FLAIR, T1c", anatomy="", labels=labels, inputs=["FLAIR", "T1c"])
    return write_header_file(folder / "tumour.mts.safetensors", manifest(pair, ood=None, licence="CC BY 4.0"))


def save(widget: object, path: Path) -> None:
    """Draw a widget as it is."""
    widget.show()
    run_event_loop_until(lambda: False, SETTLE_S)
    widget.grab().save(str(path))


def draw(output: Path, panels: Panels) -> None:
    """All pictures."""
    from MultiTaskSegLib.catalogue.import_form import ImportForm

    for name in ("FLAIR", "T1c"):
        scene_samples.volume(name=name)
    model = Path(os.environ["MULTITASKSEG_MODELS"]) / "tumour.mts.safetensors"
    panel = panels.open("MultiTaskSeg")
    panel.ui.modelPathLineEdit.currentPath = str(model)
    panel._channels._rows[0][1].setCurrentNode(slicer.util.getNode("T1c"))
    panel.parent.resize(WIDTH, PANEL_HEIGHT)
    save(panel.parent, output / "channels.png")
    panel.ui.modelsButton.click()
    shown = panel._model.list
    save(shown.dialog, output / "models.png")
    form = ImportForm(shown.dialog, "nnUNet_results/Dataset001_Balls", TRAINED[1:], lambda _choice: None)
    save(form.dialog, output / "import.png")
    form.dialog.reject()


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    qt, session = install(), MrmlSession()
    if options.dark:
        make_dark()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MULTITASKSEG_MODELS"] = folder
        fill_folder(Path(folder))
        panels = Panels(qt, session)
        draw(options.output, panels)
        panels.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
