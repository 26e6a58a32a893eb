"""Which images take part in the benchmark, in which family, and what is done to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.image.image_file import read_image
from Testing.trainer.seen_groups import stand_in, trained_on
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.data.dataset import read_dataset
from trainer.data.spread import evenly
from trainer.ood.catalogue import (
    ARTEFACT,
    KNOWN,
    LEFT_OUT,
    MATCHED,
    REAL,
    TRAINING,
    Entry,
    catalogue,
    foreign_images,
)
from trainer.ood.fault.artefact import ARTEFACT_KINDS, SEVERITIES


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    parent = tmp_path_factory.mktemp("data")
    datasets = [
        BallDataset("Known", shape=(6, 12, 14), patients=5),
        BallDataset("Other", shape=(8, 10, 10), patients=3, person="other"),
        BallDataset("Flat", shape=(1, 16, 16), patients=2),
    ]
    folders = [read_dataset(dataset.write(parent)) for dataset in datasets]
    foreign = parent / "foreign" / "knees"
    foreign.mkdir(parents=True)
    voxels = np.random.default_rng(0).normal(0, 1, (7, 9, 9)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(foreign / "knee.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(voxels[0]), str(foreign / "picture.mha"))
    held_out = [case.group for case in folders[0].cases[:2]]
    trained_groups = set(folders[0].groups) - set(held_out)
    return catalogue(model(trained_groups), folders, [parent / "foreign"], artefact_cases=1)


def model(groups: set[str]) -> Any:
    """A predictor that was trained on these groups of one dataset."""
    training = trained_on({"Known": groups})
    manifest = SimpleNamespace(tasks=[stand_in("Known")], training=training, is_planar=False)
    return SimpleNamespace(manifest=manifest)


def test_each_image_is_in_its_family_and_those_of_the_other_dimension_in_none(entries: list[Entry]) -> None:
    counts = Counter(entry.family for entry in entries)
    # Known: 3 trained on, 2 held out. The other 3-D dataset is left out; the 2-D one and the picture do not count.
    assert counts == {
        TRAINING: 3, KNOWN: 2, LEFT_OUT: 3, REAL: 1, MATCHED: 4, ARTEFACT: len(ARTEFACT_KINDS) * len(SEVERITIES),
    }  # fmt: skip


def test_no_two_entries_share_their_file(entries: list[Entry]) -> None:
    assert len({entry.key for entry in entries}) == len(entries)


def test_matched_images_have_the_grid_of_a_known_one(entries: list[Entry]) -> None:
    for entry in (e for e in entries if e.family == MATCHED):
        assert entry.like is not None
        like = entry.like.read_image()
        volume, labels = entry.load()
        assert volume.shape == like.shape
        np.testing.assert_allclose(volume.ijk_to_lps, like.ijk_to_lps)
        assert labels is None


def test_only_held_out_images_are_spoilt_and_their_labels_come_along(entries: list[Entry]) -> None:
    known = {entry.name for entry in entries if entry.family == KNOWN}
    spoilt = [entry for entry in entries if entry.family == ARTEFACT]
    assert {entry.name for entry in spoilt} <= known
    plain = read_image(spoilt[0].image)
    inverted = next(e for e in spoilt if e.artefact and (e.artefact.kind, e.artefact.severity) == ("inversion", 3))
    volume, labels = inverted.load()
    assert labels is not None
    assert labels.shape == volume.shape
    assert np.corrcoef(volume.voxels.ravel(), plain.voxels.ravel())[0, 1] < -0.9


def test_at_most_so_many_images_are_taken_from_all_over_a_source() -> None:
    items = [Entry(REAL, "s", str(n), str(n), "", Path("x")) for n in range(10)]
    assert [e.name for e in evenly(items, 4)] == ["0", "3", "6", "9"]
    assert evenly(items, 50) == items
    assert evenly([], 3) == []


def test_a_benchmark_with_one_side_is_refused(tmp_path: Path) -> None:
    dataset = read_dataset(BallDataset("Known", patients=3).write(tmp_path))
    with pytest.raises(DatasetError, match="one side"):
        catalogue(model(["p0"]), [dataset], [], artefact_cases=0)


def test_foreign_images_are_found_at_any_depth_without_their_labels(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "deep/er/b.png", "deep/b_label.png", "notes.txt", "deep/c.nrrd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for _, path in foreign_images(tmp_path)] == ["a.nii.gz", "c.nrrd", "b.png"]
    with pytest.raises(DatasetError):
        list(foreign_images(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "held_out, others, says",
    [
        ([], [], "none that was held out"),
        ([0, 1, 2, 3], [], "fewer than two patients"),
        ([0], [], "of one patient"),
        ([0, 1], ["Elsewhere"], "no folder for Elsewhere"),
    ],
)
def test_what_would_stop_the_benchmark_in_the_end_is_said_before_anything_is_measured(
    tmp_path: Path, held_out: list[int], others: list[str], says: str
) -> None:
    known, other = (
        read_dataset(BallDataset(name, patients=5, person=name).write(tmp_path)) for name in ("Known", "Other")
    )
    predictor = model(set(known.groups) - {known.cases[index].group for index in held_out})
    predictor.manifest.tasks += [stand_in(name) for name in others]
    with pytest.raises(DatasetError, match=says):
        catalogue(predictor, [known, other], [], artefact_cases=0)
