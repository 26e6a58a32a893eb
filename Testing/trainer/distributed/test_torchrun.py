"""torchrun itself: two agents, one of whose processes is killed; the run goes on and gives the model of one process."""

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

from MultiTaskSegLib.runtime.errors import MtsError
from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.trainer.distributed import killed_training
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.config import read_config
from trainer.training.train_model import train_model
from trainer.training.training import Budget

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends a signal")
REPOSITORY = Path(__file__).resolve().parents[3]
STEPS = 6
TOO_LONG_S = 300.0
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
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two datasets and a configuration."""
    place = tmp_path_factory.mktemp("place")
    BallDataset("A", shape=(2, 8, 8), patients=5).write(place)
    BallDataset("B", shape=(2, 8, 8), patients=5, region="chest").write(place)
    (place / "c.toml").write_text(CONFIG)
    return place


def begun(place: Path, model: str, *options: str, **variables: str) -> subprocess.Popen[str]:
    """``torchrun`` with the trainer."""
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "MultiTaskSeg")))
    words = [sys.executable, "-m", "torch.distributed.run", *options, str(Path(killed_training.__file__)), "train"]
    words += ["--data", "A", "B", "--config", "c.toml", "--steps", str(STEPS), "-o", model]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "KILL_AT": "9:9", **variables}
    return subprocess.Popen(
        words, cwd=place, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def outcome(agent: subprocess.Popen[str]) -> tuple[str, str]:
    """What it said on standard output and error; it is asked to end where it hangs."""
    try:
        return agent.communicate(timeout=TOO_LONG_S)
    except subprocess.TimeoutExpired:
        agent.terminate()
        return agent.communicate()


def free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])


def test_two_agents_restart_a_killed_process_from_the_last_checkpoint_and_end_with_the_model_of_one_process(
    place: Path,
) -> None:
    meeting = ("--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "1", "--rdzv-id", "a", "--rdzv-backend")
    where = ("c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--local-addr", "127.0.0.1")
    agents = [begun(place, "two.mts.safetensors", *meeting, *where, KILL_AT="1:3") for _ in range(2)]
    said = [outcome(agent) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], said
    told = [out for out, _ in said]
    assert sorted(bool(out) for out in told) == [False, True], "one process alone has something to say"
    assert sum("model: two.mts.safetensors" in out for out in told) == 1
    assert any("restarted and goes on from its last checkpoint" in error for _, error in said)

    one = place / "one.mts.safetensors"
    folders = [place / "A", place / "B"]
    train_model(folders, one, read_config(place / "c.toml"), Budget(steps=STEPS), stream=io.StringIO())
    alone, together = load_model(one), load_model(place / "two.mts.safetensors")
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
    model = place / "two.mts.safetensors"
    train_model(
        folders, model, read_config(place / "c.toml"), Budget(steps=STEPS + 1), resume=True, stream=io.StringIO()
    )
    lines = [json.loads(line) for line in (place / "two.run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines][-2:] == [STEPS, STEPS + 1]


def test_a_reason_of_one_process_ends_torchrun_with_that_reason(place: Path) -> None:
    (place / "c.toml").write_text(CONFIG.replace("groups_per_step = 3", "groups_per_step = 1"))
    try:
        agent = begun(place, "three.mts.safetensors", "--standalone", "--nproc-per-node", "2")
        _, error = outcome(agent)
    finally:
        (place / "c.toml").write_text(CONFIG)
    assert agent.returncode == 1
    assert "groups_per_step is 1, fewer than the 2 processes. Set it to a multiple of 2" in error
    assert "Traceback" not in error.partition("torch.distributed.elastic")[0]
    assert MtsError.exit_code == 4
    assert "exitcode  : 4" in error
