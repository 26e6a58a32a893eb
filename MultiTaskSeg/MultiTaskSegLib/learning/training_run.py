"""A training under way, in a process of its own; its model appears among the user's when it is finished."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from MultiTaskSegLib.learning.trainer_python import GUARD, TrainerPython
from MultiTaskSegLib.learning.training_report import TrainingProgress, failure_words, held_out_dice, read_progress
from MultiTaskSegLib.learning.training_request import TrainingRequest
from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime.errors import Cancelled, MtsError, ResourceError
from MultiTaskSegLib.runtime.model.file_header import header_manifest
from MultiTaskSegLib.runtime.model.model_folder import free_file, model_name

WORK, SCRATCH = ".training-", "mts-"
KEPT = ("report.html", "metrics.json", "metrics.jsonl", "config.json")
LINES_KEPT = 40
LEFTOVER_S = 24 * 3600.0  # nothing in the folder of a training that goes on stays unwritten for so long
JOIN_S = 1.0
START = TrainingProgress(0.0, None, "starting")


class TrainingRun:
    """One training. Nothing of it is seen outside its own folder until the model is there.

    Attributes:
        request: what was asked for.
        began_s: when, as of `time.monotonic`.
        progress: how far it is.
    """

    def __init__(
        self, request: TrainingRequest, python: TrainerPython, folder: Path, taken: Collection[str] = ()
    ) -> None:
        """Start it.

        Args:
            request: what to do.
            python: which has the trainer.
            folder: of the user's models.
            taken: names that the new model may not have.

        Raises:
            UsageError: the request cannot be put to the trainer.
            ResourceError: the folder cannot be written, or the process cannot be started.
        """
        self.request, self.began_s, self.progress = request, time.monotonic(), START
        self._folder, self._taken = folder, taken
        self._model: Path | None = None
        self._scratch: Path | None = None
        self._error: MtsError | None = None
        self._is_cancelled = False
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self.work = _work_folder(folder)
        self._output = self.work / free_file(self.work, request.name).name
        try:
            # Of its own, because the names of sockets that the trainer's processes make there have to be short.
            self._scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
            command = [python.executable, str(GUARD), *request.arguments(self._output)]
            self._process = start_tree(command, python.environment(self._scratch), self.work)
        except OSError as error:
            self._tidy_up()
            raise ResourceError(f"the training cannot be started ({error})", file=python.executable) from error
        except MtsError:
            self._tidy_up()
            raise
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._attend, self._swallow)]
        for thread in self._threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        """Whether there is a model or an error."""
        return not self._threads[0].is_alive()

    @property
    def model(self) -> Path | None:
        """The file of the new model; None while there is none."""
        return self._model

    @property
    def dice(self) -> list[Mapping[str, float]]:
        """Mean Dice of held-out cases by dataset, each time that it was measured."""
        return held_out_dice(self.run_folder / "metrics.jsonl")

    @property
    def run_folder(self) -> Path:
        """Where the trainer keeps its log and its report; beside the model when it is over."""
        model = self._model or self._output
        return model.with_name(f"{model_name(model)}.run")

    def result(self) -> Path:
        """The file of the new model; waits until it is there.

        Raises:
            Cancelled: it was cancelled.
            ResourceError: it failed, with the trainer's own words.
        """
        self._threads[0].join()
        if self._error is not None:
            raise self._error
        assert self._model is not None
        return self._model

    def cancel(self) -> None:
        """End it with everything that it started and remove what it wrote, within about 2 seconds. Safe to call twice.

        A training that is over stays as it is.
        """
        if not self.is_over:
            self._is_cancelled = True
            end_tree(self._process)
            for thread in self._threads:
                thread.join(JOIN_S)

    def _attend(self) -> None:
        for line in self._process.stderr or ():
            progress = read_progress(line)
            self.progress = progress or self.progress
            self._said.append(line)
        code = self._process.wait()
        try:
            if self._is_cancelled:
                raise Cancelled("the training was cancelled")
            if code:
                raise ResourceError(f"the training ended without a model: {failure_words(self._said)}")
            self._model = self._collected()
        except MtsError as error:
            self._error = error
        except OSError as error:
            self._error = ResourceError(f"the model cannot be kept ({error})", file=self._folder)
        finally:
            end_tree(self._process)  # whatever it may have left running
            for stream in (self._process.stdin, self._process.stderr):
                with suppress(OSError):  # a pipe to a process that is gone
                    if stream is not None:
                        stream.close()
            self._tidy_up()

    def _tidy_up(self) -> None:
        for folder in (self.work, self._scratch):
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _swallow(self) -> None:
        """The model card that the trainer prints; a pipe that nobody reads would halt it."""
        for _line in self._process.stdout or ():
            pass
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _collected(self) -> Path:
        """Move the model to the user's others, with the report."""
        header_manifest(self._output)
        path = free_file(self._folder, self.request.name, self._taken)
        run = path.with_name(f"{model_name(path)}.run")
        run.mkdir(exist_ok=True)
        for name in KEPT:
            if (self.run_folder / name).is_file():
                os.replace(self.run_folder / name, run / name)
        os.replace(self._output, path)
        return path


def _work_folder(folder: Path) -> Path:
    """An empty folder on the disk of the models; what trainings have left that were killed goes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"{WORK}*"):
            newest = max((part.lstat().st_mtime for part in (path, *path.rglob("*"))), default=0.0)
            if time.time() - newest > LEFTOVER_S:
                shutil.rmtree(path, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=folder, prefix=WORK))
    except OSError as error:
        raise ResourceError(
            f"the folder of models cannot be written ({error.strerror or error})", file=error.filename or folder
        ) from error
