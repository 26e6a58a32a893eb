"""A folder with everything that the commands on the pages name: images, datasets and models of a few voxels."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from Testing.house.source_tree import REPOSITORY
from Testing.runtime.imported.imported_models import of_two_channels, results_folder
from Testing.runtime.nnunet.checkpoint_bytes import DATASET
from Testing.trainer.synthesis.head_folder import NUMBERS, head_array, write_heads
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli as trainer_cli

SMALL = """
channels = [4, 6]
patches_per_group = 2
groups_per_step = 1
patch_voxels = 1024
workers = 0
validations = 0
minimum_validation_groups = 2
threads = 1
"""
# Shortened in the copies of the configurations, whatever stands there.
SHORT = {
    "channels": "[4, 6]", "fit_matrix": "16", "patches_per_group": "1", "groups_per_step": "1", "threads": "1",
    "workers": "0", "validations": "1", "validation_cases": "2", "patch_voxels": "1024", "patch_zyx": "[8, 8, 8]",
    "minimum_validation_groups": "2", "seeds": "[0]", "pretrain_steps": "2", "finetune_steps": "2", "steps": "4",
    "labelled_groups": "[4]", "foreign_images": "3", "images_to_predict": "4", "precision": '"float32"',
    "pretraining_steps": "2", "student_steps": "2", "images_per_step": "2", "validation_groups": "2",
    "spacing_mm": "[8.0, 8.0, 8.0]",
}  # fmt: skip
VOLUME, SLICE = (6, 12, 12), (1, 16, 16)
# By name, what the names of the pages say of their images.
VOLUMES = {
    "Dataset101_HippocampusT1": ("T1", "head", (1, 2)),
    "Dataset104_BrainTissueT1": ("T1", "head", (1, 2, 3, 4)),
    "Dataset105_MouseBrainT2": ("T2", "head", (1, 2)),
    "Dataset106_LVCineSunnybrook": ("cine-MRI", "thorax", (1,)),
    "Dataset201_KidneyCT": ("CT", "abdomen", (1,)),
    "Dataset202_LiverCT": ("CT", "abdomen", (1,)),
}
WORDS = {"CT": "CT", "US": "ultrasound", "Xray": "X-ray", "FLAIR": "FLAIR", "T2": "T2", "T1": "T1"}


def write_made_data(folder: Path) -> Path:
    """Write all of it.

    Args:
        folder: an empty one.
    """
    (folder / "small.toml").write_text(SMALL, encoding="utf-8")
    # For two processes, each of which learns from a group of its own.
    (folder / "cycles.toml").write_text(f"snapshots = 2\n{SMALL}", encoding="utf-8")
    (folder / "large.toml").write_text(SMALL.replace("groups_per_step = 1", "groups_per_step = 2"), encoding="utf-8")
    _write_datasets(folder)
    _write_images(folder)
    _write_heads(folder)
    _write_nnunet(folder)
    _write_configurations(folder)
    for name in ("results", "models"):
        shutil.copytree(REPOSITORY / "docs" / name, folder / "docs" / name)
    shutil.copyfile(REPOSITORY / "docs" / "models.md", folder / "docs" / "models.md")
    _train(folder)
    return folder


def _write_datasets(folder: Path) -> None:
    for name, (modality, region, values) in VOLUMES.items():
        BallDataset(name, shape=VOLUME, patients=8, modality=modality, region=region, label_values=values).write(folder)
    kidney = folder / "Dataset201_KidneyCT"
    for part, case in (("imagesTs", "test_00_0000.nii.gz"), ("labelsTs", "test_00.nii.gz")):
        (kidney / part).mkdir()
        source = kidney / part.replace("Ts", "Tr") / case.replace("test", "case")
        shutil.copyfile(source, kidney / part / case)
    with (kidney / "cases.csv").open("a", encoding="utf-8") as stream:
        stream.write("test_00,patient_of_the_test\n")
    BallDataset("Foreign", shape=(8, 10, 14), patients=4, offset=900.0, contrast=-500.0, modality="T2").write(folder)


def _write_images(folder: Path) -> None:
    kidney = folder / "Dataset201_KidneyCT"
    shutil.copyfile(kidney / "imagesTr" / "case_00_0000.nii.gz", folder / "scan.nii.gz")
    shutil.copyfile(kidney / "labelsTr" / "case_00.nii.gz", folder / "labels.nii.gz")
    (folder / "scans").mkdir()
    for number in range(2):
        shutil.copyfile(kidney / "imagesTr" / f"case_0{number}_0000.nii.gz", folder / "scans" / f"scan{number}.nii.gz")
    (folder / "list.csv").write_text("image\nscans/scan0.nii.gz\nscans/scan1.nii.gz\n", encoding="utf-8")


def _write_heads(folder: Path) -> None:
    """Label maps, real heads without labels, and the list of those that a head model is measured on."""
    write_heads(folder, 4)
    (folder / "heads").rename(folder / "label_maps_head")
    (folder / "real_heads").mkdir()
    rows = ["file,modality,skull,labels,released_reference_may_use"]
    for number in range(6):
        labels = head_array(number)
        path = folder / "real_heads" / f"T1_person{number}.nii.gz"
        _save(np.asarray(NUMBERS)[labels] + np.random.default_rng(number).normal(0, 3, labels.shape), path)
        parts = folder / f"labels_of_head{number}.nii.gz"
        _save(np.where(np.isin(labels, (1, 2, 3, 4, 8)), 1, 0).astype(np.uint8), parts)
        rows.append(f"real_heads/{path.name},T1,yes,{parts.name},True")
    (folder / "heads.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _save(array: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(array.astype(np.float32 if array.dtype.kind == "f" else array.dtype))
    image.SetSpacing((4.0,) * 3)
    sitk.WriteImage(image, str(path))


def _write_nnunet(folder: Path) -> None:
    """Results of nnU-Net on two channels, its dataset, and an image of both channels."""
    results_folder(folder / "RESULTS", **of_two_channels())
    channels = of_two_channels()["dataset"]["channel_names"]
    name = "Dataset217_BrainTumour"
    spacing = (1.0, 1.0, 2.0)
    whole = BallDataset(name, spacing_xyz_mm=spacing, shape=(16, 16, 16), patients=6, label_values=(1, 2)).write(folder)
    for path in sorted((whole / "imagesTr").iterdir()):
        shutil.copyfile(path, path.with_name(path.name.replace("_0000", "_0001")))
    told = json.loads((whole / "dataset.json").read_text(encoding="utf-8"))
    told |= {"channel_names": channels, "labels": DATASET["labels"]}
    (whole / "dataset.json").write_text(json.dumps(told), encoding="utf-8")
    for number, channel in enumerate(channels.values()):
        shutil.copyfile(whole / "imagesTr" / f"case_00_000{number}.nii.gz", folder / f"{channel}.nii.gz")


def _write_configurations(folder: Path) -> None:
    """Every configuration that comes with the trainer, with small numbers, and in ``DATA`` what they name."""
    names: set[str] = set()
    for source in sorted((REPOSITORY / "trainer" / "configs").rglob("*.toml")):
        text = source.read_text(encoding="utf-8")
        target = folder / source.relative_to(REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        short = fewer(shortened(text, SHORT))
        target.write_text(short, encoding="utf-8")
        if source.stem == "planar":
            names |= set(re.findall(r'"(Dataset\w+(?:::\w+)?)"', short))
    # What the usage of two-stage takes.
    for name in sorted(names | {"Dataset112_ChestXrayLungCHN", "Dataset113_FetalHeadUS"}):
        _write_named(folder / "DATA", *name.partition("::")[::2])
    pictures = folder / "DATA" / "out_of_distribution"
    pictures.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 255, (16, 16)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(noise), str(pictures / f"noise_{number}.png"))


def _write_named(parent: Path, name: str, view: str) -> None:
    """A dataset of slices, or of volumes of which slices are made, each with patients of its own."""
    if (parent / name).exists():
        return
    modality = next((value for word, value in WORDS.items() if word in name), "T1")
    shape = (4, 16, 16) if view == "axial" else SLICE
    data = BallDataset(name, shape=shape, patients=12, modality=modality, region="").write(parent)
    table = data / "cases.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("patient_", f"{name}_"), encoding="utf-8")
    if view == "classes":
        _name_by_class(data)


def _name_by_class(data: Path) -> None:
    """Half of the cases are named ``benign``, the others ``malignant``: the first word is the class."""
    for path in sorted(data.rglob("case_*")):
        number = int(path.name[5:7])
        path.rename(path.with_name(path.name.replace("case", ("benign", "malignant")[number % 2])))
    table = data / "cases.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    named = [row.replace("case_", ("benign_", "malignant_")[number % 2]) for number, row in enumerate(rows[1:])]
    table.write_text("\n".join([rows[0], *named]) + "\n", encoding="utf-8")


def shortened(text: str, numbers: Mapping[str, str]) -> str:
    """The same settings with other numbers.

    >>> shortened('seed = 0\\nsteps = 240  # long', {"steps": "4"})
    'seed = 0\\nsteps = 4'
    """
    for key, value in numbers.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    return text


def fewer(text: str) -> str:
    """The same experiment with two sources and targets, on three datasets and with the two arms that it compares.

    >>> fewer("".join(f"[[transfer.sources]]\\nname = {n}\\n" for n in range(3))).count("[[")
    2
    >>> arms = (f'[[multi_task.arms]]\\nname = "{name}"\\n' for name in ("dedicated", "joint", "joint-shared"))
    >>> fewer("".join(arms)).count("[[")
    2
    """
    text = re.sub(r"(?<=^data = \[\n)((?:  .*\n){3})(?:  .*\n)*", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"^lesions = \[.*\n", "", text, flags=re.MULTILINE)
    kept: list[str] = []
    for block in re.split(r"(?=^\[\[)", text, flags=re.MULTILINE):
        kind = block.partition("\n")[0]
        if kind == "[[multi_task.arms]]" and not re.search(r'^name = "(dedicated|joint)"$', block, flags=re.MULTILINE):
            continue
        if not kind.startswith("[[transfer") or sum(one.startswith(kind) for one in kept) < 2:
            kept.append(block)
    return "".join(kept)


def _train(folder: Path) -> None:
    """``model.mts.safetensors``, which a page calls MODEL."""
    data = [str(folder / name) for name in ("Dataset201_KidneyCT", "Dataset202_LiverCT")]
    words = ["train", "--data", *data, "-o", str(folder / "model.mts.safetensors"), "--steps", "4"]
    with redirect_stdout(io.StringIO()) as said:
        status = trainer_cli.main([*words, "--config", str(folder / "small.toml")])
    if status:
        raise RuntimeError(f"the small model was not made: {said.getvalue()}")
    shutil.rmtree(folder / "model.run", ignore_errors=True)
