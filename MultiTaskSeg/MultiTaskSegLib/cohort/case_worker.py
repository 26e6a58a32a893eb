"""Does one case after the other with a model that is loaded once: reads, segments or checks, writes."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from MultiTaskSegLib.cohort.dicom.dicom_seg import require_highdicom
from MultiTaskSegLib.cohort.dicom.object_beside import with_object
from MultiTaskSegLib.cohort.result.case_outcome import CaseOutcome
from MultiTaskSegLib.cohort.result.case_record import (
    PICTURE_FILE,
    RECORD_FILE,
    CaseRecord,
    read_record,
    record_of,
)
from MultiTaskSegLib.cohort.result.results import case_folder, new_result
from MultiTaskSegLib.cohort.result.settings import CHECK as CHECK_COMMAND
from MultiTaskSegLib.cohort.result.settings import CohortSettings, read_settings
from MultiTaskSegLib.cohort.source.case import Case
from MultiTaskSegLib.cohort.source.dicom_tree import gathered
from MultiTaskSegLib.cohort.source.image_stamp import image_digest, image_stamp
from MultiTaskSegLib.cohort.source.scan_origin import scan_origin
from MultiTaskSegLib.picture.framed_picture import framed_picture
from MultiTaskSegLib.runtime.errors import ModelError, MtsError, ResourceError, system_error_sentence
from MultiTaskSegLib.runtime.hosting.model_host import ModelHost, Progress
from MultiTaskSegLib.runtime.hosting.purpose import CHECK
from MultiTaskSegLib.runtime.hosting.torch_machine import Answers, Machine, TorchMachine
from MultiTaskSegLib.runtime.image.image_file import image_name, read_image
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.memory_allocator import release_freed_memory
from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory, memory_error
from MultiTaskSegLib.runtime.machine.result_place import REPORT
from MultiTaskSegLib.runtime.machine.result_record import with_digests
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.segmentation import REPORT_SCHEMA, Segmentation
from MultiTaskSegLib.runtime.selection.selection import Selection
from MultiTaskSegLib.runtime.selection.structures import require_structures
from MultiTaskSegLib.runtime.thumbnail.thumbnail import thumbnail

AUTO = "auto"


@dataclass(frozen=True)
class CohortJob:
    """What all workers of a run do; every machine sees the same paths.

    Attributes:
        settings: on which results depend.
        model: file.
        output: folder of the results.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    settings: CohortSettings
    model: Path
    output: Path
    device: str = AUTO


class _OtherModelError(ModelError):
    """The file is not, or no longer, that of the run: no case can be done."""


