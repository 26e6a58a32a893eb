"""Tasks that Slurm's ``srun`` starts, without torchrun, as the processes of one training."""

from __future__ import annotations

import re
from collections.abc import Mapping

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.distributed.started import started_together

# What srun, and it alone, tells each of its tasks: a script under sbatch and a shell under salloc are none of several.
TASKS, TASK = "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"
STEP, STEPS = "SLURM_STEP_ID", 0xFFFF_FFF0  # from there on Slurm's own, such as the shell under salloc: one task each
FIRST_PORT, PORTS = 15_000, 10_000
HOSTS = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")


def with_slurm_places(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with the variables of torchrun, where ``srun`` has started several tasks.

    The first task is at the first machine of the step. The port comes from job and step, so that all tasks find the
    same one; MASTER_ADDR and MASTER_PORT may be given instead. Job and step are the name of the run, so that a job that
    was queued again goes on.

    Args:
        environment: variables of this process; those of ``torchrun`` are left alone.

    Raises:
        UsageError: the variables of Slurm do not say where the tasks are to meet.
    """
    if started_together(environment) or not is_task_of_several(environment):
        return environment
    job, step = environment.get("SLURM_JOB_ID", ""), environment.get(STEP, "")
    if not (job.isdecimal() and step.isdecimal()):
        raise UsageError(
            f"srun has started {environment[TASKS]} tasks, but SLURM_JOB_ID and SLURM_STEP_ID do not say in which step",
            remedy="Start them with torchrun, see docs/clusters.md, or a single one with --ntasks=1",
        )
    port = FIRST_PORT + (int(job) + 101 * int(step)) % PORTS
    return {
        **environment,
        "RANK": environment[TASK],
        "WORLD_SIZE": environment[TASKS],
        "LOCAL_RANK": "0" if _has_own_cards(environment) else environment.get("SLURM_LOCALID", "0"),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or _first_machine(environment),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(port),
        "TORCHELASTIC_RUN_ID": f"slurm job {job} step {step}",
    }


def is_task_of_several(environment: Mapping[str, str]) -> bool:
    """Whether ``srun`` has started this process as one of several.

    >>> is_task_of_several({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"})
    False
    """
    tasks, task = environment.get(TASKS, ""), environment.get(TASK, "")
    step = environment.get(STEP, "")
    if step.isdecimal() and int(step) >= STEPS:
        return False
    return tasks.isdecimal() and task.isdecimal() and int(tasks) > 1


def _has_own_cards(environment: Mapping[str, str]) -> bool:
    """Whether Slurm shows each task no cards but its own."""
    return "SLURM_GPUS_PER_TASK" in environment or "gpu" in environment.get("SLURM_TRES_PER_TASK", "")


def _first_machine(environment: Mapping[str, str]) -> str:
    if environment.get("SLURM_STEP_NUM_NODES") == "1":
        return "127.0.0.1"
    names = next((environment[name] for name in HOSTS if environment.get(name)), "")
    if not names:
        raise UsageError(
            "Slurm does not say which machines the tasks are on", remedy="Set MASTER_ADDR to the name of the first one"
        )
    return first_of(names)


def first_of(names: str) -> str:
    """First machine of a list as Slurm writes it.

    >>> first_of("gpu[007-009,12],login1"), first_of("rack1-n3,rack2-n4"), first_of("r[1-2]n[03,05]")
    ('gpu007', 'rack1-n3', 'r1n03')
    """
    # Commas in brackets part numbers, those outside part names.
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", names)
    assert first is not None
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())
