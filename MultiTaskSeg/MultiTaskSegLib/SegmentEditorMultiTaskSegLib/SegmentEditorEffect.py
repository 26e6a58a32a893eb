"""Effect "MultiTaskSeg" of the Segment Editor: adds the segments of a run to the segmentation that is being edited.

The model, the device and the task are those chosen in the module MultiTaskSeg. The run is the same as there, in the
same worker, and goes on while other effects are used. The verdict on the image is shown here, is written onto the
volume, and goes with each segment.
"""

# ruff: noqa: N802 (Slicer gives the names)

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
import slicer
from SegmentEditorEffects import AbstractScriptedSegmentEditorEffect
from slicer.i18n import tr as _

from MultiTaskSegLib.catalogue.model_note import model_text
from MultiTaskSegLib.chosen_model import require_model
from MultiTaskSegLib.installation.installation import ensure_packages
from MultiTaskSegLib.panel.run_control import RunControl
from MultiTaskSegLib.panel.summary import error_text, result_text
from MultiTaskSegLib.runtime.errors import InputError, MtsError
from MultiTaskSegLib.scene.edited_segmentation import add_segments, require_place
from MultiTaskSegLib.scene.result_record import write_record
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.typed_error import typed_errors

MODULE = "MultiTaskSeg"
ICON = Path(__file__).resolve().parents[2] / "Resources" / "Icons" / "MultiTaskSeg.png"


class SegmentEditorEffect(AbstractScriptedSegmentEditorEffect):
    """One button that starts and cancels, the progress, and the verdict."""

    def __init__(self, scriptedEffect: Any) -> None:
        """Called by Slicer with the C++ object that this class speaks for."""
        scriptedEffect.name = MODULE  # not translated: Slicer finds effects by their name
        scriptedEffect.perSegment = False
        scriptedEffect.requireSegments = False
        self.run: RunControl | None = None
        self._segmentation: Any = None
        AbstractScriptedSegmentEditorEffect.__init__(self, scriptedEffect)

    def clone(self) -> Any:
        """Another one of these, for another editor."""
        import qSlicerSegmentationsEditorEffectsPythonQt as effects

        clonedEffect = effects.qSlicerSegmentEditorScriptedEffect(None)
        clonedEffect.setPythonSource(__file__.replace("\\", "/"))
        return clonedEffect

    def icon(self) -> Any:
        """The icon of the module."""
        return qt.QIcon(str(ICON))

    def helpText(self) -> str:
        """What the effect does, for the help above its options."""
        return _(
            "Segments the source volume and adds the segments, without changing those that are there. Task, model and"
            " device are those of the module MultiTaskSeg, which also shows the uncertainty. Not for clinical use."
        )

    def createCursor(self, _widget: Any) -> Any:
        """The usual cursor: nothing is drawn."""
        return slicer.util.mainWindow().cursor

    def setupOptionsFrame(self) -> None:
        """Make the widgets."""
        self.applyButton = qt.QPushButton()
        self.applyButton.setToolTip(_("Segment the source volume, or cancel the run under way. Can be undone."))
        self.progressBar = qt.QProgressBar()
        self.progressLabel = qt.QLabel()
        self.resultLabel = qt.QLabel()
        self.resultLabel.wordWrap = True
        self.resultLabel.setTextFormat(qt.Qt.RichText)
        self.modelLabel = qt.QLabel()
        self.modelLabel.wordWrap = True
        self.modelLabel.setTextFormat(qt.Qt.RichText)
        for widget in (self.modelLabel, self.applyButton, self.progressBar, self.progressLabel, self.resultLabel):
            self.scriptedEffect.addOptionsWidget(widget)
        self.run = RunControl(self.applyButton, self.progressBar, self.progressLabel, _("Segment"), self.onFinished)
        self.applyButton.connect("clicked(bool)", self.onApply)
        self.sourceVolumeNodeChanged()

    def cleanup(self) -> None:
        """The effect is about to go: end its run."""
        if self.run is not None:
            self.run.release()
            self.applyButton.disconnect("clicked(bool)", self.onApply)
            self.run = None

    def sourceVolumeNodeChanged(self) -> None:
        """Another volume, or none: enable what is possible now."""
        if self.run is not None:
            self.run.show(self._source_volume() is not None)
            self._show_model()

    def activate(self) -> None:
        """The user turns to the effect: the model may have been chosen anew in the module."""
        self.sourceVolumeNodeChanged()

    def onApply(self, _checked: bool = False) -> None:
        """Start a run, or cancel the one under way."""
        if self.run.is_running:
            self.run.cancel()
            return
        self.resultLabel.text = ""
        self._show_model()
        try:
            with typed_errors():
                require_model(self._chosen().modelPath)
                with self.run.preparing():
                    ensure_packages()
                self.run.watch(self._started())
        except MtsError as error:
            self.resultLabel.text = error_text(str(error))

    def onFinished(self, run: SceneRun) -> None:
        """Add the segments, after a state to go back to; or say what went wrong."""
        try:
            with typed_errors():
                found = run.result()
                run.notes.record.require_unchanged(run.volume_node)
                require_place(run.volume_node, self._segmentation)
                if self._edited() is self._segmentation:  # else the state would be that of another one
                    self.scriptedEffect.saveStateForUndo()
                add_segments(run.volume_node, self._segmentation, found)
                write_record(run.volume_node, run.notes.record, found.report, run.notes.parameters)
        except MtsError as error:
            self.resultLabel.text = error_text(str(error))
        else:
            warnings = found.report.get("warnings", [])
            self.resultLabel.text = result_text(found.verdict, str(found.report.get("task")), warnings)
        self.sourceVolumeNodeChanged()

    def _started(self) -> SceneRun:
        volume = self._source_volume()
        if volume is None:
            raise InputError("no source volume is selected", remedy="Select one above")
        self._segmentation = self._edited()
        require_place(volume, self._segmentation)
        logic, chosen = slicer.util.getModuleLogic(MODULE), self._chosen()
        started: SceneRun = logic.start(volume, chosen.task, chosen.modelPath or None, chosen.device)
        return started

    def _chosen(self) -> Any:
        """The choices of the module."""
        return slicer.util.getModuleLogic(MODULE).getParameterNode()

    def _show_model(self) -> None:
        """Name a model that is not the released one."""
        self.modelLabel.text = model_text(self._chosen().modelPath)
        self.modelLabel.visible = bool(self.modelLabel.text)

    def _source_volume(self) -> Any:
        node = self.scriptedEffect.parameterSetNode()
        return None if node is None else node.GetSourceVolumeNode()

    def _edited(self) -> Any:
        node = self.scriptedEffect.parameterSetNode()
        return None if node is None else node.GetSegmentationNode()
