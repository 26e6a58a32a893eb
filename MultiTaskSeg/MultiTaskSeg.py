"""Slicer module: segments a volume and shows segments, uncertainty and the out-of-distribution verdict."""

from pathlib import Path
from typing import Annotated, Any, Union

import slicer
from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLVectorVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

from MultiTaskSegLib.catalogue.model_choice import ModelChoice
from MultiTaskSegLib.installation.installation import warm_up
from MultiTaskSegLib.installation.missing_package import require_installed
from MultiTaskSegLib.installation.self_test import fault_of_brain, require_packages, run_tests, sample_head
from MultiTaskSegLib.job import shared_runner
from MultiTaskSegLib.loop import scripting
from MultiTaskSegLib.loop.loop_view import LoopView
from MultiTaskSegLib.loop.scene_watch import shared_watch
from MultiTaskSegLib.panel.batch_view import SCENE, BatchView
from MultiTaskSegLib.panel.channel_selectors import ChannelSelectors
from MultiTaskSegLib.panel.display_control import DisplayControl
from MultiTaskSegLib.panel.element.keyboard_focus import make_reachable
from MultiTaskSegLib.panel.existing_question import ASK
from MultiTaskSegLib.panel.finished_run import Onlooker
from MultiTaskSegLib.panel.message_view import MessageView, values_of
from MultiTaskSegLib.panel.preflight import Finding, inspect
from MultiTaskSegLib.panel.preflight_view import PreflightView
from MultiTaskSegLib.panel.repair_button import RepairButton
from MultiTaskSegLib.panel.result_view import ResultView
from MultiTaskSegLib.panel.run_choices import RunChoices
from MultiTaskSegLib.panel.run_control import RunControl
from MultiTaskSegLib.panel.scene_parameters import SceneParameters
from MultiTaskSegLib.panel.settings import apply_settings, store_settings
from MultiTaskSegLib.panel.start_run import start_batch, start_run
from MultiTaskSegLib.panel.wish.wishes import Wishes
from MultiTaskSegLib.registration.sample_data import sample_folder, sample_model
from MultiTaskSegLib.registration.startup import register_segmentation
from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.scene.batch.scene_batch import BatchOptions, BatchResult, Images, SceneBatch, segment_batch
from MultiTaskSegLib.scene.channel_nodes import Volumes
from MultiTaskSegLib.scene.earlier_result import KEEP, results_of
from MultiTaskSegLib.scene.heatmap import DEFAULT_OPACITY, DEFAULT_THRESHOLD
from MultiTaskSegLib.scene.result import SegmentationResult
from MultiTaskSegLib.scene.result_table import rows_of
from MultiTaskSegLib.scene.run import SceneRun, finish_segmentation, start_segmentation
from MultiTaskSegLib.scene.wish.wish import wish_of
from MultiTaskSegLib.task_list import known_tasks

AUTO = "auto"
CAUSES = ("inputVolume", "task", "modelPath", "device")  # what a message about a run is about


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
        slicer.app.connect("startupCompleted()", register_segmentation)
        slicer.app.connect("startupCompleted()", shared_watch)


@parameterNodeWrapper
class MultiTaskSegParameterNode:
    """What the panel remembers with the scene."""

    # Slicer makes the selector offer these types and no others; it knows Union only, and None has to be one of them.
    inputVolume: Union[vtkMRMLScalarVolumeNode, vtkMRMLVectorVolumeNode, None]  # noqa: UP007
    region: vtkMRMLMarkupsROINode
    wholeCheck: bool = False
    thorough: bool = False
    leftOut: str = ""  # structures that are not wanted, by task
    task: str = AUTO
    modelPath: str = ""
    device: str = AUTO
    existing: str = ASK
    showUncertainty: bool = True
    opacity: Annotated[float, WithinRange(0.0, 1.0)] = DEFAULT_OPACITY
    threshold: Annotated[float, WithinRange(0.0, 1.0)] = DEFAULT_THRESHOLD
    batchScope: str = SCENE
    batchFolder: str = ""
    batchOutput: str = ""
    batchUncertainty: bool = True
    batchFigures: str = ""  # those that are ticked
    segmentation: vtkMRMLSegmentationNode


