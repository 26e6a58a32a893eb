"""A training of two processes under torchrun, on this machine; its processes and what it leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.bench.distributed import slow_training
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.report.run_folder import RunFolder

PROGRAM = str(Path(slow_training.__file__))
STEPS = 60
BALLS = BallDataset("Dataset201_KidneyCT", shape=(2, 8, 8), patients=5)
CONFIG = """
channels = [3, 4]
patches_per_group = 1
groups_per_step = 2
patch_voxels = 256
workers = 1
validations = 2
minimum_validation_groups = 2
threads = 1
measuring_share = 0.0
precision = "float32"
"""


@dataclass(frozen=True)
class Training:
    """One run, however often it is begun.

    Attributes:
        folder: with the dataset, the configuration and what the run writes.
        name: of the model and of the rendezvous: the same name is the same run.
        restarts: by torchrun itself; what is done after them is done by giving the command again.
    """

    folder: Path
    name: str
    restarts: int = 50

    @property
    def output(self) -> Path:
        """The model file."""
        return self.folder / f"{self.name}.mts.safetensors"

    @property
    def log(self) -> Path:
        """What all its processes have said."""
        return self.folder / f"{self.name}.log"

    def begin(self) -> subprocess.Popen[bytes]:
        """Start torchrun with the whole command; a run that was begun before goes on."""
        if not (self.folder / BALLS.name).exists():
            BALLS.write(self.folder)
        (self.folder / "large.toml").write_text(CONFIG, encoding="utf-8", newline="\n")
        meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{_free_port()}", "--rdzv-id", self.name]
        places = ["--nnodes", "1", "--nproc-per-node", "2", "--local-addr", "127.0.0.1"]
        train = ["train", "--data", BALLS.name, "--config", "large.toml", "-o", self.output.name, "--steps", str(STEPS)]
        torchrun = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--max-restarts",
            str(self.restarts),
            *places,
            *meeting,
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*torchrun, PROGRAM, *train],
                cwd=self.folder,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=log,
            )

    def steps_kept(self) -> int:
        """Of the checkpoint, which must be readable; 0 where there is none yet."""
        path = RunFolder(self.output).checkpoint
        return int(torch.load(path, weights_only=True)["step"]) if path.exists() else 0

    def outcome(self) -> dict[str, Any]:
        """What must not depend on what happened on the way: tensors, plain values, and the validations in the log."""
        run = RunFolder(self.output)
        state: dict[str, Any] = torch.load(run.checkpoint, weights_only=True)
        del state["elapsed_s"]
        # Records between validations are of the steps since the last life began.
        records = [{key: record[key] for key in ("step", "dice")} for record in run.records() if "dice" in record]
        return {"state": state, "model": load_model(self.output).network.state_dict(), "log": records}


def ranks_of(agent: int) -> dict[int, int]:
    """By number, the processes that torchrun has started and that live."""
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if entry.name.isdigit() and fields[0] != "Z" and int(fields[1]) == agent:
                words = dict(w.split("=", 1) for w in (entry / "environ").read_text().split("\0") if "=" in w)
                if "RANK" in words:  # one that was forked a moment ago is still as torchrun
                    found[int(words["RANK"])] = int(entry.name)
    return found


def is_alive(process: int) -> bool:
    """Whether it is there and not only waited for."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def equal(ours: Any, theirs: Any) -> bool:
    """To the bit."""
    if isinstance(ours, torch.Tensor):
        return isinstance(theirs, torch.Tensor) and ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    return bool(ours == theirs)


def _free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])
