"""Slicer module: segments a volume and shows segments, uncertainty and the out-of-distribution verdict."""

from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.panel.installation import ensure_packages
from MultiTaskSegLib.panel.summary import error_text, progress_text, result_text
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.heatmap import DEFAULT_OPACITY, DEFAULT_THRESHOLD, set_threshold, show_heatmap
from MultiTaskSegLib.scene.result import SegmentationResult, add_result
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.scene.segmentation import show_3d
from MultiTaskSegLib.scene.volume import image_from_node
from MultiTaskSegLib.task_list import task_names

POLL_INTERVAL_MS = 100
AUTO = "auto"


class MultiTaskSeg(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("MultiTaskSeg")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["MultiTaskSeg contributors"]
        self.parent.helpText = _(
            "Segments structures in MR, CT, X-ray and ultrasound images with one network, shows where the result is"
            " uncertain, and says whether the image is unlike the training images. Not for clinical use."
        )
        self.parent.acknowledgementText = _("The training data and their authors are listed in the model card.")


@parameterNodeWrapper
class MultiTaskSegParameterNode:
    """What the panel remembers with the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    task: str = AUTO
    modelPath: str = ""
    device: Annotated[str, Choice([AUTO, "cpu", "cuda"])] = AUTO
    showUncertainty: bool = True
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = DEFAULT_OPACITY
    threshold: Annotated[float, WithinRange(0.0, 1.0)] = DEFAULT_THRESHOLD
    segmentation: vtkMRMLSegmentationNode
    uncertainty: vtkMRMLScalarVolumeNode


class MultiTaskSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
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
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MultiTaskSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MultiTaskSegLogic()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_INTERVAL_MS)
        self._timer.connect("timeout()", self.onPoll)
        self.ui.segmentButton.connect("clicked(bool)", self.onSegmentButton)
        self.ui.show3DButton.connect("clicked(bool)", self.onShow3DButton)
        self.ui.taskComboBox.connect("currentIndexChanged(int)", self.onTaskChanged)
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

    def setParameterNode(self, parameterNode: MultiTaskSegParameterNode | None) -> None:
        """Show and follow another parameter node, or none."""
        if self._parameterNode is not None:
            self._parameterNode.disconnectGui(self._guiTag)
            self.removeObserver(self._parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self.selectFirstVolume()
            self._guiTag = parameterNode.connectGui(self.ui)
            self.ui.modelPathLineEdit.currentPath = parameterNode.modelPath
            self.updateTasks()
            self.addObserver(parameterNode, vtk.vtkCommand.ModifiedEvent, self.onParameterNodeModified)
        self.updateGui()

    def selectFirstVolume(self) -> None:
        """Select a volume for the user when none is selected."""
        if self._parameterNode.inputVolume is None:
            self._parameterNode.inputVolume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")

    def onParameterNodeModified(self, _caller: vtk.vtkObject = None, _event: str = "") -> None:
        """A choice of the user: apply what concerns the display, and enable what is possible now."""
        parameters = self._parameterNode
        if parameters is not None and parameters.uncertainty is not None and parameters.inputVolume is not None:
            set_threshold(parameters.uncertainty, parameters.threshold)
            opacity = parameters.opacity if parameters.showUncertainty else 0.0
            show_heatmap(parameters.inputVolume, parameters.uncertainty, opacity)
        self.updateGui()

    def onModelChanged(self, path: str) -> None:
        """Another model file, or none for the released one: it may know other tasks."""
        if self._parameterNode is not None:
            self._parameterNode.modelPath = path
            self.updateTasks()

    def onTaskChanged(self, _index: int) -> None:
        """Remember the chosen task."""
        if self._parameterNode is not None and self.ui.taskComboBox.currentData:
            self._parameterNode.task = self.ui.taskComboBox.currentData

    def updateTasks(self) -> None:
        """Offer the tasks of the chosen model, keeping the current one where the model knows it."""
        wanted = self._parameterNode.task
        comboBox = self.ui.taskComboBox
        wasBlocked = comboBox.blockSignals(True)
        comboBox.clear()
        comboBox.addItem(_("Recognise automatically"), AUTO)
        for name in self.logic.taskNames(self._parameterNode.modelPath):
            comboBox.addItem(name, name)
        comboBox.setCurrentIndex(max(comboBox.findData(wanted), 0))
        comboBox.blockSignals(wasBlocked)
        self._parameterNode.task = comboBox.currentData

    def updateGui(self) -> None:
        """Text and state of the buttons."""
        isRunning = self._run is not None
        parameters = self._parameterNode
        self.ui.segmentButton.text = _("Cancel") if isRunning else _("Segment")
        self.ui.segmentButton.enabled = isRunning or (parameters is not None and parameters.inputVolume is not None)
        self.ui.show3DButton.enabled = parameters is not None and parameters.segmentation is not None
        self.ui.progressBar.visible = isRunning
        self.ui.progressLabel.visible = isRunning

    def onSegmentButton(self, _checked: bool = False) -> None:
        """Start a run, or cancel the one under way."""
        if self._run is not None:
            self._run.end()
            self.onPoll()
            return
        self.ui.resultLabel.text = ""
        parameters = self._parameterNode
        try:
            ensure_packages()
            self._run = self.logic.start(
                parameters.inputVolume, parameters.task, parameters.modelPath or None, parameters.device
            )
        except MtsError as error:
            self.ui.resultLabel.text = error_text(str(error))
            return
        self._timer.start()
        self.updateGui()

    def onPoll(self) -> None:
        """Show the progress, or the result when the run is over."""
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
            with slicer.util.tryWithErrorDisplay(_("The result could not be shown."), show=job.error is None):
                self.showResult(self.logic.finish(run))
        except MtsError as error:
            self.ui.resultLabel.text = error_text(str(error))
        finally:
            self.updateGui()

    def showResult(self, result: SegmentationResult) -> None:
        """Put the words in the panel and the heatmap over the volume."""
        self.ui.resultLabel.text = result_text(result.report)
        if self._parameterNode is not None:
            self._parameterNode.segmentation = result.segmentation
            self._parameterNode.uncertainty = result.uncertainty
            self.onParameterNodeModified()

    def onShow3DButton(self, _checked: bool = False) -> None:
        """Make and show the surfaces."""
        with slicer.util.tryWithErrorDisplay(_("The surfaces could not be made."), waitCursor=True):
            show_3d(self._parameterNode.segmentation)


class MultiTaskSegLogic(ScriptedLoadableModuleLogic):
    """What the module does, for the panel and for scripts."""

    def getParameterNode(self) -> MultiTaskSegParameterNode:
        """The typed parameter node of the scene."""
        return MultiTaskSegParameterNode(super().getParameterNode())

    def taskNames(self, model: str | Path | None = None) -> list[str]:
        """Names of the tasks that a model knows; of both released models by default, empty for a damaged file."""
        return task_names(model or None)

    def start(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        task: str = AUTO,
        model: str | Path | None = None,
        device: str = AUTO,
    ) -> SceneRun:
        """Start a segmentation without waiting for it.

        Raises:
            InputError: the volume cannot be segmented (label map, several values per voxel, non-linear transform ...).
            UsageError: another run is under way.
            ResourceError: the worker cannot be started.
        """
        image = image_from_node(volumeNode)
        return SceneRun(volumeNode, shared_runner().segment(image, task=task, model=model, device=device))

    def finish(self, run: SceneRun) -> SegmentationResult:
        """Add the result of a finished run to the scene. Raises what the run failed with."""
        return add_result(run.volume_node, run.result())

    def segment(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        task: str = AUTO,
        model: str | Path | None = None,
        device: str = AUTO,
    ) -> SegmentationResult:
        """Segment a volume and wait for the result, keeping the application responsive.

        Raises:
            MtsError: what went wrong, as from :meth:`start` and the model.
        """
        run = self.start(volumeNode, task, model, device)
        try:
            run.job.wait(idle=slicer.app.processEvents)
        finally:
            run.end()
        return self.finish(run)


class MultiTaskSegTest(ScriptedLoadableModuleTest):
    """Self-test inside Slicer: needs the packages to be installed, downloads nothing."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Segment a small synthetic volume and look at all that comes back."""
        self.setUp()
        self.test_segmentAddsSegmentsAndUncertaintyOnTheGridOfTheVolume()

    def test_segmentAddsSegmentsAndUncertaintyOnTheGridOfTheVolume(self) -> None:
        """The result lies on the grid of the input, has segments, and carries a verdict."""
        import numpy as np

        voxels = np.random.default_rng(0).normal(100.0, 20.0, (40, 48, 44)).astype(np.float32)
        volumeNode = slicer.util.addVolumeFromArray(voxels, name="Noise")
        result = MultiTaskSegLogic().segment(volumeNode)
        self.assertGreater(result.segmentation.GetSegmentation().GetNumberOfSegments(), 0)
        self.assertEqual(slicer.util.arrayFromVolume(result.uncertainty).shape, voxels.shape)
        self.assertIn(result.ood.is_ood, (True, False))