class MultiTaskSegWidget(ScriptedLoadableModuleWidget):
    """The panel: puts its parts together."""

    def __init__(self, parent: object = None) -> None:
        self.logic = None
        self._parameters = None
        self._isOpen = False
        ScriptedLoadableModuleWidget.__init__(self, parent)  # last: without a parent it calls setup()

    def setup(self) -> None:
        """Load the .ui file and connect everything."""
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/MultiTaskSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = ui = slicer.util.childWidgetVariables(uiWidget)
        make_reachable(ui)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = MultiTaskSegLogic()
        display = (ui.segmentButton, ui.progressBar, ui.progressLabel)
        self._run = RunControl(*display, _("Segment"), self.onFinished)
        self._model = ModelChoice(ui, lambda: self.parameters)
        self._choices = RunChoices(ui)
        self._channels = ChannelSelectors(ui.inputLabel, ui.inputSelector, ui.inputsCollapsibleButton.layout())
        self._preflight = PreflightView(ui.preflightLabel, ui.fixButton, self.turnTo)
        self._resultView = ResultView(ui)
        causes = lambda: values_of(self.parameters, CAUSES)  # noqa: E731
        self._message = MessageView(ui.messageLabel, causes, self._resultView.set_earlier)
        self._loop = LoopView(ui, self._resultView, self._message.fail, self._model.use, self.onParametersChanged)
        self._wishes = Wishes(ui, lambda: self.parameters, self._message.fail, store_settings)
        self._display, self._onlooker, self._batchOnlooker = DisplayControl(), Onlooker(), Onlooker()
        self._batch = BatchView(ui, self.onBatchFinished, self.turnTo)
        ui.segmentButton.connect("clicked(bool)", self.onSegmentButton)
        ui.batchButton.connect("clicked(bool)", self.onBatchButton)
        self._repair = RepairButton(ui, self.logic.devices, self._choices, self._message)
        followers = {"changed": self.onParametersChanged, "attached": self._display.leave_alone}
        self._parameters = SceneParameters(ui, self.logic.getParameterNode, **followers)
        self._display.leave_alone()  # until the user chooses something, also when the panel is opened
        self.onParametersChanged()

    def cleanup(self) -> None:
        """The module is about to be unloaded."""
        for part in (self._run, self._batch.run, self._loop, self._model, self._channels, self._parameters):
            part.release()

    def enter(self) -> None:
        """The user opens the module."""
        warm_up()
        self._isOpen = True
        self._parameters.enter()
        self.onParametersChanged()  # what the scene has may have changed without a word to the parameters

    def exit(self) -> None:
        """The user leaves the module; a run goes on, and its result is brought into the views on return."""
        self._isOpen = False

    @property
    def parameters(self) -> Any:
        """The parameter node that is shown, or None."""
        return None if self._parameters is None else self._parameters.node

    def onParametersChanged(self) -> None:
        """Show the choices, what the selected volume is fit for, its result, and what is possible now."""
        node = self.parameters
        self._model.show(node)
        self._wishes.show(node)
        if node is not None:
            self._choices.show(node, known_tasks(node.modelPath or None))
            self._channels.show(node)
        self._resultView.turn_to_newest(node)
        volumes, task, model = self._channels.chosen(node)
        self._message.update()
        isFit = self._preflight.update(volumes, task, model, self.logic.preflight)
        if not self._run.is_running:
            self._resultView.show(None if node is None else node.segmentation)
        self._loop.show()
        self._display.follow(node, self._isOpen)
        self._run.show(isFit and not self._batch.run.is_running)
        self._batch.show(node, not self._run.is_running)

    def turnTo(self, volumeNode: vtkMRMLScalarVolumeNode) -> None:
        """Select a volume: a copy that was put right, or one of a batch."""
        self.parameters.inputVolume = volumeNode

    def onSegmentButton(self, _checked: bool = False) -> None:
        """Start a run, or cancel the one under way."""
        if self._run.is_running:
            self._run.cancel()
            return
        self._model.store()
        store_settings(self.parameters)
        self._message.say("")
        try:
            volumes = self._channels.chosen(self.parameters)[0]
            run = start_run(self.logic, self.parameters, volumes, self._run, self.parent)
        except MtsError as error:
            self._message.fail(str(error))
            return
        if run is not None:
            self._onlooker.look()
            self._run.watch(run)

    def onFinished(self, run: SceneRun) -> None:
        """Show the result of the run that is over, or what went wrong."""
        failure, notice = self._onlooker.take_in(run, self.logic.finish, self.parameters, self._isOpen)
        self.onParametersChanged()
        if failure:
            self._message.fail(failure)
        elif notice:
            self._message.say(notice)

    def onBatchButton(self, _checked: bool = False) -> None:
        """Start a batch, or cancel the one under way."""
        if self._batch.run.is_running:
            self._batch.run.cancel()
            return
        self._model.store()
        self._batch.message.say("")
        try:
            batch = start_batch(self.logic, self.parameters, self._batch)
        except MtsError as error:
            self._batch.message.fail(str(error))
            return
        self._batchOnlooker.look()
        self._batch.run.watch(batch)
        self.onParametersChanged()

    def onBatchFinished(self, batch: SceneBatch) -> None:
        """Show what became of each image, also when the batch ended early."""
        found = batch.finish()
        self._batch.show_rows(found.rows, found.page)
        self._batchOnlooker.take_in_batch(found.results, self.parameters, self._isOpen)
        self.onParametersChanged()
        if batch.job.error is not None:
            self._batch.fail(str(batch.job.error))


