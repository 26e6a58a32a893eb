"""Stroke and multiple-sclerosis datasets as they are published: BIDS derivatives, MSSEG and WMH folders.

Names as published: ATLAS R2.0 (Liew et al., "A large, curated, open-source stroke neuroimaging dataset", 2022)
``sub-r001s001_ses-1_space-MNI152NLin2009aSym_T1w.nii.gz`` beside ``..._label-L_desc-T1lesion_mask.nii.gz``; MSSEG
(Commowick et al., 2018) ``Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz`` and
``Masks/Consensus.nii.gz``; WMH challenge (Kuijf et al., 2019) ``Utrecht/0/pre/FLAIR.nii.gz`` and
``Utrecht/0/wmh.nii.gz``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_label_map
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import FILES, Case, LabelMap
from trainer.layout.label_grid import grid_differences, on_image_grid
from trainer.layout.listing import Layout, Listing, optional_info

LESION = "lesion"
SUBJECT_FOLDERS = ("sub-*", "*/sub-*", "derivatives/*/sub-*", "Training/*/sub-*", "*/Training/*/sub-*")
MASK = re.compile(r"_(?:mask|msk|dseg)\.nii(?:\.gz)?$")
NOT_LESION = re.compile(r"desc-brain|label-(?:brain|GM|WM|CSF|regmask)")
SCAN = re.compile(r"_(T1w|FLAIR|T2w|dwi|adc|PDw)\.nii(?:\.gz)?$")
# A mask was drawn on what its name says, else most likely on the first of these that is there.
PREFERRED = ("FLAIR", "T1w", "dwi", "T2w", "adc", "PDw")
DEPTHS = ("", "*/", "*/*/", "*/*/*/")


@dataclass(frozen=True)
class LesionMaskReader:
    """One label from masks.

    Attributes:
        further: other masks of the same scan; the label is their union.
        value: the mask's only value that counts; None for all but 0.
    """

    # Their content tells them apart, not where they lie.
    further: tuple[str, ...] = field(default=(), repr=False)
    value: int | None = None

    def files(self, case: Case) -> tuple[Path, ...]:
        """The scan and all its masks."""
        return (*FILES.files(case), *map(Path, self.further))

    def image(self, case: Case) -> Volume:
        """The scan."""
        return FILES.image(case)

    def labels(self, case: Case) -> LabelMap:
        """1 in the lesions.

        Raises:
            DatasetError: two masks of one scan lie on different grids.
        """
        stored, ijk_to_lps = FILES.labels(case)
        # Only the place of the first mask is asked for, never its values: they take no memory.
        grid = Volume(np.broadcast_to(np.float32(0), stored.shape), ijk_to_lps)
        for name in self.further:
            other, other_to_lps = on_image_grid(grid, *read_label_map(Path(name)))
            if differences := grid_differences(grid, other, other_to_lps):
                what = f"two masks of one scan lie on different grids ({'; '.join(differences)})"
                raise DatasetError(what, file=name, remedy="Resample one of them")
            stored = np.maximum(stored, other)
        lesion = stored != 0 if self.value is None else stored == self.value
        return lesion.astype(np.int32), ijk_to_lps


class BidsLesionLayout:
    """Scans and lesion masks named as BIDS derivatives: ATLAS R2.0, ISLES and others."""

    name = "BIDS derivatives with lesion masks (ATLAS R2.0)"

    def recognises(self, directory: Path) -> bool:
        """Whether a subject's folder holds a lesion mask."""
        return any(_is_mask(path) for subject in _subjects(directory) for path in subject.rglob("sub-*.nii*"))

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the sessions; several masks of one session are united.

        Raises:
            DatasetError: a scan has no mask, a mask no scan, or the sequence is not there.
        """
        files = [p for subject in _subjects(directory) for p in sorted(subject.rglob("sub-*.nii*"))]
        masks: dict[str, list[Path]] = {}
        for path in files if split == "imagesTr" else []:
            if _is_mask(path):
                masks.setdefault(_session(path), []).append(path)
        scans = [path for path in files if SCAN.search(path.name)]
        without = sorted({_session(path) for path in scans} - masks.keys())
        if without or not masks:
            what = f"{len(without)} sessions have no mask, the first is {without[0]}" if without else "there is no mask"
            raise DatasetError(what, file=directory, remedy="Give the folder of the training part, or add the masks")
        pairs = {session: (_scan(own, scans, session, sequence), own) for session, own in masks.items()}
        cases = tuple(
            Case(session, scan, own[0], session.split("_")[0], LesionMaskReader(tuple(map(str, own[1:]))))
            for session, (scan, own) in pairs.items()
        )
        found = {_suffix(scan) for scan, _ in pairs.values()}
        if len(found) > 1:
            raise DatasetError(
                f"the masks were drawn on {' and '.join(sorted(found))}",
                file=directory,
                remedy=f"Name one sequence after the folder: {directory.name}::{min(found)}",
            )
        info = {"anatomy": "head"} | optional_info(directory)
        return Listing(found.pop().removesuffix("w"), {1: LESION}, cases, info)


@dataclass(frozen=True)
class PatientFolderLayout:
    """One folder per patient, in folders of centres, with fixed file names.

    Attributes:
        name: of the layout.
        mask: path of the mask in the patient's folder; more than one form is known.
        scan: paths of a scan, with ``{}`` for the sequence.
        sequences: that exist; the first is read by default.
        value: the mask's only value that counts; None for all but 0.
    """

    name: str
    mask: tuple[str, ...]
    scan: tuple[str, ...]
    sequences: tuple[str, ...]
    value: int | None = None

    def recognises(self, directory: Path) -> bool:
        """Whether any patient has a mask."""
        return next(_below(directory, self.mask), None) is not None

    def read(self, directory: Path, split: str, sequence: str) -> Listing:
        """List the patients.

        Raises:
            DatasetError: a patient has no mask or no scan of the sequence.
        """
        chosen = sequence or self.sequences[0]
        scans = dict(_below(directory, tuple(form.format(chosen) for form in self.scan)))
        masks = dict(_below(directory, self.mask)) if split == "imagesTr" else {}
        for patient in sorted(scans.keys() ^ masks.keys()):
            what = "mask" if patient in scans else f"{chosen} scan"
            raise DatasetError(f"the patient has no {what}", file=patient, remedy="Add it, or remove the folder")
        if not masks:
            raise DatasetError(f"there is no {chosen} scan with a mask", file=directory, remedy="Correct the folder")
        names = {patient: "_".join(patient.relative_to(directory).parts) or patient.name for patient in masks}
        reader = LesionMaskReader(value=self.value)
        cases = tuple(Case(names[p], scans[p], masks[p], names[p], reader) for p in masks)
        return Listing(chosen, {1: LESION}, cases, {"anatomy": "head"} | optional_info(directory))


MSSEG = PatientFolderLayout(
    "MSSEG (Center/Patient/Masks/Consensus)",
    ("Masks/Consensus.nii.gz", "Consensus.nii.gz"),
    ("Preprocessed_Data/{}_preprocessed.nii.gz", "{}_preprocessed.nii.gz"),
    ("FLAIR", "T1", "T2", "DP", "GADO"),
)
# Value 2 is other pathology, which the challenge leaves out of the evaluation; here it counts as background.
WMH = PatientFolderLayout(
    "WMH challenge (Centre/Patient/wmh)",
    ("wmh.nii.gz",),
    ("pre/{}.nii.gz", "orig/{}.nii.gz"),
    ("FLAIR", "T1"),
    value=1,
)
LESION_LAYOUTS: tuple[Layout, ...] = (BidsLesionLayout(), MSSEG, WMH)


def _below(directory: Path, forms: tuple[str, ...]) -> Iterator[tuple[Path, Path]]:
    """Patient's folder and file, for each file of one of the forms; an earlier form is preferred."""
    seen: set[Path] = set()
    for form in forms:
        for depth in DEPTHS:
            for path in sorted(directory.glob(depth + form)):
                patient = path.parents[form.count("/")]
                # "Masks" is no patient, though a shorter form would fit it.
                if patient not in seen and patient.name != "Masks":
                    seen.add(patient)
                    yield patient, path


