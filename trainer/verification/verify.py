"""Every defect of labelled datasets in one pass."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, MtsError
from MultiTaskSegLib.runtime.image.image_file import IMAGE_IO, require_contrast
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.data.dataset import LAYOUTS, NNUNET, VIEW_MARK, dataset_name, read_dataset
from trainer.data.memory_room import MemoryRoom
from trainer.data.preparation_memory import reading_bytes
from trainer.layout.case import FILES, Case, CaseReader
from trainer.layout.label_grid import grid_differences, on_image_grid, undeclared_values
from trainer.layout.nnunet import list_further, list_pairs, read_channels, read_group_rows, read_info, read_labels
from trainer.layout.region_labels import declared_values
from trainer.machine.processor import usable_cores
from trainer.report.progress import Progress
from trainer.verification.channel_check import ChannelLooks, channel_defects, slice_defects, swapped_cases
from trainer.verification.context_check import context_defects
from trainer.verification.defect import Defect

_SAME_GRID = "Resample the label map to the image's grid"
_TURNED = "the label map is stored with other axes than the image; it is laid onto its grid by its place in millimetres"
_MAX_THREADS = 4


@dataclass(frozen=True)
class _Pair:
    """Files of one case; a label without image or an image without label is a defect found elsewhere."""

    dataset: str
    case: str
    image: Path | None
    label: Path | None
    declared: frozenset[int]
    reader: CaseReader = FILES
    further: tuple[Path, ...] = ()
    inputs: tuple[str, ...] = ()

    @property
    def files(self) -> Case:
        """The files with the way to read them."""
        return Case(self.case, self.image or Path(), self.label, "", self.reader, self.further)

    def defect(self, file: Path | None, what: str, remedy: str, is_warning: bool = False) -> Defect:
        """A defect of this pair."""
        return Defect(self.dataset, self.case, str(file), what, remedy, is_warning)


@dataclass(frozen=True)
class _Finding:
    """What opening one pair has shown."""

    pair: _Pair
    defects: list[Defect] = field(default_factory=list)
    voxel_hash: str = ""
    looks: ChannelLooks | None = None
    values: frozenset[int] = frozenset()


def run_verify(directories: Iterable[str | Path], out: Callable[[str], None]) -> int:
    """Verify datasets, write one line per defect and a summary; return the exit code, 0 or 4.

    Args:
        directories: dataset folders.
        out: takes one line of text; progress goes to standard error.
    """
    folders = [Path(directory) for directory in directories]
    defects = verify_datasets(folders)
    for defect in defects:
        out(str(defect))
    errors = sum(not defect.is_warning for defect in defects)
    out(f"{len(folders)} datasets verified: {errors} defects, {len(defects) - errors} warnings")
    return 4 if errors else 0


def verify_datasets(directories: Iterable[str | Path]) -> list[Defect]:
    """Every defect and every warning of all datasets, ordered by dataset and case.

    Reads every file completely. Nothing is raised for a defect, so that one pass finds them all.
    """
    folders = [Path(directory).absolute() for directory in directories]
    defects: list[Defect] = []
    pairs: list[_Pair] = []
    for folder in folders:
        is_nnunet = VIEW_MARK not in str(folder) and (NNUNET.recognises(folder) or not _has_layout(folder))
        found, of_folder = _inspect_folder(folder) if is_nnunet else _inspect_listing(folder)
        defects += found
        pairs += of_folder
    findings = _read_all(pairs)
    defects += [defect for finding in findings for defect in finding.defects]
    defects += _duplicates(findings) + _absent_labels(findings) + context_defects(folders)
    defects += _swapped(findings)
    order = {dataset_name(folder): place for place, folder in enumerate(folders)}
    return sorted(defects, key=lambda defect: (order[defect.dataset], defect.case, defect.file))


Note = Callable[..., None]


def _inspect_folder(folder: Path) -> tuple[list[Defect], list[_Pair]]:
    """Defects that show without opening images, and the pairs to open."""
    defects: list[Defect] = []

    def note(file: Path, what: str, remedy: str, case: str = "", is_warning: bool = False) -> None:
        """Remember a defect."""
        defects.append(Defect(dataset_name(folder), case, str(file), what, remedy, is_warning))

    def attempt(read: Callable[[], Any], otherwise: Any) -> Any:
        """What ``read`` returns; its typed error becomes a defect."""
        try:
            return read()
        except MtsError as error:
            note(Path(error.file or folder), error.what, error.remedy)
            return otherwise

    info = attempt(lambda: read_info(folder), None)
    if info is None:
        return defects, []
    channels = attempt(lambda: read_channels(info, folder), ("",))
    declared = declared_values(attempt(lambda: read_labels(info, folder), {}))
    ending = str(info.get("file_ending", ".nii.gz"))
    if ending not in IMAGE_IO:
        note(folder / "dataset.json", f"'file_ending' {ending} is not supported", f"Use one of {', '.join(IMAGE_IO)}")
        return defects, []
    pairs = list(_pairs_of(folder, info, channels, declared, note))
    _check_pairs(folder, info, pairs, note)
    _check_groups(folder, [pair.case for pair in pairs], note, attempt)
    return defects, pairs


def _pairs_of(
    folder: Path, info: dict[str, Any], channels: tuple[str, ...], declared: frozenset[int], note: Note
) -> Iterator[_Pair]:
    """The cases of an nnU-Net or MSD folder; channels that a case lacks are noted."""
    name, ending = dataset_name(folder), str(info.get("file_ending", ".nii.gz"))
    for split in _splits(folder):
        further = list_further(folder, info, split, len(channels))
        pairs = list_pairs(folder, info, split)
        for case in sorted(pairs.keys() | further.keys()):
            image, label = pairs.get(case, (None, None))
            others = further.get(case, ())
            paths = [image, *others] if any(others) or image is not None else []
            for number, path in enumerate(paths):
                if path is None:
                    file = next(known for known in paths if known is not None)
                    what = f"the case lacks channel {number} ({channels[number]})"
                    note(file, what, f"Add {case}_{number:04d}{ending}, or remove the case", case)
            present = [(own, path) for own, path in zip(channels[1:], others, strict=False) if path is not None]
            inputs = (channels[0], *(own for own, _ in present)) if present else ()
            yield _Pair(name, case, image, label, declared, FILES, tuple(path for _, path in present), inputs)


def _has_layout(folder: Path) -> bool:
    return any(layout.recognises(folder) for layout in LAYOUTS)


def _inspect_listing(folder: Path) -> tuple[list[Defect], list[_Pair]]:
    """The cases of any other layout, or of a view; these layouts refuse an incomplete folder as a whole."""
    name = dataset_name(folder)
    try:
        dataset = read_dataset(folder, several=True)
    except MtsError as error:
        return [Defect(name, "", str(error.file or folder), error.what, error.remedy)], []
    declared, inputs = declared_values(dataset.labels), dataset.inputs
    return [], [_Pair(name, c.name, c.image, c.label, declared, c.reader, c.further, inputs) for c in dataset.cases]


def _splits(folder: Path) -> list[str]:
    # Test images may come without any label; they are judged only where there is a folder of labels.
    return ["imagesTr", *(["imagesTs"] if (folder / "labelsTs").is_dir() else [])]


def _check_pairs(folder: Path, info: dict[str, Any], pairs: list[_Pair], note: Note) -> None:
    if not pairs:
        note(folder, "the dataset is empty: no image fits 'file_ending'", "Add imagesTr/CASE_0000 and labelsTr/CASE")
    for pair in pairs:
        if pair.label is None and pair.image is not None:
            note(pair.image, "the image has no label map", "Add it to the labels folder or remove the image", pair.case)
        if pair.image is None and pair.label is not None and not pair.further:
            note(pair.label, "the label map has no image", "Add the image or remove the label map", pair.case)
    used = {path for pair in pairs for path in (pair.image, pair.label, *pair.further)}
    for sub_folder in ("imagesTr", "labelsTr"):
        for path in sorted((folder / sub_folder).glob("*")):
            if path not in used and not path.name.startswith("."):
                note(
                    path,
                    "the file does not fit the naming of the dataset and is not used",
                    "Rename or remove it; each channel that dataset.json names is a file of its own (_0000, _0001 ...)",
                    is_warning=True,
                )
    promised = info.get("numTraining")
    trained = sum(pair.image is not None and pair.image.parent.name == "imagesTr" for pair in pairs)
    if isinstance(promised, int) and promised != trained:
        note(
            folder / "dataset.json",
            f"'numTraining' is {promised}, but there are {trained} images",
            "Correct the number or add what is missing",
            is_warning=True,
        )


def _check_groups(folder: Path, cases: list[str], note: Note, attempt: Callable[..., Any]) -> None:
    path = folder / "cases.csv"
    rows: list[tuple[str, str]] = attempt(lambda: read_group_rows(folder), [])
    groups = dict(rows)
    if not groups:
        return
    for case in sorted(set(cases)):
        if not groups.get(case):
            note(path, "cases.csv gives the case no group", "Add a row with the patient as group", case)
    for case in sorted(groups.keys() - set(cases)):
        note(path, "cases.csv names a case that does not exist", "Remove the row", case, is_warning=True)
    count = Counter(case for case, _ in rows)
    for case in sorted(case for case, times in count.items() if times > 1):
        note(path, f"cases.csv has {count[case]} rows for the case", "Keep one", case)


def _read_all(pairs: list[_Pair]) -> list[_Finding]:
    if not pairs:
        return []
    progress = Progress(len(pairs), "Verifying")
    with MemoryRoom.of_machine() as room, ThreadPoolExecutor(min(_MAX_THREADS, usable_cores())) as pool:
        futures = {pool.submit(_read_in, room, pair): place for place, pair in enumerate(pairs)}
        findings: dict[int, _Finding] = {}
        for done, future in enumerate(as_completed(futures), start=1):
            findings[futures[future]] = future.result()
            progress.update(done)
    return [findings[place] for place in range(len(pairs))]


def _read_in(room: MemoryRoom, pair: _Pair) -> _Finding:
    with room.taken(0 if pair.image is None else reading_bytes(pair.files)):
        return _read_pair(pair)


def _read_pair(pair: _Pair) -> _Finding:
    defects: list[Defect] = []
    volume = labels = affine = None
    if pair.image is not None:
        try:
            # Files are looked at one by one; of a slice every channel comes from its own volume.
            volume = (replace(pair, further=()) if pair.reader == FILES else pair).files.read_image()
            defects += [pair.defect(pair.image, text, "Check the export", is_warning=True) for text in volume.warnings]
            require_contrast(volume)
        except (InputError, DatasetError) as error:
            defects.append(pair.defect(pair.image, error.what, error.remedy))
    looks = None
    if volume is not None and pair.image is not None and pair.further and pair.inputs:
        paths = (pair.image, *pair.further)
        look = channel_defects if pair.reader == FILES else slice_defects
        found, looks = look(volume, paths, pair.inputs)
        defects += [pair.defect(file, what, remedy, is_warning) for file, what, remedy, is_warning in found]
    label = pair.label or pair.image
    if pair.label is not None or pair.reader != FILES:
        try:
            labels, affine = pair.files.read_labels()
        except (InputError, DatasetError) as error:
            defects.append(pair.defect(label, error.what, error.remedy))
    values = frozenset() if labels is None else frozenset(np.unique(labels).tolist())
    if undeclared := undeclared_values(values, pair.declared):
        defects.append(pair.defect(label, undeclared, "Declare or remove them"))
    if volume is not None and labels is not None and affine is not None:
        defects += _grid_defects(pair, volume, labels, affine)
    return _Finding(pair, defects, "" if volume is None else _voxel_hash(volume), looks, values)


def _grid_defects(
    pair: _Pair, volume: Volume, labels: NDArray[np.int32], ijk_to_lps: NDArray[np.float64]
) -> list[Defect]:
    label = pair.label or pair.image
    laid, laid_to_lps = on_image_grid(volume, labels, ijk_to_lps)
    differences = grid_differences(volume, laid, laid_to_lps)
    if laid is not labels and not differences:
        return [pair.defect(label, _TURNED, "Nothing has to be done", is_warning=True)]
    return [pair.defect(label, what, _SAME_GRID) for what in differences]


def _voxel_hash(volume: Volume) -> str:
    # Voxel by voxel as they lie: a copy of a whole volume in between would be two.
    digest = hashlib.sha256(repr(volume.shape).encode())
    digest.update(np.ascontiguousarray(volume.voxels).data)
    return digest.hexdigest()


def _duplicates(findings: list[_Finding]) -> list[Defect]:
    """Images with the same voxels: in two groups of a split they would make validation look better than it is."""
    first: dict[str, _Pair] = {}
    defects = []
    for finding in findings:
        if not finding.voxel_hash:
            continue
        other = first.setdefault(finding.voxel_hash, finding.pair)
        if other is not finding.pair:
            defects.append(
                finding.pair.defect(
                    finding.pair.image,
                    f"the image has the same voxels as {other.dataset} {other.case}",
                    "Remove one, or give both the same group in cases.csv",
                    is_warning=True,
                )
            )
    return defects


def _swapped(findings: list[_Finding]) -> list[Defect]:
    """Cases whose channels look like each other's in the other cases of the dataset."""
    by_dataset: dict[str, list[_Finding]] = defaultdict(list)
    for finding in findings:
        if finding.looks is not None:
            by_dataset[finding.pair.dataset].append(finding)
    defects = []
    for found in by_dataset.values():
        # A case that lacks a channel cannot be compared.
        most = max(len(finding.looks or ()) for finding in found)
        own = [finding for finding in found if len(finding.looks or ()) == most]
        for number, (first, second) in swapped_cases([f.looks for f in own if f.looks is not None]):
            pair = own[number].pair
            names = f"{pair.inputs[first]} and {pair.inputs[second]}"
            what = f"the channels {names} look swapped, compared with the other cases"
            defects.append(pair.defect(pair.image, what, "Look at both, and rename the files", is_warning=True))
    return defects


def _absent_labels(findings: list[_Finding]) -> list[Defect]:
    present: dict[str, set[int]] = defaultdict(set)
    declared: dict[str, frozenset[int]] = {}
    for finding in findings:
        present[finding.pair.dataset] |= finding.values
        declared[finding.pair.dataset] = finding.pair.declared
    return [
        Defect(
            dataset,
            "",
            "dataset.json",
            f"label {value} is declared but occurs in no label map",
            "Check the label maps or remove it",
            is_warning=True,
        )
        for dataset, values in declared.items()
        for value in sorted(values - present[dataset])
    ]
