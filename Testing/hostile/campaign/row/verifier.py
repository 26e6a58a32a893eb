"""Defects put into good datasets, each of which `verify` must find, and good datasets, in which it must find none."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr
from pathlib import Path

from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.trainer.dataset_folder import write_dataset
from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.verification.test_verify import DEFECTS, close_enough
from trainer.verification.defect import Defect
from trainer.verification.verify import verify_datasets

REPEATS, CLEAN = 10, 100
REAL = tuple(
    sorted(path.name for path in Path(os.environ.get("MULTITASKSEG_DATA", ".")).glob("Dataset*") if path.is_dir())
)


def attempt(case: str, ground: Ground) -> None:
    """``DEFECT #SEED``, ``clean: SEED`` or ``real: NAME``."""
    kind, _, rest = case.partition(": ")
    if kind == "real":
        folder = Path(os.environ.get("MULTITASKSEG_DATA", ".")) / rest
        if not folder.is_dir():
            raise NotHere("the real dataset is not there")
        no_false_alarm(folder)
    elif kind == "clean":
        no_false_alarm(clean_dataset(int(rest), ground.folder))
    else:
        name, _, seed = case.rpartition(" #")
        # The voxels are drawn from the folder's name.
        folder = write_dataset(ground.folder / f"Dataset{int(seed):03d}_Spoilt")
        spoil, says, of = DEFECTS[name]
        spoil(folder)
        found = quietly_verified(folder)
        require(close_enough(found, says, of, is_warning=False), f"not found: {[str(one) for one in found][:3]}")


def clean_dataset(seed: int, folder: Path) -> Path:
    """Another grid, number of patients, labels and modality for each seed."""
    return BallDataset(
        f"Dataset{seed:03d}_Clean",
        spacing_xyz_mm=(0.5 + seed % 3, 1.0, 1.0 + seed % 4),
        shape=(1 if seed % 5 == 0 else 4 + seed % 7, 12 + seed % 9, 14),
        patients=3 + seed % 4,
        modality=("T1", "T2", "FLAIR")[seed % 3],
        label_values=(1, 2) if seed % 2 else (1,),
    ).write(folder)


def quietly_verified(folder: Path) -> list[Defect]:
    """What is found, without the progress on standard error."""
    with redirect_stderr(io.StringIO()):
        return verify_datasets([folder])


def no_false_alarm(folder: Path) -> None:
    """Require that no defect is found; oddities may be listed."""
    alarms = [str(defect) for defect in quietly_verified(folder) if not defect.is_warning]
    require(not alarms, f"false alarm: {alarms[:2]}")


VERIFIER = ListedTrial(
    "verifier",
    f"{len(DEFECTS)} kinds of defect in datasets, {REPEATS} of each; {CLEAN} clean ones made by code, and real ones",
    "every defect found and named with its case; no false alarm",
    (
        *(f"{name} #{seed}" for name in DEFECTS for seed in range(REPEATS)),
        *(f"clean: {seed}" for seed in range(CLEAN)),
        *(f"real: {name}" for name in REAL),
    ),
    attempt,
)
