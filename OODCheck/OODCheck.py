"""Slicer module: says whether a volume is unlike the images that the model was trained on."""

# MultiTaskSegLib lies beside another module, whose folder Slicer may add to the import path only after this file has
# been read; its parts are therefore imported where they are needed.

from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

POLL_INTERVAL_MS = 100


class OODCheck(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("OOD Check")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["MultiTaskSeg"]
        self.parent.contributors = ["MultiTaskSeg contributors"]
        self.parent.helpText = _(
            "Compares the spectral signature of an image with those of the training images and says whether the image"
            " is out of distribution, before any result is relied upon. Not for clinical use."
        )
        self.parent.acknowledgementText = ""


@parameterNodeWrapper
class OODCheckParameterNode:
    """What the panel remembers with the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    modelPath: str = ""


class OODCheckWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent: object = None) -> None:
        self.logic = None
        self._parameterNode = None
        self._guiTag = None
        self._run = None
        VTKObservationMixin.__init__(self)
        ScriptedLoadableModuleWidget.__init__(self, parent)  # last: without a parent it calls setup()

    def setup(self) -> None:
        """Load the .ui file and connect everything."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/OODCheck.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = OODCheckLogic()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.onPoll)
        self.ui.checkButton.connect("clicked(bool)", self.onCheckButton)
        self.ui.plotButton.connect("clicked(bool)", self.onPlotButton)
        self.ui.modelPathLineEdit.connect("currentPathChanged(QString)", self.onModelChanged)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneEndClose)
        self.setParameterNode(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """The module is about to be unloaded."""
        self._timer.stop()
        if self._run is not None:
            self._run.end()
        self.setParameterNode(None)
        self.removeObservers()

    def enter(self) -> None:
        """The user opens the module."""
        if self._parameterNode is None:
            self.setParameterNode(self.logic.getParameterNode())
        else:
            self.selectFirstVolume()

    def exit(self) -> None:
        """The user leaves the module; a run goes on."""

    def onSceneStartClose(self, _caller: vtk.vtkObject, _event: str) -> None:
        """The run has been cancelled by its own observer; let go of the parameter node."""
        self.setParameterNode(None)

    def onSceneEndClose(self, _caller: vtk.vtkObject, _event: str) -> None:
        """Start afresh in the empty scene."""
        self.setParameterNode(self.logic.getParameterNode())

    def setParameterNode(self, parameterNode: OODCheckParameterNode | None) -> None:
        """Show and follow another parameter node, or none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self.selectFirstVolume()
            self._guiTag = parameterNode.connectGui(self.ui)
            self.ui.modelPathLineEdit.currentPath = parameterNode.modelPath
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.onParameterNodeModified()

    def selectFirstVolume(self) -> None:
        """Select a volume for the user when none is selected."""
        if self._parameterNode.inputVolume is None:
            self._parameterNode.inputVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")

    def onParameterNodeModified(self, _caller: vtk.vtkObject = None, _event: str = "") -> None:
        """Another volume is selected: show its verdict, if it has one."""
        if self._run is None:
            self.showVerdict()
        self.updateGui()

    def onModelChanged(self, path: str) -> None:
        """Another model file, or none for the released one."""
        if self._parameterNode is not None:
            self._parameterNode.modelPath = path

    def updateGui(self) -> None:
        """Text and state of the buttons."""
        from OODCheckLib.spectrum_plot import spectrum_chart

        isRunning = self._run is not None
        hasInput = self._parameterNode is not None and self._parameterNode.inputVolume is not None
        self.ui.checkButton.text = _("Cancel") if isRunning else _("Check")
        self.ui.checkButton.enabled = isRunning or hasInput
        self.ui.plotButton.enabled = hasInput and spectrum_chart(self._parameterNode.inputVolume) is not None
        self.ui.progressBar.visible = isRunning
        self.ui.progressLabel.visible = isRunning

    def showVerdict(self) -> None:
        """The verdict that the selected volume carries, in words and colour."""
        from MultiTaskSegLib.panel.summary import verdict_text
        from MultiTaskSegLib.scene.attributes import read_verdict
        from OODCheckLib.distances import distances_text

        node = None if self._parameterNode is None else self._parameterNode.inputVolume
        verdict = None if node is None else read_verdict(node)
        text = "" if verdict is None else verdict_text(verdict) + distances_text(verdict.distances)
        self.ui.resultLabel.text = text

    def onCheckButton(self, _checked: bool = False) -> None:
        """Start a check, or cancel the one under way."""
        from MultiTaskSegLib.panel.installation import ensure_packages
        from MultiTaskSegLib.panel.summary import error_text
        from MultiTaskSegLib.runtime.errors import MtsError

        if self._run is not None:
            self._run.end()
            self.onPoll()
            return
        self.ui.resultLabel.text = ""
        try:
            ensure_packages()
            node, model = self._parameterNode.inputVolume, self._parameterNode.modelPath or None
            self._run = self.logic.start(node, model, withMap=self.ui.mapCheckBox.checked)
        except MtsError as error:
            self.ui.resultLabel.text = error_text(str(error))
            return
        self._timer.start()
        self.updateGui()

    def onPlotButton(self, _checked: bool = False) -> None:
        """Show the spectrum of the selected volume in a plot view."""
        self.logic.showSpectrum(self._parameterNode.inputVolume)

    def onPoll(self) -> None:
        """Show the progress, or the verdict when the run is over."""
        from MultiTaskSegLib.panel.summary import error_text, progress_text
        from MultiTaskSegLib.runtime.errors import MtsError
        from OODCheckLib.foreign_map import show_foreign_map

        if self._run is None:
            return
        job = self._run.job
        if not job.poll():
            self.ui.progressBar.value = round(100 * job.fraction)
            self.ui.progressLabel.text = progress_text(job.fraction, job.eta_s, job.step)
            return
        self._timer.stop()
        run, self._run = self._run, None
        try:
            self.logic.finish(run)
            show_foreign_map(run.volume_node)
            self.showVerdict()
        except MtsError as error:
            self.ui.resultLabel.text = error_text(str(error))
        self.updateGui()


class OODCheckLogic(ScriptedLoadableModuleLogic):
    """What the module does, for the panel and for scripts."""

    def getParameterNode(self) -> OODCheckParameterNode:
        """The typed parameter node of the scene."""
        return OODCheckParameterNode(super().getParameterNode())

    def start(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        model: str | Path | None = None,
        device: str = "auto",
        withMap: bool = False,
    ) -> Any:
        """Start a check, with a map of foreign places if wanted, without waiting for it; returns the ``SceneRun``.

        Raises:
            InputError: the volume cannot be used (label map, several values per voxel, non-linear transform ...).
            UsageError: another run is under way.
            ResourceError: the worker cannot be started.
        """
        from MultiTaskSegLib.job import shared_runner
        from MultiTaskSegLib.scene.run import SceneRun
        from MultiTaskSegLib.scene.volume import image_from_node

        job = shared_runner().check(image_from_node(volumeNode), model=model, device=device, with_map=withMap)
        return SceneRun(volumeNode, job)

    def finish(self, run: Any) -> Any:
        """Write the verdict of a finished run onto its volume and return it; add a plot of the layer whose spectrum
        differs most, and the map of foreign places if there is one. Raises what the run failed with."""
        from MultiTaskSegLib import __version__
        from MultiTaskSegLib.scene.attributes import write_provenance, write_verdict
        from OODCheckLib.foreign_map import add_foreign_map, remove_foreign_map
        from OODCheckLib.spectrum_plot import add_spectrum_chart, most_different_band

        found = run.result()
        verdict = found.verdict
        write_provenance(run.volume_node, found.report, __version__)
        write_verdict(run.volume_node, verdict)
        band = most_different_band(found.spectra, verdict.explanation.blocks if verdict.explanation else ())
        if band is not None:
            add_spectrum_chart(run.volume_node, band, verdict.nearest_task)
        if found.foreign is None:
            remove_foreign_map(run.volume_node)
        else:
            add_foreign_map(run.volume_node, found.foreign)
        return verdict

    def showSpectrum(self, volumeNode: vtkMRMLScalarVolumeNode) -> None:
        """Show the chart of a checked volume in a plot view; does nothing for a volume without one."""
        from OODCheckLib.spectrum_plot import spectrum_chart

        chart = spectrum_chart(volumeNode)
        if chart is not None:
            slicer.modules.plots.logic().ShowChartInLayout(chart)

    def check(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        model: str | Path | None = None,
        device: str = "auto",
        withMap: bool = False,
    ) -> Any:
        """The verdict on a volume: ``is_ood``, ``score``, ``threshold``, ``p_value``, ``nearest_task``, ``distances``.

        Waits for it, keeping the application responsive, and writes it onto the node as attributes ``MultiTaskSeg.*``.
        ``withMap`` adds a volume that shows where the image is foreign (node reference ``MultiTaskSeg.ForeignMap``).

        Raises:
            MtsError: what went wrong, as from :meth:`start` and the model.
        """
        run = self.start(volumeNode, model, device, withMap)
        try:
            run.job.wait(idle=slicer.app.processEvents)
        finally:
            run.end()
        return self.finish(run)


class OODCheckTest(ScriptedLoadableModuleTest):
    """Self-test inside Slicer: needs the packages to be installed, downloads nothing."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Check a small synthetic volume."""
        self.setUp()
        self.test_noiseGetsAVerdictThatIsWrittenOntoTheNode()

    def test_noiseGetsAVerdictThatIsWrittenOntoTheNode(self) -> None:
        """The verdict has a score and stays with the volume."""
        import numpy as np

        voxels = np.random.default_rng(0).normal(100.0, 20.0, (40, 48, 44)).astype(np.float32)
        volumeNode = slicer.util.addVolumeFromArray(voxels, name="Noise")
        verdict = OODCheckLogic().check(volumeNode)
        self.assertGreaterEqual(verdict.score, 0.0)
        self.assertIsNotNone(volumeNode.GetAttribute("MultiTaskSeg.OOD"))
