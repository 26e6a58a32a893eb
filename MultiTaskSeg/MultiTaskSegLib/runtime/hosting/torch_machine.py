"""What a run needs of torch, loaded only when it is needed, so that a broken installation is told in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.hosting.purpose import Purpose
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.prediction.sights import Sights

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
    from MultiTaskSegLib.runtime.model.model_list import ListedModel


class Answers(Protocol):
    """What command line and worker need from a loaded model; ``runtime.predictor.open_predictor`` gives it."""

    memory_step: int
    spares_memory: bool
    keeps_maps: bool

    @property
    def prospect(self) -> Any:
        """What may compute the next run beside plain torch: a `network.prospect.Prospect`."""

    @property
    def manifest(self) -> Any:
        """The description of the model: its name and its tasks."""

    @property
    def model(self) -> Any:
        """The loaded model file, for its ``digest`` and the ``memories`` of its cells."""

    def candidate_profiles(self, volume: Volume) -> Any:
        """Profiles that are tried when no task is given."""

    def segment(self, volume: Volume, task: str = "auto", progress: Callable[[float, str], None] | None = None) -> Any:
        """Labels, uncertainty and verdict of one volume."""

    def check(self, volume: Volume, progress: Callable[[float, str], None] | None = None) -> Any:
        """Only the verdict of one volume."""

    def locate(self, volume: Volume, progress: Callable[[float, str], None] | None = None) -> Any:
        """The verdict of one volume, and the map that shows where it is foreign."""


class Machine(Protocol):
    """Loads models and knows the devices; `TorchMachine` is the one that ships."""

    def models(self) -> list[ListedModel]:
        """The list of models: the released ones, then the user's own."""

    def load(self, model: str | None, device: str, planar: bool) -> Answers:
        """The predictor of a model file, or of the released default for 2-D (``planar``) or 3-D images."""

    def device(self, wanted: str) -> str:
        """The name of the device to use for a choice of the user."""

    def devices(self) -> list[dict[str, Any]]:
        """All devices with their free memory, as plain values."""

    def plan(self, predictor: Answers, volume: Volume, purpose: Purpose, device: str) -> RunPlan:
        """How to run."""

    def release(self) -> None:
        """Hand back memory of a card that is not needed any more."""

    def rest(self) -> None:
        """Let go of what only waits for a run that may follow."""


class TorchMachine:
    """This machine, by torch. It remembers what was made of the last images, whichever model was loaded."""

    def __init__(self) -> None:
        self._sights = Sights()

    def models(self) -> list[ListedModel]:
        """The list of models: the released ones, then the user's own."""
        from MultiTaskSegLib.runtime.model.model_list import listed_models

        return listed_models()

    def load(self, model: str | None, device: str, planar: bool) -> Answers:
        """The predictor of a model file, or of the released default for 2-D (``planar``) or 3-D images.

        Raises:
            ResourceError: torch or another needed package cannot be loaded by this Python.
            ModelError: the file is damaged or unknown.
        """
        with needed_packages():
            from MultiTaskSegLib.runtime.machine.compute_device import select_device
            from MultiTaskSegLib.runtime.model.released import released_model
            from MultiTaskSegLib.runtime.predictor import open_predictor
        path = Path(model) if model else released_model(planar)
        return open_predictor(path, device=select_device(device), sights=self._sights)

    def device(self, wanted: str) -> str:
        """The name of the device to use for a choice of the user. Raises as `load` and `find_device`."""
        with needed_packages():
            from MultiTaskSegLib.runtime.machine.compute_device import find_device
        return find_device(wanted).name

    def devices(self) -> list[dict[str, Any]]:
        """All devices with their free memory, as plain values. Raises as `load`."""
        with needed_packages():
            from MultiTaskSegLib.runtime.machine.compute_device import compute_devices
        return [device.as_dict() for device in compute_devices()]

    def plan(self, predictor: Answers, volume: Volume, purpose: Purpose, device: str) -> RunPlan:
        """How to run; without the maps that wait where they leave too little memory. Raises as `plan_run`."""
        self._sights.turn_to(volume)  # maps of another image need not take memory
        if self._sights.has_maps:
            with suppress(ResourceError):
                plan = self._planned(predictor, volume, purpose, device)
                if not (plan.warnings or plan.spares_memory):
                    return plan
            self._sights.drop_maps()
            release_freed_memory()
        return self._planned(predictor, volume, purpose, device)

    @staticmethod
    def _planned(predictor: Answers, volume: Volume, purpose: Purpose, device: str) -> RunPlan:
        from MultiTaskSegLib.runtime.hosting.run_plan import plan_run
        from MultiTaskSegLib.runtime.machine.compute_device import CPU, find_device

        candidates = predictor.candidate_profiles(volume)
        remembered = max((len(cells.memory) for cells in predictor.model.memories), default=0)
        devices = find_device(device), find_device(CPU)
        return plan_run(predictor.manifest, candidates, volume, purpose, *devices, remembered, predictor.prospect)

    def release(self) -> None:
        """Hand back memory of a card that is not needed any more."""
        from MultiTaskSegLib.runtime.machine.compute_device import release_card_memory

        release_card_memory()

    def rest(self) -> None:
        """Nobody has asked for anything for a while: let go of what only waits for a run that may follow."""
        self._sights.drop_maps()


@contextmanager
def needed_packages() -> Iterator[None]:
    """Imports within the block become a typed error when they fail, also half-way as in a broken installation.

    Raises:
        ResourceError: torch or another package cannot be loaded by this Python, or there is no memory for it.
    """
    try:
        yield
    except (ImportError, OSError, AttributeError) as error:
        if is_out_of_memory(error):
            raise memory_error(error) from error
        text = " ".join(str(error).split())
        raise ResourceError(
            f"the Python package '{getattr(error, 'name', None) or 'torch'}' cannot be loaded ({text})",
            remedy="Install PyTorch with the PyTorch extension of Slicer, or 'pip install .' in a checkout",
        ) from error
