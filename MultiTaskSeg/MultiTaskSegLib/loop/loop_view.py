"""All parts of the panel that belong to the loop from a result to a better model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer

from MultiTaskSegLib.loop.correction_bar import CorrectionBar
from MultiTaskSegLib.loop.dataset_view import DatasetView
from MultiTaskSegLib.loop.scene_watch import shared_watch
from MultiTaskSegLib.loop.training_view import TrainingView
from MultiTaskSegLib.panel.element.keyboard_focus import make_reachable
from MultiTaskSegLib.panel.result_view import ResultView

UI_FILE = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "LearnPanel.ui"


class LoopView:
    """Correcting, keeping, learning: below the result, and in a section of their own."""

    def __init__(
        self,
        ui: Any,
        result: ResultView,
        failed: Callable[[str], object],
        use: Callable[[str], object],
        changed: Callable[[], object],
    ) -> None:
        """Take over the widgets, and load those of the section.

        Args:
            ui: of the panel.
            result: what is shown.
            failed: is told in words what could not be done.
            use: is called with the path of a new model that the panel is to use.
            changed: is called when segments of a result were corrected.
        """
        section = slicer.util.loadUI(str(UI_FILE))
        ui.learnCollapsibleButton.layout().addWidget(section)
        self.ui = slicer.util.childWidgetVariables(section)
        make_reachable(self.ui)
        self._bar = CorrectionBar(ui, result, failed)
        self._dataset = DatasetView(self.ui, lambda: result.segmentation)
        self.training = TrainingView(self.ui, self._dataset.folder, lambda: result.segmentation, use)
        self._changed, self._watch = changed, shared_watch()
        self._watch.tell(changed)

    def show(self) -> None:
        """Bring all parts up to date; the scene may be another one than before."""
        watch = shared_watch()
        if watch is not self._watch:
            self._watch = watch
            watch.tell(self._changed)
        self._bar.show()
        self._dataset.show()
        self.training.show()

    def release(self) -> None:
        """The panel is about to go. A training goes on."""
        self._watch.forget(self._changed)
        self.training.release()
