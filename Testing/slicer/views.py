"""Off-screen slice and 3-D views with Slicer's own displayable managers, drawn without Slicer's windows.

Stand-ins: the actor that puts the blended slice image behind the outlines (CTK's light box in Slicer), and the corner
annotation (Slicer's DataProbe module).
"""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import slicer
import vtkmodules.vtkInteractionStyle
import vtkmodules.vtkRenderingFreeType
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingAnnotation import vtkCornerAnnotation
from vtkmodules.vtkRenderingCore import (
    vtkActor2D,
    vtkImageMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkRenderWindowInteractor,
    vtkWindowToImageFilter,
)

SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
)
THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)
UPPER_LEFT, LOWER_LEFT = 2, 0
PROBE = (
    "import vtkmodules.vtkRenderingOpenGL2\n"
    "from vtkmodules.vtkRenderingCore import vtkRenderWindow\n"
    "window = vtkRenderWindow(); window.SetOffScreenRendering(1); window.SetSize(8, 8); window.Render()\n"
)


WINDOW_VARIABLE = "VTK_DEFAULT_OPENGL_WINDOW"
WINDOW_KINDS = ("vtkOSOpenGLRenderWindow", "vtkEGLRenderWindow")


def can_render() -> bool:
    """Choose the first kind of off-screen OpenGL window that works here; whether there is one.

    Tried in another process, because a missing library ends the process instead of raising.
    """
    wanted = os.environ.get(WINDOW_VARIABLE)
    for kind in (wanted,) if wanted else WINDOW_KINDS:
        environment = {**os.environ, WINDOW_VARIABLE: kind}
        probe = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, check=False)
        if probe.returncode == 0:
            os.environ[WINDOW_VARIABLE] = kind
            return True
    return False


class OffscreenView:
    """A renderer in an off-screen window, and the displayable managers that fill it."""

    def __init__(self, factory: object, managers: tuple[str, ...], application_logic: object, size: tuple[int, int]):
        self.renderer = vtkRenderer()
        self.window = vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)  # together with depth peeling it would drop translucent surfaces
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.window.SetSize(*size)
        factory.SetMRMLApplicationLogic(application_logic)
        for manager in managers:
            if not factory.IsDisplayableManagerRegistered(manager):
                factory.RegisterDisplayableManager(manager)
        self.add_backdrop()
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)
        self.group.Initialize(factory, self.renderer)

    def add_backdrop(self) -> None:
        """What has to be drawn before anything of the displayable managers; nothing by default."""

    def image(self) -> np.ndarray:
        """The picture: uint8 ``(rows from the top, columns, 3)``."""
        self.window.Render()
        grab = vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.SetInputBufferTypeToRGB()
        grab.ReadFrontBufferOff()
        grab.Update()
        columns, rows, _ = grab.GetOutput().GetDimensions()
        return vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()

    def annotate(self, text: str, colour: tuple[float, float, float], corner: int = UPPER_LEFT) -> None:
        """Write into a corner of the view."""
        annotation = vtkCornerAnnotation()
        annotation.SetText(corner, text)
        annotation.SetMaximumFontSize(18)
        annotation.SetNonlinearFontScaleFactor(0.45)
        annotation.GetTextProperty().SetColor(*colour)
        annotation.GetTextProperty().SetBold(True)
        annotation.GetTextProperty().SetShadow(True)
        self.renderer.AddViewProp(annotation)


class SliceView(OffscreenView):
    """One slice view of the scene."""

    def __init__(self, session: object, name: str, orientation: str, size: tuple[int, int] = (512, 512)) -> None:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, SLICE_MANAGERS, session.application_logic, size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(session.application_logic)
        session.application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(session.scene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.node.SetMappedInLayout(1)
        self.group.SetMRMLDisplayableNode(self.node)
        self.logic.ResizeSliceNode(*size)

    def add_backdrop(self) -> None:
        """The slice image (first: 2-D actors hide what is drawn later at their place) and the layer of the legend."""
        self._mapper = vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._add_overlay()
        self._actor = vtkActor2D()
        self._actor.SetMapper(self._mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        self._actor.SetVisibility(False)  # until there is an image
        self.renderer.AddViewProp(self._actor)

    def _add_overlay(self) -> None:
        """The layer above the image in which Slicer draws the colour legend."""
        overlay = vtkRenderer()
        overlay.SetLayer(1)
        overlay.GetActiveCamera().ParallelProjectionOn()
        self.window.SetNumberOfLayers(2)
        self.window.AddRenderer(overlay)
        self.window.SetAlphaBitPlanes(1)

    def fit(self, centre_ras: np.ndarray, zoom: float = 1.0) -> None:
        """Fit the background volume, enlarge it, and go through a point of the world."""
        self.logic.FitSliceToBackground()
        field = np.array(self.node.GetFieldOfView())
        self.node.SetFieldOfView(field[0] / zoom, field[1] / zoom, field[2])
        self.node.JumpSliceByCentering(*centre_ras)
        self._mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self._actor.SetVisibility(True)


class ThreeDView(OffscreenView):
    """The 3-D view of the scene."""

    def __init__(self, session: object, size: tuple[int, int] = (512, 512)) -> None:
        factory = slicer.vtkMRMLThreeDViewDisplayableManagerFactory.GetInstance()
        super().__init__(factory, THREE_D_MANAGERS, session.application_logic, size)
        self.renderer.SetUseDepthPeeling(True)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(session.application_logic)
        session.application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(session.scene)
        self.node = self.logic.AddViewNode("1")
        self.node.SetMappedInLayout(1)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.group.SetMRMLDisplayableNode(self.node)

    def fit(self, azimuth: float = 30.0, elevation: float = 20.0, zoom: float = 1.4) -> None:
        """Look at all surfaces from the front, turned a little."""
        bounds = [0.0] * 6
        self.renderer.ComputeVisiblePropBounds(bounds)
        self.renderer.ResetCamera(bounds)
        camera = self.group.GetDisplayableManagerByClassName("vtkMRMLCameraDisplayableManager").GetCameraNode()
        camera.RotateTo(slicer.vtkMRMLCameraNode.Anterior)
        camera.GetCamera().Azimuth(azimuth)
        camera.GetCamera().Elevation(elevation)
        self.renderer.ResetCameraScreenSpace()
        camera.GetCamera().Zoom(zoom)
