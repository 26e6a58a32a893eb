"""Slicer module: says whether images are unlike those that the model was trained on."""

# MultiTaskSegLib lies beside another module, whose folder Slicer may add to the import path only after this file has
# been read; its parts are therefore imported where they are needed.

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

AUTO, VOLUME, SCENE, FOLDER = "auto", "volume", "scene", "folder"


class OODCheck(ScriptedLoadableModule):
    """Metadata of the module."""

    def __init__(self, parent: object) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("OOD Check")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []  # not MultiTaskSeg, without which Slicer would not load this one either
        self.parent.contributors = ["MultiTaskSeg contributors"]
        self.parent.helpText = _(
            "Compares the spectral signature of an image with those of the training images and says whether the image"
            " is out of distribution, before any result is relied upon. Not for clinical use."
        )
        self.parent.acknowledgementText = _("The training data and their authors are listed in the model card.")
        slicer.app.connect("startupCompleted()", self.onStartupCompleted)

    def onStartupCompleted(self) -> None:
        """Offer the modules in the menu of a volume, and the sample data."""
        from MultiTaskSegLib.registration.startup import register_check

        register_check()


@parameterNodeWrapper
class OODCheckParameterNode:
    """What the panel remembers with the scene."""

    inputVolume: vtkMRMLScalarVolumeNode
    scope: str = VOLUME
    folder: str = ""
    withMap: bool = False
    modelPath: str = ""
    device: str = AUTO
    results: vtkMRMLTableNode


class OODCheckWidget(ScriptedLoadableModuleWidget):
    """The panel: puts its parts together."""

    def __init__(self, parent: object = None) -> None:
        self.logic = None
        self._parameters = None
        self._isOpen = False
        ScriptedLoadableModuleWidget.__init__(self, parent)  # last: without a parent it calls setup()

    def setup(self) -> None:
        """Load the .ui file and connect everything."""
        from MultiTaskSegLib.panel.element.keyboard_focus import make_reachable
        from MultiTaskSegLib.panel.finished_run import Onlooker
        from MultiTaskSegLib.panel.run_control import RunControl
        from MultiTaskSegLib.panel.scene_parameters import SceneParameters
        from OODCheckLib.check_view import CheckView
        from OODCheckLib.volume_display import VolumeDisplay

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/OODCheck.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        make_reachable(self.ui)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = OODCheckLogic()
        display = (self.ui.checkButton, self.ui.progressBar, self.ui.progressLabel)
        self._run = RunControl(*display, title=_("Check"), finished=self.onFinished)
        self._view, self._display = CheckView(self.ui, self.onRowActivated), VolumeDisplay()
        self._onlooker = Onlooker()
        self.ui.checkButton.connect("clicked(bool)", self.onCheckButton)
        self.ui.spectrumButton.connect("clicked(bool)", self.onSpectrumButton)
        self.ui.distancesButton.connect("clicked(bool)", self.onDistancesButton)
        changes = {"changed": self.onParametersChanged, "attached": self._display.leave_alone}
        self._parameters = SceneParameters(self.ui, self.logic.getParameterNode, **changes)
        self._display.leave_alone()  # until the user chooses something, also when the panel is opened
        self.onParametersChanged()

    def cleanup(self) -> None:
        """The module is about to be unloaded."""
        self._run.release()
        self._view.model.release()
        self._parameters.release()

    def enter(self) -> None:
        """The user opens the module."""
        from MultiTaskSegLib.installation.installation import warm_up

        warm_up()
        self._isOpen = True
        self._parameters.enter()
        self.onParametersChanged()  # what the scene has, and who uses the worker, may have changed

    def exit(self) -> None:
        """The user leaves the module; a check goes on."""
        self._isOpen = False

    @property
    def parameters(self) -> Any:
        """The parameter node that is shown, or None."""
        return None if self._parameters is None else self._parameters.node

    def onParametersChanged(self) -> None:
        """Show the choices, what the selected volume is known to be, and what is possible now."""
        node = self.parameters
        self._view.show(node)
        if not self._run.is_running:
            self._view.show_result()
        self._display.follow(None if node is None else node.inputVolume, self._isOpen)
        self._run.show(self._view.can_start)

    def onCheckButton(self, _checked: bool = False) -> None:
        """Start a check, or cancel the one under way."""
        from MultiTaskSegLib.runtime.errors import MtsError

        if self._run.is_running:
            self._run.cancel()
            return
        self._view.store()
        self._view.message.say("")
        try:
            self._run.watch(self.startRun())
            self._onlooker.look()
        except MtsError as error:
            self._view.message.fail(str(error))
        self.ui.resultLabel.visible = False  # it is not that of this check

    def startRun(self) -> Any:
        """Start what the parameters say. Raises as the logic does."""
        from MultiTaskSegLib.chosen_model import require_model
        from MultiTaskSegLib.installation.installation import ensure_packages

        node = self.parameters
        require_model(node.modelPath, for_check=True)
        with self._run.preparing():
            ensure_packages()
        options = {"model": node.modelPath or None, "device": node.device, "withMap": node.withMap}
        if node.scope == VOLUME:
            return self.logic.start(node.inputVolume, **options)
        return self.logic.startBatch(node.folder if node.scope == FOLDER else None, **options)

    def onFinished(self, run: Any) -> None:
        """Show the verdict, the table of a batch, or what went wrong."""
        from MultiTaskSegLib.runtime.errors import MtsError
        from MultiTaskSegLib.scene.handwork import has_name_as_made
        from OODCheckLib.check_banner import summary_banner
        from OODCheckLib.check_batch import CheckBatch

        summary = failure = ""
        try:
            if not isinstance(run, CheckBatch):
                self.logic.finish(run)
                if self._isOpen and not self._onlooker.is_watched(run.volume_node):
                    self._display.leave_alone()  # the user has turned to another image
            elif run.rows and self.parameters is not None:  # also what was done before it ended early
                earlier = self.parameters.results
                isKept = earlier is not None and not has_name_as_made(earlier)  # whoever names a table wants it
                self.parameters.results = self.logic.writeResults(run.rows, None if isKept else earlier)
                summary = summary_banner([row.ood for row in run.rows])
            if isinstance(run, CheckBatch) and run.job.error is not None:
                raise run.job.error
        except MtsError as error:
            failure = str(error)
        self.onParametersChanged()
        if failure:
            self._view.message.fail(failure, summary)
        elif summary:
            self._view.message.say(summary)
        self._view.show_result()

    def onRowActivated(self, row: int) -> None:
        """Show the image of a row in the slice views, and its verdict here."""
        from MultiTaskSegLib.runtime.errors import MtsError

        try:
            volumeNode = self.logic.showRow(self.parameters.results, row)
        except MtsError as error:
            self._view.message.fail(str(error))
            self._view.show_result()
            return
        self._view.message.say("")
        self.parameters.inputVolume = volumeNode
        self.onParametersChanged()

    def onSpectrumButton(self, _checked: bool = False) -> None:
        """Show the spectrum of the selected volume in a plot view."""
        self.logic.showSpectrum(self.parameters.inputVolume)

    def onDistancesButton(self, _checked: bool = False) -> None:
        """Show the distances of the selected volume in a plot view."""
        self.logic.showDistances(self.parameters.inputVolume)


