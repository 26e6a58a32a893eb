"""Sample data for the tutorial: a real head, which is Slicer's own, and phantoms that lie in the extension itself, with
the model that knows two of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MultiTaskSegLib.registration.module_presence import has_module

CATEGORY = "MultiTaskSeg"
MODEL_FILE = "phantom.mts.safetensors"
MODULES = ("MultiTaskSeg", "OODCheck")
HEAD = "MRHead"  # a T1-weighted head with skull, among Slicer's own samples


@dataclass(frozen=True)
class Sample:
    """One image.

    Attributes:
        name: of the sample, of its node and of its files without their endings.
        sha256: of the image file.
    """

    name: str
    sha256: str

    @property
    def path(self) -> Path:
        """The image file."""
        return sample_folder() / f"{self.name}.nrrd"

    @property
    def thumbnail(self) -> Path:
        """The picture on the button."""
        return sample_folder() / f"{self.name}.png"


SAMPLES = (
    Sample("PhantomHead", "307688d9a40c01fc679f87d16d91fc8dbd990a98d3efc80a3352fef205a2199b"),
    Sample("PhantomHeart", "ce6c9ff11379dc5610aeae36e4bc9a194ea6101cecd0415e4800057d3ffb2471"),
    Sample("PhantomKnee", "b9ac6d6f4c28ee33dd300b573dfc10f9bf1f601db776217a637e728f1de766f0"),
)


def sample_folder() -> Path:
    """Where the sample data lies, beside the other resources of the MultiTaskSeg module."""
    return Path(__file__).resolve().parents[2] / "Resources" / "SampleData"


def sample_model() -> Path:
    """The model that knows the head and the heart, but no knee."""
    return sample_folder() / MODEL_FILE


def is_sample_model(model: str) -> bool:
    """Whether a path is that of the model of the phantoms."""
    return bool(model) and Path(model).resolve() == sample_model()


def register_sample_data() -> None:
    """Offer Slicer's real head and the phantoms in Slicer's Sample Data module, these one by one and all at once with
    their model chosen.

    Nothing is downloaded now, and phantoms never: their addresses are those of files in the extension. Registering
    twice does no harm. Nothing happens where users have disabled that module.
    """
    if not has_module("SampleData"):
        return
    logic = importlib.import_module("SampleData").SampleDataLogic
    register = logic.registerCustomSampleDataSource
    head = logic().sourceForSampleName(HEAD)
    if head is not None:
        own = {name: getattr(head, name) for name in ("uris", "fileNames", "nodeNames", "checksums")}
        name = _("Real head (MRHead)")
        register(category=CATEGORY, sampleName=name, customDownloader=load_head, loadFileTypes=["VolumeFile"], **own)
    for sample in SAMPLES:
        register(category=CATEGORY, sampleName=sample.name, **_files([sample]))
    # The name is what people read on the button.
    register(category=CATEGORY, sampleName=_("Tutorial"), customDownloader=load_tutorial, **_files(SAMPLES))


def load_tutorial(source: Any) -> list[Any]:
    """Load all phantoms and choose their model in both modules, if they are there; returns the volume nodes."""
    nodes = importlib.import_module("SampleData").SampleDataLogic().downloadFromSource(source)
    for name in filter(has_module, MODULES):
        slicer.util.getModuleLogic(name).getParameterNode().modelPath = str(sample_model())
    return list(nodes)


def load_head(_source: Any = None) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Have Slicer download its real head, choose it in both modules, if they are there, and let the image decide about
    the model; returns the volume node, none where it could not be had, which Slicer tells."""
    shown = getattr(slicer.modules, "SampleDataWidget", None)  # only there once that module was opened
    logic = importlib.import_module("SampleData").SampleDataLogic(None if shown is None else shown.logMessage)
    # What could not be loaded is None or a path.
    nodes = [node for node in logic.downloadSamples(HEAD) if isinstance(node, slicer.vtkMRMLScalarVolumeNode)]
    for name in filter(has_module, MODULES if nodes else ()):
        parameters = slicer.util.getModuleLogic(name).getParameterNode()
        parameters.modelPath, parameters.inputVolume = "", nodes[0]
    return nodes


def _files(samples: list[Sample] | tuple[Sample, ...]) -> dict[str, Any]:
    return {
        "thumbnailFileName": str(samples[0].thumbnail),
        "uris": [sample.path.as_uri() for sample in samples],
        "fileNames": [sample.path.name for sample in samples],
        "nodeNames": [sample.name for sample in samples],
        "loadFileTypes": ["VolumeFile"] * len(samples),
        "checksums": [f"SHA256:{sample.sha256}" for sample in samples],
    }
