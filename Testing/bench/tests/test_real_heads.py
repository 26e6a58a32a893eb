"""Real heads: nobody is on both sides, and pictures stand upright."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.manifest import LabelInfo
from Testing.bench.head.acceptance import images_of, shares
from Testing.bench.head.against_labels import brain_of
from Testing.bench.head.known_heads import split_heads, write_folder
from Testing.bench.head.real_head import TABLE, read_heads
from Testing.bench.head.real_tissues import MERGED, tissue_dice, tissues_by_value
from Testing.bench.head.sheet import Look, sheet, upright
from Testing.bench.head.tissue_slabs import merged_tissues
from trainer.data.image_source import read_image_source

FILES = [f"T1_ms_p{n:02d}_s1.nii.gz" for n in range(8)] + ["T2_ms_p03_s2.nii.gz", "ss_T1_one.nii.gz"]

LICENCES = ("CC BY (LICENSE)", "BSD")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [f"{file},T1,yes,none,{file != 'T2_ms_p03_s2.nii.gz'},{LICENCES['one' in file]}" for file in FILES]
    text = "\n".join(["file,modality,skull,labels,released_reference_may_use,licence as stated", *rows])
    (tmp_path / TABLE).write_text(text, encoding="utf-8")
    return tmp_path


def test_persons_are_kept_apart_and_what_may_not_be_known_is_kept_back(folder: Path, tmp_path: Path) -> None:
    heads = read_heads(folder)
    known, kept_back = split_heads(heads)
    assert {h.path.name for h in (*known, *kept_back)} == set(FILES)
    assert not {h.person for h in known} & {h.person for h in kept_back}
    # One image of this person may not be known, so neither may the other.
    assert "ms_p03" in {h.person for h in kept_back}
    assert 5 <= len(known) <= 7
    write_folder(tmp_path / "known", known)
    found = read_image_source(tmp_path / "known").dataset
    assert {case.group for case in found.cases} == {h.person for h in known}
    write_folder(tmp_path / "all", heads)
    assert json.loads((tmp_path / "all" / "dataset.json").read_text("utf-8"))["licence"] == "BSD; CC BY (LICENSE)"


def test_all_that_may_be_known_is_known_where_nothing_is_to_be_kept_back(folder: Path) -> None:
    known, kept_back = split_heads(read_heads(folder), 0.0)
    assert {h.person for h in kept_back} == {"ms_p03"}
    assert len(known) == len(FILES) - 2


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2), (2, 0, 1)])
def test_a_head_stands_upright_whatever_the_plane_of_its_slices(axes: tuple[int, int, int]) -> None:
    body = np.zeros((6, 8, 10), dtype=np.float32)
    body[4:, :3, 7:] = 1  # above, in front, on the left
    spacing = np.array([4.0, 2.0, 1.0]) if axes == (0, 1, 2) else np.array([1.0, 1.0, 1.0])
    if axes != (0, 1, 2):
        spacing[axes[0]] = 4.0
    stored = np.transpose(body, axes)
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for place, axis in enumerate(axes):
        matrix[2 - axis, 2 - place] = spacing[axis]
    image, labels, found = upright(Volume(np.ascontiguousarray(stored), matrix), stored.astype(np.uint8))
    np.testing.assert_array_equal(image, body)
    np.testing.assert_array_equal(labels, body)
    assert found == pytest.approx(tuple(spacing))


def test_a_sheet_has_three_planes_of_every_head() -> None:
    image = np.random.default_rng(0).random((6, 8, 10))
    look = Look("a head", image, (image > 0.8).astype(np.uint8), (3.0, 1.0, 1.0), (0.0, 1.0))
    empty = Look("nothing found", image, np.zeros(image.shape, dtype=np.uint8), (3.0, 1.0, 1.0), (0.0, 1.0))
    figure = sheet([look, empty, look, look, look])
    assert sum(bool(axes.images) for axes in figure.axes) == 15


def test_the_brain_of_a_label_map_holds_its_furrows_and_nothing_beside_it() -> None:
    labels = np.zeros((20, 30, 20), dtype=np.int32)
    labels[4:16, 4:12, 4:16], labels[4:16, 15:26, 4:16] = 3, 40
    found = brain_of(labels, (1.0, 1.0, 1.0))
    assert found[7:13, 4:26, 7:13].all()
    assert not found[:3].any()


def test_seven_classes_are_merged_into_four_tissues() -> None:
    names = ("white_matter", "cortex", "deep_grey_matter", "ventricles", "cerebellum", "brain_stem", "csf")
    labels = tuple(LabelInfo(value, name, name, (0, 0, 0), "") for value, name in enumerate(names, start=1))
    merged = merged_tissues(np.arange(8), SimpleNamespace(labels=labels))  # type: ignore[arg-type]
    assert merged.tolist() == [0, 3, 2, 4, 1, 2, 3, 1]


def test_gyri_and_nuclei_are_merged_into_tissues_and_what_is_neither_is_left_out() -> None:
    names = {4: "3rd Ventricle", 23: "Right Accumbens Area", 47: "Right Hippocampus", 44: "Right Cerebral White Matter",
             46: "CSF", 63: "Right vessel", 35: "Brain Stem", 71: "Cerebellar Vermal Lobules I-V",
             100: "Right ACgG anterior cingulate gyrus", 207: "Left TTG transverse temporal gyrus"}  # fmt: skip
    values = tissues_by_value(names)
    assert values == {"white_matter": (44,), "cortex": (47, 100, 207), "deep_grey_matter": (23,), "ventricles": (4,),
                      "cerebellum": (71,), "brain_stem": (35,)}  # fmt: skip
    labels = tuple(LabelInfo(value, name, name, (0, 0, 0), "") for value, name in enumerate([*MERGED, "csf"], start=1))
    truth = np.array([44, 44, 47, 100, 207, 23, 4, 71, 35, 46, 0])
    found = np.array([1, 2, 2, 2, 2, 3, 4, 5, 6, 7, 0])
    score = tissue_dice(found, truth, SimpleNamespace(labels=labels), values)  # type: ignore[arg-type]
    assert score == pytest.approx({"white_matter": 2 / 3, "cortex": 6 / 7, "deep_grey_matter": 1, "ventricles": 1,
                                   "cerebellum": 1, "brain_stem": 1})  # fmt: skip


def test_a_folder_of_images_is_told_from_a_dataset_whose_table_says_who_is_shown(folder: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "heads", read_heads(folder))
    loose = tmp_path / "loose"
    loose.mkdir()
    for name in ("one.nii.gz", "one_label.nii.gz", "two.nii.gz"):
        (loose / name).write_bytes(b"")
    for file in FILES:
        (folder / file).write_bytes(b"")
    found = images_of([tmp_path / "heads", loose])
    assert {person for person, _ in found["heads"]} == {head.person for head in read_heads(folder)}
    assert [person for person, _ in found["loose"]] == ["one.nii.gz", "two.nii.gz"]
    assert images_of([loose / "two.nii.gz"]) == {"loose": [("two.nii.gz", loose / "two.nii.gz")]}
    (tmp_path / "empty").mkdir()
    for wrong in ("empty", "loose/three.nii.gz"):
        with pytest.raises(FileNotFoundError, match="has no image"):
            images_of([tmp_path / wrong])


def test_channels_of_a_case_and_files_that_are_named_so_are_of_one_person(tmp_path: Path) -> None:
    data, loose = tmp_path / "Dataset", tmp_path / "loose"
    (data / "imagesTr").mkdir(parents=True)
    loose.mkdir()
    (data / "cases.csv").write_text("case,group\npat2,anna\npat3,bert\n", encoding="utf-8")
    for name in ("pat2_0000", "pat2_0001", "pat3_0000", "pat3_0001"):
        (data / "imagesTr" / f"{name}.nii.gz").write_bytes(b"")
    for name in ("MET-110-t1c", "MET-110-t2f", "PD"):
        (loose / f"{name}.nii.gz").write_bytes(b"")
    found = images_of([data, loose], ["MET-110"])
    assert [person for person, _ in found["Dataset"]] == ["anna", "anna", "bert", "bert"]
    assert [person for person, _ in found["loose"]] == ["MET-110", "MET-110", "PD.nii.gz"]


def test_accepted_and_flagged_are_counted_with_what_the_check_says(tmp_path: Path) -> None:
    for name in "abc":
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.float32)), str(tmp_path / f"{name}.nii.gz"))
    answers = iter([False, True, False, False, True, False])
    predictor = SimpleNamespace(check=lambda _volume: SimpleNamespace(is_ood=next(answers)))
    accepted = shares(predictor, [tmp_path], "accepted")[tmp_path.name]
    flagged = shares(predictor, [tmp_path], "flagged")[tmp_path.name]
    assert (accepted["images"], accepted["patients"], accepted["accepted"], flagged["flagged"]) == (3, 3, 2, 1)
    assert accepted["interval"][0] < 2 / 3 < accepted["interval"][1]