class MultiTaskSegLogic(ScriptedLoadableModuleLogic):
    """What the module does, for the panel and for scripts."""

    _parameters: MultiTaskSegParameterNode | None = None
    correct, addToDataset = staticmethod(scripting.correct), staticmethod(scripting.add_to_dataset)
    correctedSegments, uncertainRegions = staticmethod(scripting.mark_corrections), scripting.RegionWorklist
    train, currentTraining = staticmethod(scripting.train), staticmethod(scripting.current_training)

    def getParameterNode(self) -> MultiTaskSegParameterNode:
        """The typed parameter node of the scene; a new one has the model and device that were chosen last."""
        node = super().getParameterNode()
        if self._parameters is None or self._parameters.parameterNode is not node:
            self._parameters = MultiTaskSegParameterNode(node)
        apply_settings(self._parameters)
        return self._parameters

    def preflight(self, volumeNode: Volumes, task: str = AUTO, model: str | Path | None = None) -> list[Finding]:
        """What speaks against segmenting a volume, or one for each channel, in words; empty when all is well."""
        return inspect(volumeNode, known_tasks(model or None), task)

    def devices(self) -> list[dict[str, Any]]:
        """The devices of this machine with their free memory, best first, as the worker finds them.

        Raises:
            UsageError, ResourceError: a run is under way; the worker cannot be started, or torch cannot be loaded.
        """
        return shared_runner().devices().wait(idle=slicer.app.processEvents).devices

    def start(
        self,
        volumeNode: Volumes,
        task: str = AUTO,
        model: str | Path | None = None,
        device: str = AUTO,
        existing: str = KEEP,
        **wanted: Any,
    ) -> SceneRun:
        """Start a segmentation without waiting for it; the arguments are those of :meth:`segment`.

        Raises:
            InputError: the volume cannot be segmented (label map, several values per voxel, non-linear transform ...).
            UsageError, ResourceError: another run is under way, ``existing`` is unknown; the worker cannot be started.
        """
        require_installed()
        return start_segmentation(volumeNode, task, model, device, existing, wish_of(**wanted))

    def finish(self, run: SceneRun) -> SegmentationResult:
        """Add the result of a finished run to the scene. Raises what the run failed with."""
        return finish_segmentation(run)

    def segment(
        self,
        volumeNode: Volumes,
        task: str = AUTO,
        model: str | Path | None = None,
        device: str = AUTO,
        existing: str = KEEP,
        **wanted: Any,
    ) -> SegmentationResult:
        """Segment a volume and wait for the result, keeping the application responsive.

        Args:
            volumeNode: the image; for tasks of several channels ``[t1Node, flairNode]`` in their order, or
                ``{"T1": t1Node, "FLAIR": flairNode}`` in any.
            task: name of a task, or ``auto``.
            model: a model file; None for that of the list which knows the image.
            device: ``auto``, ``cpu`` or ``cuda``.
            existing: what becomes of earlier results of the same volume and task: ``keep`` or ``replace``. A good
                result is never replaced by one that is out of distribution or empty.
            wanted: ``region``, an ROI node; ``structures``, names; ``wholeCheck``, to check more than a region;
                ``thorough``, to look at changed copies of the image, too.

        Raises:
            MtsError: what went wrong, as from :meth:`start` and the model.
        """
        run = self.start(volumeNode, task, model, device, existing, **wanted)
        try:
            run.job.wait(idle=slicer.app.processEvents)
        finally:
            run.end()
        return self.finish(run)

    def batchOptions(self, withUncertainty: bool = True, **options: Any) -> BatchOptions:
        """What all images of a batch have in common; the arguments are those of :meth:`segmentBatch`."""
        require_installed()
        return BatchOptions(with_uncertainty=withUncertainty, **options)

    def segmentBatch(self, images: Images, **options: Any) -> BatchResult:
        """Segment many images on one loaded model and wait; one that fails gets a row with the reason.

        Args:
            images: volume nodes and paths in any mixture; one folder; or one sequence node, whose frames are meant.
            options: ``task``, ``model``, ``device``, ``existing``, ``structures``, ``thorough`` as in :meth:`segment`;
                ``output``, for results of image files, table and page; ``withUncertainty=False`` leaves out that of
                volumes; ``figures``, columns of Segment Statistics (``["Surface [mm2]"]``).

        Raises:
            InputError: there is no image.
            UsageError: another run is under way, or image files are given without a folder for their results.
            Cancelled: the scene was closed.
        """
        return segment_batch(images, self.batchOptions(**options), idle=slicer.app.processEvents)


