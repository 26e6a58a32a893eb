"""The phantom tasks: which anatomy is scanned how, under which name and with which labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.phantom import brain, heart, torso
from trainer.phantom.foreign import Knee, SeedPod, Texture
from trainer.phantom.scan import Anatomy, Picture, Scan, centred_grid, render, stored_order
from trainer.phantom.shape import WaveField, rotation_matrix

AXIAL, SAGITTAL, CORONAL = (0, 1, 2), (1, 2, 0), (0, 2, 1)


@dataclass(frozen=True)
class PhantomTask:
    """One dataset of the cohort.

    Attributes:
        dataset: folder name of the dataset.
        prefix: start of every case name.
        modality: channel name in ``dataset.json``.
        region: body region, key ``anatomy`` in ``dataset.json``.
        labels: label value by name, without the background.
        draw_anatomy: a new person.
        revisit: the same person on another occasion.
        draw_scan: a new scan.
    """

    dataset: str
    prefix: str
    modality: str
    region: str
    labels: Mapping[str, int]
    draw_anatomy: Callable[[np.random.Generator], Anatomy]
    revisit: Callable[[Anatomy, np.random.Generator], Anatomy]
    draw_scan: Callable[[np.random.Generator], Scan]


@dataclass(frozen=True)
class Exam:
    """The record of one case: rendering it again gives the same voxels.

    Attributes:
        name: case name.
        group: the person; every exam of one person has the same group.
        anatomy: what is scanned.
        scan: how it is scanned.
    """

    name: str
    group: str
    anatomy: Anatomy
    scan: Scan

    def render(self) -> Picture:
        """Image and labels of this case."""
        return render(self.anatomy, self.scan, self.name)


def draw_exams(task: PhantomTask, seed: int, cases: int, first_person: int = 0) -> list[Exam]:
    """Draws the records of `cases` exams; every third person comes twice.

    The record of a person depends on the seed, the task and the person's number only, so a longer list begins with
    the shorter one.

    Args:
        task: which phantom.
        seed: of the whole cohort.
        cases: number of exams.
        first_person: number of the first person; lists that share no person share no anatomy.
    """
    exams: list[Exam] = []
    person = first_person
    while len(exams) < cases:
        random = np.random.default_rng([seed, *task.dataset.encode(), person])
        group = f"{task.prefix}_p{person:03d}"
        anatomy = task.draw_anatomy(random)
        exams.append(Exam(f"{group}_1", group, anatomy, task.draw_scan(random)))
        if person % 3 == 2:
            exams.append(Exam(f"{group}_2", group, task.revisit(anatomy, random), task.draw_scan(random)))
        person += 1
    return exams[:cases]


def draw_foreign(name: str, seed: int) -> Picture:
    """An object that belongs to no task, scanned like the head so that grid and noise do not give it away.

    Args:
        name: one of `FOREIGN`.
        seed: decides object and scan.

    Raises:
        KeyError: no such object.
    """
    random = np.random.default_rng([seed, *name.encode()])
    return render(FOREIGN[name](random), _head_scan(random), name)


FOREIGN: Mapping[str, Callable[[np.random.Generator], Anatomy]] = {
    "knee": Knee.draw,
    "seed pod": SeedPod.draw,
    "texture": Texture.draw,
}
"""Objects outside every task, by the name used in reports."""


def _grid(
    random: np.random.Generator,
    shape_xyz: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    wobble_rad: float,
    wander_mm: float,
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    x, y, z = (int(n + random.integers(-n // 20, n // 20 + 1)) for n in shape_xyz)
    i, j, k = np.asarray(spacing_mm) * random.uniform(0.94, 1.06, size=3)
    turn = rotation_matrix(tuple(random.normal(0, wobble_rad, size=3)))
    return (z, y, x), centred_grid((z, y, x), (i, j, k), turn, random.normal(0, wander_mm, size=3))


def _patient_pose(random: np.random.Generator, angles_rad: tuple[float, float, float]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, :3] = rotation_matrix(tuple(np.asarray(angles_rad) + random.normal(0, 0.06, size=3)))
    pose[:3, 3] = random.uniform(-60, 60, size=3)
    return pose


def _scan(
    random: np.random.Generator,
    grid: tuple[tuple[int, int, int], NDArray[np.float64]],
    pose: NDArray[np.float64],
    noise: tuple[float, float],
    sub_slices: int = 1,
    is_magnitude: bool = True,
) -> Scan:
    shape, ijk_to_scene = grid
    thickness = 0.0 if sub_slices > 1 else random.uniform(0.3, 0.6)
    return Scan(
        shape=shape,
        ijk_to_scene=ijk_to_scene,
        scene_to_lps=pose,
        sub_slices=sub_slices,
        blur_voxels=(thickness, *random.uniform(0.35, 0.65, size=2)),
        noise=float(random.uniform(*noise)),
        bias=WaveField.draw(random, 380.0, 6) if is_magnitude else None,
        bias_strength=float(random.uniform(0.06, 0.2)),
        gain=float(np.exp(random.uniform(np.log(300), np.log(1500)))) if is_magnitude else 1.0,
        is_magnitude=is_magnitude,
        noise_seed=int(random.integers(2**32)),
    )


def _head_scan(random: np.random.Generator) -> Scan:
    shape, matrix = _grid(random, (58, 72, 56), (2.8, 2.8, 2.8), 0.05, 2.5)
    axes = (AXIAL, AXIAL, SAGITTAL, CORONAL)[random.integers(4)]
    grid = stored_order(shape, matrix, axes, _flips(random))
    return _scan(random, grid, _patient_pose(random, (0.0, 0.0, 0.0)), (0.02, 0.05))


def _heart_scan(random: np.random.Generator) -> Scan:
    shape, matrix = _grid(random, (74, 74, 10), (2.2, 2.2, 8.0), 0.05, 3.5)
    across, down, _ = _flips(random)
    grid = stored_order(shape, matrix, AXIAL, (across, down, False))
    # A double-oblique stack, turned clearly less than 45 degrees so that its axes keep their anatomical names.
    return _scan(random, grid, _patient_pose(random, (0.45, -0.4, 0.3)), (0.02, 0.06), sub_slices=3)


def _torso_scan(random: np.random.Generator) -> Scan:
    shape, matrix = _grid(random, (82, 64, 34), (4.2, 4.2, 6.0), 0.03, 6.0)
    grid = stored_order(shape, matrix, AXIAL, _flips(random))
    return _scan(random, grid, _patient_pose(random, (0.0, 0.0, 0.0)), (12.0, 28.0), is_magnitude=False)


def _flips(random: np.random.Generator) -> tuple[bool, bool, bool]:
    i, j, k = random.random(3) < 0.25
    return bool(i), bool(j), bool(k)


def _same_head(anatomy: Anatomy, random: np.random.Generator) -> Anatomy:
    assert isinstance(anatomy, brain.Brain)
    # Years later: the ventricles are a little wider, the folds are the same.
    return replace(anatomy, ventricle_size=anatomy.ventricle_size * float(random.uniform(1.0, 1.1)))


def _contracted(anatomy: Anatomy, random: np.random.Generator) -> Anatomy:
    assert isinstance(anatomy, heart.Heart)
    return anatomy.contracted(float(random.uniform(0.6, 0.75)))


def _other_contrast(anatomy: Anatomy, random: np.random.Generator) -> Anatomy:
    assert isinstance(anatomy, torso.Torso)
    return replace(anatomy, contrast_hu=float(random.uniform(60, 160)))


TASKS: tuple[PhantomTask, ...] = (
    PhantomTask(
        "Dataset901_PhantomBrainT1", "brain", "T1", "head", brain.LABELS, brain.Brain.draw, _same_head, _head_scan
    ),
    PhantomTask(
        "Dataset902_PhantomHeartCine",
        "heart",
        "cine-MRI",
        "chest",
        heart.LABELS,
        heart.Heart.draw,
        _contracted,
        _heart_scan,
    ),
    PhantomTask(
        "Dataset903_PhantomTorsoCT",
        "torso",
        "CT",
        "abdomen",
        torso.LABELS,
        torso.Torso.draw,
        _other_contrast,
        _torso_scan,
    ),
)
"""All phantom tasks, in the order in which they are written."""
