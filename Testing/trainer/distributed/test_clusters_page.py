"""What docs/clusters.md gives is what torchrun and the trainer take."""

from __future__ import annotations

import pytest
from torch.distributed.run import get_args_parser

from Testing.trainer.distributed.clusters_page import OBJECTS, requests
from trainer import cli


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
