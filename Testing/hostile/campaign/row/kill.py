"""Work that is killed without warning at random moments: what it leaves is whole, and can be gone on with."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from Testing.hostile.campaign.trial import Ground, ListedTrial, NotHere, require
from Testing.hostile.campaign.victim import KINDS, material

EACH_KIND, LATEST_S, START_S = 50, 1.5, 180.0
REPOSITORY = Path(__file__).resolve().parents[4]


def attempt(case: str, ground: Ground) -> None:
    """``KIND #SEED``: the seed says how long after its beginning the work is killed."""
    if not hasattr(signal, "SIGKILL"):
        raise NotHere("this system has no SIGKILL")
    kind, _, seed = case.partition(" #")
    kept = ground.kept / kind
    kept.mkdir(exist_ok=True)
    material(kind, kept)
    work = ground.folder / "work"
    work.mkdir()
    (ground.folder / "kept").symlink_to(kept)
    killed(kind, ground.folder, random.Random(int(seed)).uniform(0.0, LATEST_S))
    KINDS[kind][1](kept, work)


def killed(kind: str, folder: Path, after_s: float) -> None:
    """Start the work, let it begin, and kill it so many seconds later."""
    command = [sys.executable, "-m", "Testing.hostile.campaign.victim", kind, str(folder)]
    # A session of its own, so that a worker that it started can be waited for.
    process = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    assert process.stdout is not None
    try:
        require(process.stdout.readline() == "begun\n", "the work did not begin")
        time.sleep(after_s)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    deadline = time.monotonic() + START_S
    while group_lives(process.pid):
        require(time.monotonic() < deadline, "a worker outlived its parent")
        time.sleep(0.05)


def group_lives(leader: int) -> bool:
    """Whether any process of a session's first group is left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return any(_is_running(entry, leader) for entry in Path("/proc").glob("[0-9]*"))


def _is_running(entry: Path, leader: int) -> bool:
    try:
        state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return state != "Z" and int(group) == leader


KILL = ListedTrial(
    "kill",
    f"kill -9 at random moments: training, saving, importing, batches, {EACH_KIND} of each",
    "every checkpoint, model file and result is whole, and the training goes on",
    tuple(f"{kind} #{seed}" for seed in range(EACH_KIND) for kind in KINDS),
    attempt,
)