class OODCheckLogic(ScriptedLoadableModuleLogic):
    """What the module does, for the panel and for scripts."""

    _parameters: OODCheckParameterNode | None = None

    def getParameterNode(self) -> OODCheckParameterNode:
        """The typed parameter node of the scene; a new one has the model that was chosen last in either module."""
        from MultiTaskSegLib.panel.settings import apply_settings

        node = super().getParameterNode()
        if self._parameters is None or self._parameters.parameterNode is not node:
            self._parameters = OODCheckParameterNode(node)
        apply_settings(self._parameters)
        return self._parameters

    def start(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        model: str | Path | None = None,
        device: str = AUTO,
        withMap: bool = False,
    ) -> Any:
        """Start a check, with a map of foreign places if wanted, without waiting for it; returns the ``SceneRun``.

        Raises:
            InputError: the volume cannot be used (label map, several values per voxel, non-linear transform ...).
            UsageError: another run is under way.
            ResourceError: packages are missing, or the worker cannot be started.
        """
        from OODCheckLib.check import start_check

        return start_check(volumeNode, model, device, withMap)

    def finish(self, run: Any) -> Any:
        """Write the verdict of a finished run onto its volume, with plot and map, and return it; or raise its error."""
        from OODCheckLib.check import finish_check

        return finish_check(run)

    def check(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        model: str | Path | None = None,
        device: str = AUTO,
        withMap: bool = False,
    ) -> Any:
        """The verdict on a volume: ``is_ood``, ``score``, ``threshold``, ``p_value``, ``nearest_task``, ``distances``.

        Waits, keeping the application responsive, and writes it onto the node as attributes ``MultiTaskSeg.*``;
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

    def startBatch(
        self, images: Any = None, model: str | Path | None = None, device: str = AUTO, withMap: bool = False
    ) -> Any:
        """Start to check several images without waiting for them; returns the ``CheckBatch``.

        Raises as :meth:`checkImages`, and a UsageError when another run is under way.
        """
        from OODCheckLib.check import start_batch
        from OODCheckLib.image_item import image_items

        return start_batch(image_items(images), model, device, withMap)

    def checkImages(
        self,
        images: Sequence[Any] | str | Path | None = None,
        model: str | Path | None = None,
        device: str = AUTO,
        progress: Callable[[float, str], object] | None = None,
    ) -> list[Any]:
        """Check several images on one loaded model; one ``BatchRow`` (``image``, ``ood``, ``error`` ...) for each.

        Volumes of the scene get their verdict as from :meth:`check`; files are read by the worker and not loaded.

        Args:
            images: a folder, a list of volume nodes and paths, or None for all images of the scene.
            model, device: as in :meth:`check`.
            progress: is called with the share that is done and the current step.

        Raises:
            InputError: there is no image.
            UsageError: another run is under way.
            Cancelled: the scene was closed. An image that cannot be checked has an error instead.
        """
        batch = self.startBatch(images, model, device)
        return list(batch.wait(idle=slicer.app.processEvents, progress=progress))

    def writeResults(self, rows: Sequence[Any], tableNode: vtkMRMLTableNode | None = None) -> vtkMRMLTableNode:
        """Write the rows of a batch into a table node, a new one by default, and return it."""
        from MultiTaskSegLib.scene.batch.batch_table import fill_batch_table
        from MultiTaskSegLib.scene.handwork import seal_name

        if tableNode is None:
            name = slicer.mrmlScene.GenerateUniqueName(_("OOD Check results"))
            tableNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
            seal_name(tableNode)
        fill_batch_table(tableNode, rows)
        return tableNode

    def showRow(self, tableNode: vtkMRMLTableNode, row: int) -> vtkMRMLScalarVolumeNode:
        """Show the image of a table row in all slice views and return its volume; a file is loaded first.

        Raises:
            InputError: the volume has been removed from the scene, or the file cannot be read any more.
        """
        from OODCheckLib.row_volume import row_volume
        from OODCheckLib.volume_display import VolumeDisplay

        volumeNode = row_volume(tableNode, row)
        VolumeDisplay().apply(volumeNode)
        return volumeNode

    def showSpectrum(self, volumeNode: vtkMRMLScalarVolumeNode) -> None:
        """Show the spectrum of a checked volume in a plot view; does nothing for a volume without one."""
        from OODCheckLib.chart import show_chart
        from OODCheckLib.spectrum_plot import spectrum_chart

        show_chart(spectrum_chart(volumeNode))

    def showDistances(self, volumeNode: vtkMRMLScalarVolumeNode) -> None:
        """Show the distances of a checked volume to each task in a plot view; does nothing for an unchecked volume."""
        from OODCheckLib.chart import show_chart
        from OODCheckLib.distance_plot import distance_chart

        show_chart(distance_chart(volumeNode))


class OODCheckTest(ScriptedLoadableModuleTest):
    """Self-test inside Slicer: needs the packages to be installed, downloads nothing."""

    def setUp(self) -> None:
        """Start from an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Check small synthetic volumes, one by one and together."""
        from MultiTaskSegLib.installation.self_test import run_tests

        run_tests(self, self.test_aCheckIsWrittenOntoTheVolume, self.test_aBatchGivesOneRowForEachImageOfTheScene)

    def test_aCheckIsWrittenOntoTheVolume(self) -> None:
        """The verdict has a score and stays with the volume."""
        volumeNode = self.noise("Noise")
        self.assertGreaterEqual(OODCheckLogic().check(volumeNode).score, 0.0)
        self.assertIsNotNone(volumeNode.GetAttribute("MultiTaskSeg.OOD"))

    def test_aBatchGivesOneRowForEachImageOfTheScene(self) -> None:
        """All volumes get the verdict that they get alone."""
        nodes = [self.noise("First", 1), self.noise("Second", 2)]
        rows = OODCheckLogic().checkImages()
        self.assertEqual([row.volume_id for row in rows], [node.GetID() for node in nodes])
        self.assertEqual(rows[0].score, OODCheckLogic().check(nodes[0]).score)
        self.assertEqual(OODCheckLogic().writeResults(rows).GetNumberOfRows(), 2)

    def noise(self, name: str, seed: int = 0) -> vtkMRMLScalarVolumeNode:
        """A small volume of noise, where there is something to check it with."""
        import numpy as np

        from MultiTaskSegLib.installation.self_test import require_packages

        require_packages(self)
        voxels = np.random.default_rng(seed).normal(100.0, 20.0, (40, 48, 44)).astype(np.float32)
        return slicer.util.addVolumeFromArray(voxels, name=name)
