"""Work without an end, to be killed: ``python -m Testing.hostile.campaign.victim KIND FOLDER``.

Says ``begun`` on standard output when it is under way. `MATERIAL` makes what it works on; `JUDGES` say what must hold
afterwards. FOLDER holds ``kept`` (never changed) and ``work``.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.hostile.campaign.trial import Ground, require

RESULTS = ("segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz", "report.json")
IMAGES = 4


def train(kept: Path, work: Path) -> None:
    """A training that saves after every step."""
    from Testing.hostile.campaign.training_run import CONFIG, CPU, prepared
    from trainer.report.run_folder import RunFolder
    from trainer.training import training
    from trainer.training.training import Budget

    data = prepared(Ground(work, kept))
    training.CHECKPOINT_INTERVAL_S = -1.0
    folder, stream = RunFolder(work / "model.mts.safetensors"), io.StringIO()
    training.train(
        data, CONFIG, Budget(steps=10**6), folder, resume=False, device=CPU, stream=stream,
        # After the second step the checkpoint of the first is there.
        watch=lambda optimization, _: say_begun() if optimization.step == 2 else None,
    )  # fmt: skip


def save(_: Path, work: Path) -> None:
    """Model files that replace each other."""
    from Testing.runtime.tiny_model import write_tiny_model

    for number in count():
        write_tiny_model(work / "tiny.mts.safetensors", with_cells=number % 2 == 0)
        say_begun()


def import_models(kept: Path, work: Path) -> None:
    """Imports of one nnU-Net model that replace each other."""
    from MultiTaskSegLib.runtime.imported.importing import Choice, import_model

    while True:
        import_model(kept / "results", work / "imported.mts.safetensors", Choice(), "CC0")
        say_begun()


def batch(kept: Path, work: Path) -> None:
    """A batch of image files through Slicer's worker, again and again into the same folders."""
    from MultiTaskSegLib.job import JobRunner

    runner = JobRunner()
    for number in count():
        image = kept / f"image{number % IMAGES}.nii.gz"
        runner.segment_file(image, work / image.name, model=kept / "tiny.mts.safetensors", device="cpu").wait(120)
        say_begun()


_is_begun = False


def say_begun() -> None:
    """Tell the parent, once."""
    global _is_begun
    if not _is_begun:
        _is_begun = True
        sys.stdout.write("begun\n")
        sys.stdout.flush()


def material(kind: str, kept: Path) -> None:
    """What a kind of work needs, made once."""
    from Testing.hostile.campaign.training_run import BALL
    from Testing.runtime.imported.imported_models import results_folder
    from Testing.runtime.tiny_model import write_tiny_model

    ground = Ground(kept, kept)
    if kind == "training":
        ground.once("data", BALL.write)
    elif kind == "importing":
        ground.once("results", results_folder)
    elif kind == "batch":
        ground.once("tiny.mts.safetensors", write_tiny_model)
        for number in range(IMAGES):
            voxels = np.random.default_rng(number).normal(200, 40, (10, 12, 14)).astype(np.float32)
            image = sitk.GetImageFromArray(voxels)
            ground.once(f"image{number}.nii.gz", lambda path, image=image: sitk.WriteImage(image, str(path)))


def judge_training(kept: Path, work: Path) -> None:
    """The checkpoint is whole, and the run goes on from it."""
    import torch

    from Testing.hostile.campaign.training_run import CONFIG, CPU, prepared
    from trainer.report.run_folder import RunFolder
    from trainer.training.training import Budget, train

    folder, data = RunFolder(work / "model.mts.safetensors"), prepared(Ground(work, kept))
    require(folder.checkpoint.exists(), "no checkpoint, although one is saved after every step")
    step = torch.load(folder.checkpoint, weights_only=True)["step"]
    require(step > 0, "the checkpoint is of no step")
    budget, stream = Budget(steps=step + 1), io.StringIO()
    gone_on = train(data, CONFIG, budget, folder, resume=True, device=CPU, stream=stream)
    require(gone_on.step == step + 1, f"went on to step {gone_on.step} from {step}")


def judge_saving(_: Path, work: Path) -> None:
    """The model file is one of the two, whole."""
    from MultiTaskSegLib.runtime.model.model_file import load_model

    load_model(work / "tiny.mts.safetensors")


def judge_importing(_: Path, work: Path) -> None:
    """The model file is whole."""
    from MultiTaskSegLib.runtime.imported.imported_file import load_imported

    load_imported(work / "imported.mts.safetensors")


def judge_batch(_: Path, work: Path) -> None:
    """Each image has all of its results, all readable, or none; the first was done before the kill."""
    require((work / "image0.nii.gz" / RESULTS[-1]).exists(), "the first result is gone")
    for folder in work.iterdir():
        found = [name for name in RESULTS if (folder / name).exists()]
        require(not found or len(found) == len(RESULTS), f"only {found}")
        if found:
            json.loads((folder / RESULTS[-1]).read_text(encoding="utf-8"))
        for name in found[:-1]:
            require(sitk.GetArrayFromImage(sitk.ReadImage(str(folder / name))).size == 10 * 12 * 14, f"{name} is cut")


KINDS: dict[str, tuple[Callable[[Path, Path], None], Callable[[Path, Path], None]]] = {
    "training": (train, judge_training),
    "saving": (save, judge_saving),
    "importing": (import_models, judge_importing),
    "batch": (batch, judge_batch),
}


if __name__ == "__main__":
    KINDS[sys.argv[1]][0](Path(sys.argv[2]) / "kept", Path(sys.argv[2]) / "work")
