"""What is under way while a model comes into the list: a copy of a file, or a job of the worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from slicer.i18n import tr as _

from MultiTaskSegLib.background_call import BackgroundCall, Stop
from MultiTaskSegLib.runtime.errors import Cancelled, MtsError
from MultiTaskSegLib.runtime.model.model_folder import add_model_file
from MultiTaskSegLib.runtime.model.released import NAMES
from MultiTaskSegLib.typed_error import typed


class Work(Protocol):
    """What is waited for; `job.Job` and `CopyJob` are such."""

    fraction: float
    eta_s: float | None
    step: str
    error: MtsError | None

    def poll(self) -> bool:
        """Take in what is new; whether it is over. Never blocks."""

    def result(self) -> Any:
        """What came of it. Raises what went wrong."""

    def cancel(self, reason: str = "") -> None:
        """End it, if it is not over."""


@dataclass
class Intake:
    """One step of an intake, as a run that `RunControl` watches.

    Attributes:
        job: the work.
        then: is called with its result.
    """

    job: Work
    then: Callable[[Any], object]

    def end(self) -> None:
        """Cancel what still runs."""
        self.job.cancel()

    def finish(self) -> None:
        """Go on with what came of it.

        Raises:
            MtsError: what went wrong.
        """
        self.then(self.job.result())


class CopyJob:
    """A model file that is being copied into the user's folder, in a thread."""

    def __init__(self, source: Path, folder: Path) -> None:
        """Start at once."""
        self.fraction, self.eta_s, self.step = 0.0, None, _("copying")
        self.error: MtsError | None = None
        self._path: Path | None = None

        def copy(stop: Stop) -> Path:
            """What may take seconds for large files."""
            return add_model_file(source, folder, NAMES, self._tell, stop.is_set, stop.settle)

        self._call = BackgroundCall(copy)

    def _tell(self, share: float) -> None:
        self.fraction = share

    def poll(self) -> bool:
        """Whether it is over."""
        if self.error is None and self._path is None and self._call.is_done:
            try:
                self._path = self._call.outcome()
            except Exception as error:
                self.error = typed(error)
        return self.error is not None or self._path is not None

    def result(self) -> Path:
        """Where the copy is. Raises what went wrong."""
        if self.error is not None:
            raise self.error
        assert self._path is not None
        return self._path

    def cancel(self, reason: str = "the copy was cancelled") -> None:
        """Stop, and leave nothing behind. A copy that is taking its place counts as done."""
        if not self.poll() and self._call.stop() and not self.poll():
            self.error = Cancelled(reason)