class MultiTaskSegTest(ScriptedLoadableModuleTest):
    """Self-test inside Slicer: installs nothing; what needs torch or a network is left out where that is missing."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Segment a phantom that comes with the extension, and look at all that comes back."""
        run_tests(
            self,
            self.test_whatCannotBeSegmentedIsRefusedInWords,
            self.test_thePhantomIsSegmentedWithFiguresAndProvenance,
            self.test_aSecondRunReplacesWhenAsked,
            self.test_theBrainOfARealHeadIsFound,
        )

    def phantom(self) -> vtkMRMLScalarVolumeNode:
        """The phantom head, which the sample model knows."""
        path = sample_folder() / "PhantomHead.nrrd"
        return slicer.modules.volumes.logic().AddArchetypeVolume(str(path), "PhantomHead", 0)

    def test_whatCannotBeSegmentedIsRefusedInWords(self) -> None:
        """A label map is refused before anything is started."""
        label = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
        logic = MultiTaskSegLogic()
        self.assertTrue(logic.preflight(label)[0].is_refusal)
        self.assertEqual(logic.preflight(self.phantom(), model=sample_model()), [])
        with self.assertRaises(MtsError):
            logic.start(label)

    def test_thePhantomIsSegmentedWithFiguresAndProvenance(self) -> None:
        """Segments, uncertainty, table and verdict belong together and lie on the grid of the input."""
        require_packages(self)
        volumeNode = self.phantom()
        result = MultiTaskSegLogic().segment(volumeNode, model=sample_model())
        self.assertFalse(result.ood.is_ood)
        shape = slicer.util.arrayFromVolume(volumeNode).shape
        self.assertEqual(slicer.util.arrayFromVolume(result.uncertainty).shape, shape)
        rows = rows_of(result.table)
        self.assertEqual(len(rows), result.segmentation.GetSegmentation().GetNumberOfSegments())
        self.assertGreater(sum(row.volume_ml for row in rows), 0.0)
        for node in (result.segmentation, result.uncertainty, result.table):
            self.assertEqual(len(node.GetAttribute("MultiTaskSeg.Model.SHA256")), 64)

    def test_aSecondRunReplacesWhenAsked(self) -> None:
        """An earlier result stays beside the new one unless it is to be replaced."""
        require_packages(self)
        volumeNode, logic = self.phantom(), MultiTaskSegLogic()
        for existing, left in (("keep", 1), ("keep", 2), ("replace", 1)):
            logic.segment(volumeNode, model=sample_model(), existing=existing)
            self.assertEqual(len(results_of(volumeNode)), left)

    def test_theBrainOfARealHeadIsFound(self) -> None:
        """Slicer's own real head, by the released model that it goes to; left out where it cannot be downloaded."""
        volumeNode = sample_head(self)
        self.assertEqual(fault_of_brain(volumeNode, MultiTaskSegLogic().segment(volumeNode)), "")
