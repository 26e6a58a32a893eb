"""Not nnU-Net: a stand-in for the parts of nnunetv2 that are called, which thresholds images.

`install` puts it where a Python finds it as nnunetv2. It keeps to the folders and file names of the real one, so that a
request that it can do is one that nnU-Net can read. What it sees it writes down in ``seen.json`` beside its results.
"""

import json
import os
import shutil
import sys
import time
import types
from pathlib import Path

VERSION = "0.0.stand.in"
HANGS = "hangs"
ENVIRONMENT = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def install(folder: Path) -> Path:
    """Make an importable nnunetv2 of this very file; the folder to put on the path of a Python."""
    (folder / "nnunetv2").mkdir(parents=True)
    shutil.copy(__file__, folder / "nnunetv2" / "__init__.py")
    about = folder / f"nnunetv2-{VERSION}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: nnunetv2\nVersion: {VERSION}\n", encoding="utf-8")
    return folder


def _register() -> None:
    """As nnunetv2: one module for each that is imported."""
    import numpy as np
    import SimpleITK as sitk
    import torch

    raw, preprocessed, results = (Path(os.environ[name]) for name in ENVIRONMENT)

    def module(name: str, **content: object) -> None:
        sys.modules[f"{__name__}.{name}"] = own = types.ModuleType(f"{__name__}.{name}")
        own.__dict__.update(content)

    def folder_of(number: int) -> Path:
        return next(raw.glob(f"Dataset{number:03d}_*"))

    class Plan:
        @staticmethod
        def extract_fingerprint_dataset(number: int, **how: object) -> None:
            if os.environ.get("STAND_IN") == "hang":
                (preprocessed / HANGS).touch()
                time.sleep(3600)
            (preprocessed / folder_of(number).name).mkdir(parents=True)

        @staticmethod
        def plan_experiment_dataset(number: int, gpu_memory_target_in_gb: float | None) -> None:
            assert int(os.environ["nnUNet_n_proc_DA"]) > 0  # noqa: SIM112  # refused by the real one, too
            source = folder_of(number)
            own = preprocessed / source.name
            (own / "nnUNetPlans.json").write_text(json.dumps({"dataset": source.name}), encoding="utf-8")
            shutil.copy(source / "dataset.json", own / "dataset.json")

        @staticmethod
        def preprocess_dataset(number: int, plans: str, configurations: tuple[str, ...], *rest: object, **how: object):
            if os.environ.get("STAND_IN") == "crash":
                sys.stdout.write("a long story\n" * 9)
                raise ValueError("the stand-in was told to crash")

    class Files:
        @staticmethod
        def read_images(paths: list[str]):
            image = sitk.ReadImage(paths[0])
            voxels = sitk.GetArrayFromImage(image)
            return (voxels if voxels.ndim == 3 else voxels[None])[None], {"spacing": image.GetSpacing()}

    class Manager:
        image_reader_writer_class = Files
        patch_size, batch_size = (8, 8), 2

    class Trainer:
        def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: object) -> None:
            self.plans, self.configuration, self.dataset_json = plans, configuration, dataset_json
            self.num_epochs, self.shares = 1000, []
            self.network, self.lr_scheduler = torch.nn.Conv2d(1, 2, 1), types.SimpleNamespace(step=self.shares.append)
            self.plans_manager = self.configuration_manager = Manager()
            self.inference_allowed_mirroring_axes = (0, 1)

        @property
        def dataloader_train(self):
            return iter([None])

        def on_train_start(self) -> None:
            self.source = raw / self.plans["dataset"]
            split = json.loads((preprocessed / self.plans["dataset"] / "splits_final.json").read_text("utf-8"))
            self.split = split[0]

        def on_epoch_start(self) -> None: ...

        def on_train_epoch_start(self) -> None: ...

        def train_step(self, batch: object) -> None:
            sum(range(100_000))

        def on_train_end(self) -> None:
            shapes = [sitk.ReadImage(str(path)).GetSize() for path in sorted((self.source / "imagesTr").iterdir())]
            labels = [
                sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (self.source / "labelsTr").iterdir()
            ]
            seen = {
                "configuration": self.configuration, "description": self.dataset_json, "split": self.split,
                "shapes": shapes, "labels": sorted({int(n) for one in labels for n in np.unique(one)}),
                "epochs": self.shares, "augmentation": os.environ["nnUNet_n_proc_DA"],  # noqa: SIM112
            }  # fmt: skip
            (results / "seen.json").write_text(json.dumps(seen), encoding="utf-8")

        def set_deep_supervision_enabled(self, wanted: bool) -> None: ...

    class Predictor:
        def __init__(self, **how: object) -> None: ...

        def manual_initialization(self, network, plans, configuration, weights, dataset_json, name, axes) -> None:
            self.labels = len(dataset_json["labels"])

        def predict_single_npy_array(self, voxels, properties, previous, output, with_probabilities):
            """Bright voxels are the first label, with probability 0.9."""
            is_bright = voxels[0] > 200
            shares = np.zeros((self.labels, *is_bright.shape), dtype=np.float32)
            shares[0], shares[1] = np.where(is_bright, 0.1, 0.9), np.where(is_bright, 0.9, 0.1)
            return shares.argmax(axis=0), shares

    for package in ("training", "training.nnUNetTrainer", "inference"):
        module(package)
    module("paths", nnUNet_preprocessed=str(preprocessed))
    module("experiment_planning", plan_and_preprocess_api=Plan)
    module("training.nnUNetTrainer.nnUNetTrainer", nnUNetTrainer=Trainer)
    module("inference.predict_from_raw_data", nnUNetPredictor=Predictor)


if __name__ == "nnunetv2":
    _register()
