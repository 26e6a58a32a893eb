"""Commands that may open no connection, watched by the interpreter's own audit."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from MultiTaskSegLib.runtime import cli
from Testing.hostile.campaign.trial import Ground, ListedTrial, require
from Testing.runtime.imported.imported_models import results_folder
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.test_no_connection import CONFIG, listening
from trainer import cli as trainer_cli

DATASET = BallDataset("Dataset001_BallT1", shape=(6, 12, 12))


def commands(folder: Path) -> dict[str, tuple[object, list[str]]]:
    """By name, the program and its words, on a dataset and a model in a folder."""
    data, model, out = str(folder / DATASET.name), str(folder / "tiny.mts.safetensors"), str(folder / "out")
    image, made = str(folder / DATASET.name / "imagesTr" / "case_00_0000.nii.gz"), str(folder / "new.mts.safetensors")
    train = ["train", "--data", data, "-o", made, "--config", str(folder / "config.toml"), "--steps", "2"]
    results = str(folder / "results" / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    return {
        "segment": (cli, ["segment", image, "-m", model, "-o", out]),
        "check": (cli, ["check", image, "-m", model]),
        "check with a map": (cli, ["check", image, "-m", model, "--map", out]),
        "info": (cli, ["info", model]),
        "models": (cli, ["models"]),
        "verify": (trainer_cli, ["verify", data]),
        "train": (trainer_cli, train),
        "evaluate": (trainer_cli, ["evaluate", "-m", made, "--data", data, "-o", out]),
        "import": (trainer_cli, ["import-nnunet", results, "-o", made, "--licence", "CC0"]),
    }


def attempt(case: str, ground: Ground) -> None:
    """The name of a command: it ends well and the network is not asked for anything."""
    DATASET.write(ground.folder)
    write_tiny_model(ground.folder / "tiny.mts.safetensors", with_cells=True)
    results_folder(ground.folder / "results")
    (ground.folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    every = commands(ground.folder)
    # Only a model that knows on whom it was trained can be measured.
    names = ("train", case) if case == "evaluate" else (case,)
    said = StringIO()
    with listening() as heard, redirect_stdout(said), redirect_stderr(said):
        codes = [program.main(words) for program, words in map(every.__getitem__, names)]  # type: ignore[attr-defined]
    require(heard == [], f"the network was asked: {heard}")
    require(not any(codes), f"exit codes {codes}: {said.getvalue()[-200:]}")


SOCKETS = ListedTrial(
    "sockets",
    "segmenting, checking, training, measuring, importing while the interpreter's audit listens",
    "no address is asked for, no connection is opened",
    tuple(commands(Path("."))),
    attempt,
)
