"""What docs/clusters.md gives is what torchrun and the trainer take; its Slurm script is run with stand-ins."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

from Testing.pages.page_commands import FENCE
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCKS = [block for _, block in FENCE.findall(PAGE)]
SCRIPT = next(block for block in BLOCKS if block.startswith("#!"))
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(next(b for b in BLOCKS if b.startswith("apiVersion"))))
SMALL = """
channels = [3, 4]
patches_per_group = 1
patch_voxels = 256
workers = 0
validations = 0
minimum_validation_groups = 1
"""
# As srun does with one task for each of two machines; it fails when one of them does.
SRUN = """#!/bin/sh
export PYTHONPATH="{paths}"
run() {{ shift; "{python}" -m torch.distributed.run --local-addr 127.0.0.1 "$@"; }}
run "$@" & first=$!
run "$@" & second=$!
wait $first && wait $second
"""


def requests() -> list[list[str]]:
    """The words after each torchrun."""
    job = OBJECTS[1]["spec"]["template"]["spec"]["containers"][0]["command"]
    blocks = [block.replace("\\\n", " ") for block in BLOCKS if not block.startswith("apiVersion")]
    lines = [line for block in blocks for line in block.splitlines() if "torchrun " in line]
    return [job[1:], *(shlex.split(line.partition("torchrun ")[2]) for line in lines)]


@pytest.mark.parametrize("words", requests(), ids=["job", "one machine", "Slurm"])
def test_both_parsers_take_the_commands(words: list[str]) -> None:
    asked = get_args_parser().parse_args(words)
    assert (asked.module, asked.training_script) == (True, "trainer")
    options = cli.make_parser().parse_args(asked.training_script_args)
    assert options.several_processes
    assert [path.name for path in options.data] == ["Dataset201_KidneyCT", "Dataset202_LiverCT"]
    assert (options.minutes, options.output.name, options.config.name) == (600, "mine.mts.safetensors", "large.toml")


def test_the_job_has_as_many_pods_as_torchrun_waits_for_and_they_find_the_first() -> None:
    service, job = OBJECTS
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    asked = get_args_parser().parse_args(pod["containers"][0]["command"][1:])
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == int(asked.nnodes)
    name = job["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert service["spec"]["clusterIP"] == "None"
    assert asked.rdzv_endpoint.partition(":")[0] == f"{name}-0.{pod['subdomain']}"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == int(asked.nproc_per_node)
    mounted, volumes = pod["containers"][0]["volumeMounts"], pod["volumes"]
    assert {one["name"] for one in mounted} == {one["name"] for one in volumes}


@pytest.mark.skipif(os.name == "nt", reason="needs a program that is a text")
def test_the_slurm_script_trains_with_two_agents(tmp_path: Path) -> None:
    BallDataset("Dataset201_KidneyCT", shape=(2, 8, 8), patients=3).write(tmp_path)
    BallDataset("Dataset202_LiverCT", shape=(2, 8, 8), patients=3, region="chest").write(tmp_path)
    (tmp_path / "large.toml").write_text(SMALL)
    tools = tmp_path / "tools"
    tools.mkdir()
    paths = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "MultiTaskSeg")))
    _write_tool(tools / "srun", SRUN.format(paths=paths, python=sys.executable))
    _write_tool(tools / "scontrol", "#!/bin/sh\nprintf '127.0.0.1\\nelsewhere\\n'\n")
    script = tmp_path / "train.sbatch"
    script.write_text(re.sub(r"--minutes 600", "--steps 2", SCRIPT))
    told = {"SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}
    environment = {**os.environ, **told, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", str(script)], cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model: mine.mts.safetensors") == 1
    assert (tmp_path / "mine.run" / "run_id.txt").read_text() == "7\n"


def _write_tool(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
