"""torchrun itself: of the agents of two machines one process is killed; the run gives the model of one process."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.distributed import killed_training
from Testing.trainer.distributed.clusters_page import REPOSITORY, SCRIPT
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import read_config
from trainer.training.train_model import train_model
from trainer.training.training import Budget

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends a signal")
PROGRAM = str(Path(killed_training.__file__))
NAMES = ("Dataset201_KidneyCT", "Dataset202_LiverCT")
STEPS = 6
TOO_LONG_S = 300.0
# As srun does with one task for each of two machines; it fails when one of them does.
SRUN = """#!/bin/sh
run() {{ shift; "{python}" -m torch.distributed.run --local-addr 127.0.0.1 "$@"; }}
run "$@" & first=$!
run "$@" & second=$!
wait $first && wait $second
"""
CONFIG = """
channels = [3, 4]
patches_per_group = 1
groups_per_step = 3
patch_voxels = 256
workers = 0
validations = 0
minimum_validation_groups = 2
threads = 1
measuring_share = 0.0
precision = "float32"
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets and a configuration."""
    place = tmp_path_factory.mktemp("place")
    BallDataset(NAMES[0], shape=(2, 8, 8), patients=5).write(place)
    BallDataset(NAMES[1], shape=(2, 8, 8), patients=5, region="chest").write(place)
    (place / "large.toml").write_text(CONFIG)
    return place


def environment(**variables: str) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "MultiTaskSeg")))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "KILL_AT": "9:9", **variables}


def run_of_the_script(place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The page's, with few steps, a port of its own, and stand-ins that start its two machines' agents here."""
    tools = place / "tools"
    tools.mkdir()
    _write_tool(tools / "srun", SRUN.format(python=sys.executable))
    _write_tool(tools / "scontrol", "#!/bin/sh\nprintf '127.0.0.1\\nelsewhere\\n'\n")
    changes = (("--minutes 600", f"--steps {STEPS}"), (":29500", f":{free_port()}"), ("-m trainer", PROGRAM))
    text = SCRIPT
    for then, now in changes:
        assert then in text
        text = text.replace(then, now)
    (place / "train.sbatch").write_text(text)
    told = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}
    told |= {"SLURM_GPUS_ON_NODE": "1", "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    return run(["sh", "train.sbatch"], place, **told, **variables)


def run(words: list[str], place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=place, env=environment(**variables), text=True, capture_output=True, timeout=TOO_LONG_S, check=False
    )


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def _write_tool(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_the_slurm_script_restarts_a_killed_process_from_the_last_checkpoint_and_ends_with_the_model_of_one_process(
    place: Path,
) -> None:
    done = run_of_the_script(place, KILL_AT="1:3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model: mine.mts.safetensors") == 1, "one process alone has something to say"
    assert "restarted and goes on from its last checkpoint" in done.stderr
    assert (place / "mine.run" / "run_id.txt").read_text() == "7\n"

    one = place / "one.mts.safetensors"
    folders = [place / name for name in NAMES]
    train_model(folders, one, read_config(place / "large.toml"), Budget(steps=STEPS), stream=io.StringIO())
    alone, together = load_model(one), load_model(place / "mine.mts.safetensors")
    pairs = zip(alone.network.state_dict().values(), together.network.state_dict().values(), strict=True)
    # The weights are stored in 16 bits, whose last one may differ.
    assert all(torch.allclose(a, b, rtol=2e-3, atol=1e-4) for a, b in pairs)
    assert together.manifest.training["steps"] == STEPS
    for ours, theirs in zip(together.manifest.tasks, alone.manifest.tasks, strict=True):
        assert ours.held_out_dice == pytest.approx(theirs.held_out_dice, abs=0.02)
        assert ours.temperature == pytest.approx(theirs.temperature, rel=0.02)
    _goes_on_alone(place, folders)


def _goes_on_alone(place: Path, folders: list[Path]) -> None:
    """With another number of processes: the checkpoint of two is taken up by one."""
    model = place / "mine.mts.safetensors"
    train_model(
        folders, model, read_config(place / "large.toml"), Budget(steps=STEPS + 1), resume=True, stream=io.StringIO()
    )
    lines = [json.loads(line) for line in (place / "mine.run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines][-2:] == [STEPS, STEPS + 1]


def test_a_reason_of_one_process_ends_torchrun_with_that_reason(place: Path) -> None:
    (place / "large.toml").write_text(CONFIG.replace("groups_per_step = 3", "groups_per_step = 1"))
    options = ["--data", *NAMES, "--config", "large.toml", "--steps", "1", "-o", "three.mts.safetensors"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = run([*torchrun, PROGRAM, "train", *options], place)
    assert done.returncode == 1
    assert "groups_per_step is 1, fewer than the 2 processes. Set it to a multiple of 2" in done.stderr
    assert done.stderr.count("Traceback") == done.stderr.count("ChildFailedError:") == 1, "that of torchrun alone"
    assert f"exitcode  : {UsageError.exit_code}" in done.stderr