def _subjects(directory: Path) -> list[Path]:
    return sorted({p for form in SUBJECT_FOLDERS for p in directory.glob(form) if p.is_dir()})


def _is_mask(path: Path) -> bool:
    return bool(MASK.search(path.name)) and not NOT_LESION.search(path.name)


def _session(path: Path) -> str:
    """``sub-X_ses-Y`` of a file's name, ``sub-X`` where there are no sessions."""
    return "_".join(part for part in path.name.split("_") if part.startswith(("sub-", "ses-")))


def _entity(path: Path, key: str) -> str:
    return next((part for part in path.name.split("_") if part.startswith(f"{key}-")), "")


def _suffix(path: Path) -> str:
    match = SCAN.search(path.name)
    assert match is not None
    return match.group(1)


def _scan(masks: list[Path], scans: list[Path], session: str, sequence: str) -> Path:
    """The scan that the masks of a session belong to."""
    own = [s for s in scans if _session(s) == session and _entity(s, "space") == _entity(masks[0], "space")]
    hint = next((s for s in PREFERRED if s.removesuffix("w") in _entity(masks[0], "desc")), "")
    wanted = [s for s in PREFERRED if s.removesuffix("w") == sequence.removesuffix("w")] if sequence else [hint]
    for suffix in wanted if any(wanted) or sequence else PREFERRED:
        found = sorted((s for s in own if _suffix(s) == suffix), key=lambda s: (s.parent != masks[0].parent, s.name))
        if found:
            return found[0]
    raise DatasetError(
        f"there is no {sequence or hint or 'scan'} for the mask",
        file=masks[0],
        remedy="Add the scan in the mask's space",
    )
