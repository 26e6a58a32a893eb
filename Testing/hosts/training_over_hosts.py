"""One training over two hosts: ``python -m Testing.hosts.training_over_hosts --json FILE --folder DIR``. Linux, root.

With the options of docs/clusters.md, a process on each host and gloo over the cable between them, against two processes
on one host; and with a host that is lost in the middle and comes back. Goes on where it was interrupted: what is in
FILE is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import torch

from MultiTaskSegLib.runtime.model.model_file import load_model
from Testing.hosts.two_hosts import NAMES, TwoHosts, missing
from Testing.trainer.distributed import killed_training
from Testing.trainer.synthetic_dataset import BallDataset
from trainer.report.origin import origin

DATASETS = ("Dataset201_KidneyCT", "Dataset202_LiverCT")
CONFIG = """
channels = [3, 4]
patches_per_group = 1
groups_per_step = 4
patch_voxels = 256
workers = 0
validations = 0
minimum_validation_groups = 2
threads = 1
measuring_share = 0.0
precision = "float32"
"""
STEPS = 100  # of which the log tells every twentieth; a host is lost when it has told the first
LIMIT_S = 400.0
STARTS = 7  # of a torchrun that fails; as often as the Kubernetes job of docs/clusters.md starts it
NOBODY = "9:9"  # who is killed from within
WAYS: dict[str, int | None] = {"two_hosts": None, "second_host_lost": 1, "first_host_lost": 0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is not done yet; the exit code: 1 where a model is another one than that of one host."""
    options = _parser().parse_args(arguments)
    if reason := missing():
        sys.stderr.write(f"skipped: {reason}\n")
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
    found |= origin("python -m Testing.hosts.training_over_hosts", arguments, 1)
    if not (options.folder / "one_host.mts.safetensors").exists():
        found = {key: value for key, value in found.items() if key not in ("one_host", *WAYS)}
    if "one_host" not in found:
        found["one_host"] = on_one_host(options.folder)
        _keep(found, options.json)
    for way, lost in WAYS.items():
        if way not in found:
            found[way] = over_hosts(options.folder, way, lost)
            sys.stderr.write(f"{way}: {found[way]}\n")
            _keep(found, options.json)
    return int(any(found[way]["difference"] != 0 for way in WAYS))


def on_one_host(folder: Path) -> dict[str, Any]:
    """Two processes without a cable between them; ``wall_s``, ``exit``."""
    write_place(folder)
    began_s = time.monotonic()
    with (folder / "one_host.log").open("wb") as told:
        words = [*_torchrun("--standalone", "--nproc-per-node", "2"), *_request("one_host")]
        process = subprocess.Popen(words, cwd=folder, env=_environment(), stdout=told, stderr=told)
        status = process.wait(LIMIT_S)
    return {"exit": status, "wall_s": round(time.monotonic() - began_s, 1)}


def over_hosts(folder: Path, way: str, lost: int | None) -> dict[str, Any]:
    """A process on each host; where one is lost, all its processes are killed; a torchrun that fails starts again.

    Returns:
        ``starts`` of torchrun by host, ``wall_s``, ``difference``: largest between weights of this model and that of
        `on_one_host`; ``steps`` that the log tells; ``goes_on``: how often it was said.
    """
    shutil.rmtree(folder / f"{way}.run", ignore_errors=True)
    (folder / f"{way}.mts.safetensors").unlink(missing_ok=True)
    began_s = time.monotonic()
    found: dict[str, Any] = {}
    with TwoHosts() as hosts, (folder / f"{way}.log").open("wb") as told:
        runs = [_begin(hosts, host, folder, way, told) for host in (0, 1)]
        if lost is not None:
            _until_step(folder, way, runs)
            hosts.kill(lost)
        starts = [1, 1]
        while any(run.poll() != 0 for run in runs):
            for host, run in enumerate(runs):
                if run.poll() not in (None, 0):
                    starts[host] += 1
                    runs[host] = _begin(hosts, host, folder, way, told)
            if max(starts) > STARTS or time.monotonic() - began_s > LIMIT_S:
                raise RuntimeError(f"{way}: the training does not end; see {way}.log")
            time.sleep(1.0)
        found["starts"] = starts
    found["wall_s"] = round(time.monotonic() - began_s, 1)
    lines = map(json.loads, (folder / f"{way}.run" / "metrics.jsonl").read_text("utf-8").splitlines())
    found["steps"] = [line["step"] for line in lines if "loss" in line]
    found["goes_on"] = (folder / f"{way}.log").read_text("utf-8").count("goes on from its last checkpoint")
    return found | {"difference": difference(folder, way)}


def difference(folder: Path, way: str) -> float:
    """Largest difference between the weights of a model and those of one host."""
    ours, theirs = (load_model(folder / f"{name}.mts.safetensors").network.state_dict() for name in (way, "one_host"))
    return max(float(torch.max(torch.abs(ours[name] - theirs[name]))) for name in theirs)


def write_place(folder: Path) -> None:
    """Two small datasets and a configuration."""
    for name, region in zip(DATASETS, ("abdomen", "chest"), strict=True):
        if not (folder / name).exists():
            BallDataset(name, shape=(2, 8, 8), patients=5, region=region).write(folder)
    (folder / "large.toml").write_text(CONFIG, encoding="utf-8")


def _begin(hosts: TwoHosts, host: int, folder: Path, way: str, told: IO[bytes]) -> subprocess.Popen[bytes]:
    meeting = ["--rdzv-id", way, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{NAMES[0]}:29500"]
    options = ["--nnodes", "2", "--nproc-per-node", "1", "--max-restarts", "3", *meeting]
    return hosts.begin(host, [*_torchrun(*options), *_request(way, folder)], _environment(), told)


def _torchrun(*options: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *options, str(Path(killed_training.__file__))]


def _request(name: str, folder: Path = Path()) -> list[str]:
    data = [str(folder / dataset) for dataset in DATASETS]
    output = str(folder / f"{name}.mts.safetensors")
    return ["train", "--data", *data, "--config", str(folder / "large.toml"), "--steps", str(STEPS), "-o", output]


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "KILL_AT": NOBODY}


def _until_step(folder: Path, way: str, runs: Sequence[subprocess.Popen[bytes]]) -> None:
    log, end_s = folder / f"{way}.run" / "metrics.jsonl", time.monotonic() + LIMIT_S
    while not log.exists() or log.read_bytes().count(b"\n") < 1:
        if any(run.poll() is not None for run in runs) or time.monotonic() > end_s:
            raise RuntimeError(f"the training ended, or did not begin, before a host could be lost; see {way}.log")
        time.sleep(0.01)


def _keep(found: dict[str, Any], path: Path) -> None:
    aside = path.with_name(f".{path.name}")
    aside.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")
    aside.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.hosts.training_over_hosts", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="figures, also of earlier calls")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="for data, models and logs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