class CaseWorker:
    """Keeps the model.

    Args:
        job: what to do.
        machine: loads models; this one by default.
    """

    def __init__(self, job: CohortJob, machine: Machine | None = None) -> None:
        self._job, self._settings = job, job.settings
        self._host = ModelHost(machine or TorchMachine())
        self._selection = Selection(
            self._settings.task or AUTO, structures=self._settings.structures, is_thorough=self._settings.thorough
        )

    def open(self) -> str:
        """Load the model; why no case can be done, one sentence, or nothing."""
        try:
            self._require_output()
            if self._settings.dicom_seg:
                require_highdicom()
            predictor = self._host.predictor(str(self._job.model), self._job.device, planar=False)
            self._require_model(predictor.model.digest)
            self._require_wishes(predictor)
        except Exception as error:  # whatever it is, the run ends with a sentence
            return sentence(error)
        return ""

    def run(self, case: Case, attempt: int) -> CaseOutcome:
        """Do a case; whatever goes wrong is told, never raised."""
        began_s, place = time.perf_counter(), case.image
        try:
            with gathered(case) as place:
                stamp, digest = image_stamp(case), image_digest(case)
                volume = replace(read_image(place), name=image_name(case.image))
                found = self._found(volume)
        except Exception as error:  # one image that fails must not end the others
            told = sentence(error).replace(str(place), str(case.image))
            return CaseOutcome(reason=told, is_general=isinstance(error, _OtherModelError))
        known = {"case": case.identity, "source": str(case.image), "attempts": attempt, "stamp": stamp}
        known["image_sha256"] = digest
        if self._settings.origin:
            known |= vars(scan_origin(case))
        try:
            return CaseOutcome(self._keep(case, volume, found, known, began_s))
        except Exception as error:  # what cannot be written here can be written nowhere: the run must hear of it
            return CaseOutcome(reason=sentence(error), is_general=isinstance(error, ResourceError))
        finally:
            # Images of different sizes would leave gigabytes of holes in the heap.
            release_freed_memory()

    def _found(self, volume: Volume) -> Segmentation | dict[str, Any]:
        """The segmentation, or the report of a check."""
        model, device = str(self._job.model), self._job.device

        def judge(one: Answers, tell: Progress) -> Verdict:
            """Check with the model that is meant."""
            self._require_model(one.model.digest)
            verdict: Verdict = one.check(volume, tell)
            return verdict

        def act(one: Answers, tell: Progress) -> Segmentation:
            """Segment what is wanted with the model that is meant."""
            self._require_model(one.model.digest)
            return self._selection.segment(one, volume, tell)

        if self._settings.command == CHECK_COMMAND:
            verdict, notes = self._host.run(model, device, volume, CHECK, judge, _unseen, _unheard)
            return {
                "schema": REPORT_SCHEMA,
                "image": volume.name,
                "model": {"name": self._settings.model, "sha256": self._settings.model_sha256},
                "ood": verdict.as_dict(),
                "network_grid": verdict.network_grid,
                "warnings": list(dict.fromkeys((*verdict.warnings, *notes))),
            }
        found, notes = self._host.run(model, device, volume, self._selection.purpose, act, _unseen, _unheard)
        return found.with_warnings(notes)

    def _keep(
        self, case: Case, volume: Volume, found: Segmentation | dict[str, Any], known: dict[str, Any], began_s: float
    ) -> CaseRecord:
        with new_result(self._job.output, case) as stage:
            if isinstance(found, Segmentation):
                objects: list[Path] = []
                if self._settings.dicom_seg:
                    found, objects = with_object(found, case, stage, has_origin=self._settings.origin)
                report = found.write(stage, objects)
            else:
                report = with_digests(found, [])
                (stage / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            record = record_of(report, **known, seconds=round(time.perf_counter() - began_s, 3))
            (stage / PICTURE_FILE).write_bytes(_picture(volume, found, record.verdict))
            (stage / RECORD_FILE).write_text(record.as_text(), encoding="utf-8")
        # Of two that did the same case the first one's result stays.
        return read_record(case_folder(self._job.output, case))

    def _require_output(self) -> None:
        if read_settings(self._job.output) != self._settings.as_dict():
            raise ResourceError(
                "a worker does not see the folder for the results",
                file=self._job.output,
                remedy="Give a folder that every machine of the cluster sees under this path",
            )

    def _require_model(self, digest: str) -> None:
        if digest != self._settings.model_sha256:
            raise _OtherModelError(
                "a worker sees another model under this path, or it was replaced during the run",
                file=self._job.model,
                remedy="Give a file that every machine sees, and leave it as it is",
            )

    def _require_wishes(self, predictor: Answers) -> None:
        if self._settings.command != CHECK_COMMAND:
            tasks = [task for task in predictor.manifest.tasks if self._settings.task in (AUTO, task.name)]
            require_structures(tasks, self._settings.structures)


def _picture(volume: Volume, found: Segmentation | dict[str, Any], verdict: str) -> bytes:
    """The slice with the most labelled voxels, framed in the colour of the verdict; of a check the middle one."""
    if isinstance(found, Segmentation):
        colours = {label.value: label.colour for label in found.task.labels}
        return framed_picture(thumbnail(volume, found.labels, colours, found.regions), verdict)
    return framed_picture(thumbnail(volume, np.zeros(volume.voxels.shape, np.uint8), {}), verdict)


def sentence(error: Exception) -> str:
    """What to tell about an exception, on one line."""
    if isinstance(error, MtsError):
        return str(error)
    if is_out_of_memory(error):
        return str(memory_error(error))
    if isinstance(error, OSError) and error.strerror:
        return system_error_sentence(error)
    return f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"


def _unseen(share: float, step: str) -> None:
    """The progress of one case among thousands is not shown."""


def _unheard(note: str) -> None:
    """What was done in another way is told with the result."""
