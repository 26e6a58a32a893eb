"""Pictures of OODCheck on stand-in widgets: ``python -m Testing.slicer.oodcheck_pictures -o DIR [--dark]``.

Checks the sample data with the model of the phantoms and the real worker: ``oodcheck.png`` (one image) and
``oodcheck_batch.png`` (all images of the scene, a foreign one selected in the table); with off-screen OpenGL also
``spectrum.png`` and ``distances.png``, its charts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtGui import QColor, QPalette

from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.slicer.mrml_session import MrmlSession
from Testing.slicer.pictures import add_volume
from Testing.slicer.plot_view import draw_chart
from Testing.slicer.stand_ins.installation import application, install
from Testing.slicer.stand_ins.panel import Panels, run_event_loop_until
from Testing.slicer.views import can_render

WIDTH = 400  # about that of Slicer's own panel
TIMEOUT_S = 300.0
SETTLE_S = 0.5  # until the layout has taken in new text
# The colours of Slicer's dark style.
DARK = {
    QPalette.ColorRole.Window: "#353535",
    QPalette.ColorRole.WindowText: "#ffffff",
    QPalette.ColorRole.Base: "#252525",
    QPalette.ColorRole.AlternateBase: "#353535",
    QPalette.ColorRole.Text: "#ffffff",
    QPalette.ColorRole.Button: "#353535",
    QPalette.ColorRole.ButtonText: "#ffffff",
}


def make_dark() -> None:
    """Draw all widgets as in Slicer's dark style."""
    palette = QPalette()
    for role, colour in DARK.items():
        palette.setColor(role, QColor(colour))
    application().setStyle("Fusion")
    application().setPalette(palette)


def check(widget: object) -> None:
    """Press the button and wait for the end."""
    widget.ui.checkButton.click()
    run_event_loop_until(lambda: widget.ui.checkButton.text == "Check", TIMEOUT_S)


def picture_taker(widget: object, folder: Path) -> Callable[[str, int], None]:
    """Saves the panel under a name at a height in pixels."""

    def save(name: str, height: int) -> None:
        widget.parent.resize(WIDTH, height)
        widget.parent.show()
        run_event_loop_until(lambda: False, SETTLE_S)
        widget.parent.grab().save(str(folder / name))

    return save


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
    from MultiTaskSegLib.registration.sample_data import SAMPLES, sample_model  # needs the stand-ins

    for sample in SAMPLES:
        add_volume(read_image(sample.path), sample.name)
    panels = Panels(qt, session)
    widget = panels.open("OODCheck")
    save = picture_taker(widget, options.output)
    widget.ui.modelPathLineEdit.currentPath = str(sample_model())
    check(widget)
    save("oodcheck.png", 560)
    widget.ui.scopeComboBox.setCurrentIndex(widget.ui.scopeComboBox.findData("scene"))
    check(widget)
    widget.ui.resultTable.cellActivated.emit(len(SAMPLES) - 1, 0)
    save("oodcheck_batch.png", 760)
    if can_render():
        for name in ("spectrum", "distances"):
            getattr(widget.ui, f"{name}Button").click()
            chart = session.scene.GetNodeByID(session.application_logic.GetSelectionNode().GetActivePlotChartID())
            draw_chart(chart, options.output / f"{name}.png")
    panels.close()
    shared_runner().close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
