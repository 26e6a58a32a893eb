"""Nobody waits in silence for processes that were never started."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]  # as of TCPStore

from MultiTaskSegLib.runtime.errors import ResourceError
from Testing.trainer.distributed.test_torchrun import environment, free_port
from trainer.distributed import joining
from trainer.distributed.life import Life

PLACE = {"MASTER_ADDR": "head", "MASTER_PORT": "29500"}
# One process alone, whose gradients torch averages nonetheless: what that loads must not keep the group.
LEAVES = """
from pathlib import Path
import torch
from trainer.distributed.joining import joined

def threads():
    return [name.read_text().strip() for name in Path("/proc/self/task").glob("*/comm")]

def train():
    module = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
    module(torch.ones(1, 2)).sum().backward()

with joined():
    train()
    during = threads()
print(sum("gloo" in name for name in during), [name for name in threads() if "gloo" in name or "store" in name])
"""


def nobody_comes(*_: object, **__: object) -> None:
    raise RuntimeError("nobody came")


@pytest.mark.parametrize(("rank", "world_size", "is_told"), [("0", "2", True), ("1", "2", False), ("0", "1", False)])
def test_the_first_process_says_for_how_many_it_waits_where_and_how_long(
    rank: str, world_size: str, is_told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(joining, "rendezvous", nobody_comes)
    environment = {"RANK": rank, "WORLD_SIZE": world_size, joining.PATIENCE: "5", **PLACE}
    with pytest.raises(ResourceError, match="did not meet"), joining.joined(environment):
        pass
    assert ("waiting for 2 processes at head:29500, 5 min at most" in capsys.readouterr().err) == is_told


def test_who_finds_the_store_of_another_run_at_its_port_does_not_find_the_processes_of_that_run() -> None:
    store, patience = HashStore(), timedelta(seconds=20)
    store.set_timeout(timedelta(seconds=1))
    first, second = ({"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": name} for name in ("job 1", "job 2"))
    life = Life(store, 0, first, patience)
    assert Life(store, 1, first, patience).name == life.name
    with pytest.raises(RuntimeError):
        Life(store, 1, second, patience)
    life.end()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")
def test_no_thread_of_the_group_outlives_it_and_meets_the_end_of_the_interpreter() -> None:
    variables = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", LEAVES],
        env=environment(**variables, MASTER_PORT=str(free_port())),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    during, after = done.stdout.split(maxsplit=1)
    assert int(during) > 0
    assert after.strip() == "[]"
