"""Commands that may open no connection, watched by the interpreter's own audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from MultiTaskSegLib.runtime import cli
from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.runtime.imported.imported_models import results_folder
from Testing.runtime.tiny_model import write_tiny_model
from Testing.trainer.synthetic_dataset import BallDataset
from Testing.trainer.test_no_connection import CONFIG, listening
from trainer import cli as trainer_cli

DATASET = BallDataset("Dataset001_BallT1", shape=(6, 12, 12))
COMPILED = "segment, by OpenVINO"
# The telemetry of OpenVINO would send from a process of its own.
LISTENING = """
import json, sys

heard = []
EVENTS = ("os.fork", "os.posix_spawn", "subprocess.Popen", "socket.connect", "socket.getaddrinfo", "socket.sendto")
sys.addaudithook(lambda event, words: heard.append(event) if event in EVENTS else None)
from MultiTaskSegLib.runtime import cli

code = cli.main(sys.argv[1:])
print(json.dumps([code, heard]))
"""
REPOSITORY = Path(__file__).resolve().parents[4]


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
    if case == COMPILED:
        compiled(ground.folder)
        return
    every = commands(ground.folder)
    # Only a model that knows on whom it was trained can be measured.
    names = ("train", case) if case == "evaluate" else (case,)
    said = StringIO()
    with listening() as heard, redirect_stdout(said), redirect_stderr(said):
        codes = [program.main(words) for program, words in map(every.__getitem__, names)]  # type: ignore[attr-defined]
    require(heard == [], f"the network was asked: {heard}")
    require(not any(codes), f"exit codes {codes}: {said.getvalue()[-200:]}")


def compiled(folder: Path) -> None:
    """Require that a new process of a user, who is no automaton, sends nothing, starts nothing and numbers nobody."""
    if find_spec("openvino") is None:
        raise NotHere("OpenVINO is not installed")
    home = folder / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home), "MULTITASKSEG_BACKEND": "openvino"}
    environment.pop("XDG_CACHE_HOME", None)
    _, words = commands(folder)["segment"]
    done = subprocess.run(
        [sys.executable, "-c", LISTENING, *words, "--device", "cpu"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    require(done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-200:]}")
    code, heard = json.loads(done.stdout.splitlines()[-1])
    require(code == 0, f"exit code {code}: {done.stderr[-200:]}")
    require(heard == [], f"started something or asked the network: {heard}")
    traces = [path for path in home.rglob("*") if path.is_file() and "multitaskseg" not in path.parts]
    require(traces == [], f"left in the home folder: {traces}")


SOCKETS = ListedTrial(
    "sockets",
    "segmenting, checking, training, measuring, importing while the interpreter's audit listens",
    "no address is asked for, no connection is opened",
    (*commands(Path(".")), COMPILED),
    attempt,
)
