"""The result of segmenting one image: maps, verdict, report, and files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.machine.atomic_file import named_after_target, staged_files
from MultiTaskSegLib.runtime.machine.result_place import OBJECT_FILE, REPORT
from MultiTaskSegLib.runtime.machine.result_record import DIGESTS, noted_files, with_digests
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, TaskInfo
from MultiTaskSegLib.runtime.network.precision import FLOAT32
from MultiTaskSegLib.runtime.ood.verdict import NOT_CHECKED, REGION_NOT_CHECKED, Verdict
from MultiTaskSegLib.runtime.quality.image_agreement import ImageAgreement
from MultiTaskSegLib.runtime.quality.image_quality import ImageQuality

REPORT_SCHEMA = "multitaskseg-report/1"


@dataclass(frozen=True)
class Segmentation:
    """Result on the input's own grid.

    Attributes:
        volume: the input.
        labels: uint8 ``(Z, Y, X)`` label values.
        uncertainty: float32 ``(Z, Y, X)`` in [0, 1], normalised entropy of the calibrated probabilities.
        confidence: float32 ``(Z, Y, X)`` in [0, 1], probability of the chosen label.
        task: what was segmented.
        verdict: of the out-of-distribution check; None where the model has no reference, so that nothing was checked.
        model_name, model_sha256: which model.
        device: where it ran.
        timings: seconds by step.
        warnings: what the user must know.
        predicted_dice: by label value, the Dice coefficient to expect of a segment; None or missing where none was
            found, and for an image that is out of distribution.
        regions: bool ``(R, Z, Y, X)`` in the order of the task's labels, where these may overlap; ``labels`` then shows
            later ones over earlier ones.
        region_confidence: by label value, mean probability over the region's own voxels.
        grid: how the network saw the image, as plain values; by default what the verdict says.
        model_choice: how the model was chosen among several, as plain values; None where there was no choice.
        region: what was to be segmented, as plain values; None for the whole image. The verdict is on the whole image
            all the same.
        inside: bool ``(Z, Y, X)``, the voxels of the region; None for the whole image.
        left_out: names of the task's structures that were not wanted; they are background.
        quality: what is expected of the result, whether or not the image is foreign; None where nobody knows.
        precision: in which the network was computed.
        agreement: how far further looks agree with the result; None where none were taken.
    """

    volume: Volume
    labels: NDArray[np.uint8]
    uncertainty: NDArray[np.float32]
    confidence: NDArray[np.float32]
    task: TaskInfo
    verdict: Verdict | None
    model_name: str
    model_sha256: str
    device: str
    timings: dict[str, float]
    warnings: tuple[str, ...]
    predicted_dice: Mapping[int, float | None] = field(default_factory=dict)
    regions: NDArray[np.bool_] | None = None
    region_confidence: Mapping[int, float] = field(default_factory=dict)
    grid: Mapping[str, Any] | None = None
    model_choice: Mapping[str, Any] | None = None
    region: Mapping[str, Any] | None = None
    inside: NDArray[np.bool_] | None = None
    left_out: tuple[str, ...] = ()
    quality: ImageQuality | None = None
    precision: str = FLOAT32
    agreement: ImageAgreement | None = None

    @property
    def checked(self) -> Verdict:
        """The verdict, of a model that is known to have reference images.

        Raises:
            ModelError: nothing was checked.
        """
        if self.verdict is None:
            raise ModelError(f"the image was {NOT_CHECKED}", remedy="Use a model that has some")
        return self.verdict

    @property
    def verdict_sentence(self) -> str:
        """What is known about the image, for people."""
        if self.verdict is not None:
            return self.verdict.sentence()
        return NOT_CHECKED if self.region is None else REGION_NOT_CHECKED

    @property
    def is_foreign(self) -> bool:
        """Whether the check flags the image."""
        return self.verdict is not None and self.verdict.is_ood

    def with_warnings(self, more: Sequence[str]) -> Segmentation:
        """The same result with sentences that it does not have yet."""
        return replace(self, warnings=tuple(dict.fromkeys((*self.warnings, *more))))

    def with_model_choice(self, choice: Mapping[str, Any] | None) -> Segmentation:
        """The same result with how its model was chosen."""
        return replace(self, model_choice=choice)

    def report(self) -> dict[str, Any]:
        """Everything but the voxels, as in ``report.json``, which also has the digests of the files beside it."""
        several = {"channels": list(self.task.inputs)} if self.task.inputs else {}
        chosen = {} if self.model_choice is None else {"choice": dict(self.model_choice)}
        return {
            "schema": REPORT_SCHEMA,
            "image": self.volume.name,
            **several,
            **({} if self.region is None else {"region": dict(self.region)}),
            **({"left_out": list(self.left_out)} if self.left_out else {}),
            "model": {"name": self.model_name, "sha256": self.model_sha256, **chosen},
            "task": self.task.name,
            "device": self.device,
            "precision": self.precision,
            "labels": self._label_table(),
            "ood": None if self.verdict is None else self.verdict.as_dict(),
            "quality": None if self.quality is None else self.quality.as_dict(is_foreign=self.is_foreign),
            "thorough": None if self.agreement is None else self.agreement.as_dict(is_foreign=self.is_foreign),
            "checked": self.verdict is not None,
            "network_grid": self.network_grid,
            "uncertainty": self._uncertainty_summary(),
            "timings": {name: round(seconds, 4) for name, seconds in self.timings.items()},
            "warnings": list(self.warnings),
        }

    @property
    def network_grid(self) -> dict[str, Any] | None:
        """How the network saw the image, as plain values; None where nobody says so."""
        if self.grid is not None:
            return dict(self.grid)
        return None if self.verdict is None else self.verdict.network_grid

    def write(self, directory: Path, further: Iterable[Path] = ()) -> dict[str, Any]:
        """Write ``segmentation.nii.gz``, ``segmentation.seg.nrrd``, ``uncertainty.nii.gz`` and ``report.json``.

        All files are written aside first and then put in place together, so that a failure leaves what was there.
        A DICOM SEG object of a former result goes where there is no new one.

        Args:
            directory: where they go.
            further: files that belong to the result; they are moved.

        Returns:
            The report as it is written: with the digests of the files.

        Raises:
            ResourceError: a file cannot be written.
        """
        # Late, because the worker mostly returns arrays, and SimpleITK takes time and memory to load.
        from MultiTaskSegLib.runtime.image.sitk_image import to_sitk, write_image
        from MultiTaskSegLib.runtime.labels.seg_nrrd import write_seg_nrrd

        former = noted_files(directory)
        with staged_files(directory) as stage:
            for file in further:
                shutil.move(file, stage / file.name)
            labels = to_sitk(self.labels, self.volume)
            write_image(labels, stage / "segmentation.nii.gz")
            write_seg_nrrd(labels, self.task, stage / "segmentation.seg.nrrd", self.regions)
            write_image(to_sitk(self.uncertainty, self.volume), stage / "uncertainty.nii.gz")
            report = with_digests(self.report(), sorted(stage.iterdir()))
            text = json.dumps(report, indent=1, ensure_ascii=False)
            (stage / REPORT).write_text(text + "\n", encoding="utf-8", newline="\n")
        if OBJECT_FILE in former.keys() - report[DIGESTS].keys():
            with named_after_target(directory, directory):
                (directory / OBJECT_FILE).unlink(missing_ok=True)
        return report

    def _label_table(self) -> list[dict[str, Any]]:
        if self.regions is not None:
            counts = [np.count_nonzero(region) for region in self.regions]
            return [
                self._label_row(label, int(count), self.region_confidence.get(label.value))
                for label, count in zip(self.task.labels, counts, strict=True)
            ]
        found_voxels, sums = np.zeros(256, dtype=np.int64), np.zeros(256)
        # Counting makes 8-byte copies: slice by slice, and of labelled voxels only.
        for labels, confidence in zip(self.labels, self.confidence, strict=True):
            found = labels > 0
            found_voxels += np.bincount(labels[found], minlength=256)
            sums += np.bincount(labels[found], weights=confidence[found], minlength=256)
        rows = [(label, int(found_voxels[label.value]), float(sums[label.value])) for label in self.task.labels]
        return [self._label_row(label, count, total / count if count else None) for label, count, total in rows]

    def _label_row(self, label: LabelInfo, voxels: int, confidence: float | None) -> dict[str, Any]:
        return {
            "value": label.value,
            "name": label.display_name,
            "terminology": label.terminology,
            "voxels": voxels,
            "volume_mm3": _times(voxels, self.volume.voxel_volume_mm3),
            "area_mm2": _times(voxels, self.volume.pixel_area_mm2),
            "mean_confidence": confidence,
            "predicted_dice": self.predicted_dice.get(label.value),
            "agreement": None if self.agreement is None else self.agreement.dice.get(label.value),
            "dice_at_least": None if self.quality is None or self.is_foreign else self.quality.at_least(label.value),
        }

    def _uncertainty_summary(self) -> dict[str, float | None]:
        foreground = self.labels > 0
        seen = self.uncertainty if self.inside is None else self.uncertainty[self.inside]
        return {
            "mean": float(seen.mean()),
            "mean_foreground": float(self.uncertainty[foreground].mean()) if foreground.any() else None,
            "maximum": float(self.uncertainty.max()),
        }


def _times(count: int, size: float | None) -> float | None:
    """So many voxels or pixels of a size; None where that is not known."""
    return None if size is None else float(count * size)
