"""One run of an experiment: a function, plain parameters, a folder."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from MultiTaskSegLib.runtime.errors import UsageError
from trainer.identity.fingerprint import fingerprint

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
DIGEST_CHARACTERS = 10
RUNS, CACHE = "runs", "cache"


class RunFunction(Protocol):
    """What a run does. It may be called again in a folder in which it was interrupted, and should go on there."""

    def __call__(self, parameters: Mapping[str, Any], folder: Path, inputs: Mapping[str, Path]) -> dict[str, Any]:
        """Do it.

        Args:
            parameters: of the run.
            folder: its own, which exists.
            inputs: folders of the runs that it needs, by name.

        Returns:
            Metrics: plain values for JSON.
        """


@dataclass(frozen=True)
class Run:
    """One cell of a matrix.

    Attributes:
        name: letters, digits, ``.``, ``_``, ``+`` and ``-``.
        function: import path ``package.module:function`` of a `RunFunction`.
        parameters: plain values for JSON; together with ``function`` and the runs needed they are the run's identity.
            A run that reads files has the fingerprint of their content among them.
        needs: names of runs that must have succeeded before.
    """

    name: str
    function: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A run with everything that another process or machine must know to do it.

    Attributes:
        run: what to do.
        digest: identity of the run and of all runs that it needs.
        folder: where; other machines must see the same folder.
        inputs: folders of the runs needed, by name.
    """

    run: Run
    digest: str
    folder: Path
    inputs: Mapping[str, Path]


def make_jobs(runs: list[Run], root: Path) -> dict[str, Job]:
    """Jobs by name in the order of the runs, but each after those that it needs.

    The folder's name carries the digest: other parameters get another folder, so nothing is ever overwritten.

    Raises:
        UsageError: a name is impossible or given twice, a needed run is missing, runs need each other in a circle,
            parameters are not plain values, or a function cannot be imported.
    """
    by_name = {run.name: run for run in runs}
    if len(by_name) < len(runs):
        raise UsageError("two runs have the same name", remedy="Rename one")
    for run in runs:
        _check(run, by_name)
    jobs: dict[str, Job] = {}
    while len(jobs) < len(runs):
        made = len(jobs)
        # What is ready by now goes in at once: a part of the matrix is complete before the next begins.
        for run in runs:
            if run.name not in jobs and all(name in jobs for name in run.needs):
                jobs[run.name] = _make_job(run, jobs, root)
        if len(jobs) == made:
            raise UsageError("runs need each other in a circle", remedy="Correct 'needs'")
    return jobs


def shared_cache(folder: Path) -> Path:
    """Where the runs of an experiment keep what they may use of each other, from the folder of one of them."""
    return folder.parent.parent / CACHE


def load_function(path: str) -> RunFunction:
    """The function of an import path ``package.module:function``.

    Raises:
        UsageError: there is none.
    """
    module, _, name = path.partition(":")
    try:
        function: RunFunction = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"there is no function {path} ({error})", remedy="Give package.module:function") from error
    return function


def _make_job(run: Run, jobs: Mapping[str, Job], root: Path) -> Job:
    digest = _digest(run, [jobs[name].digest for name in run.needs])
    folder = root / f"{run.name}.{digest}"
    return Job(run, digest, folder, {name: jobs[name].folder for name in run.needs})


def _check(run: Run, by_name: Mapping[str, Run]) -> None:
    if not NAME.fullmatch(run.name):
        raise UsageError(f"a run cannot be called {run.name!r}", remedy="Use letters, digits, '.', '_', '+' and '-'")
    missing = [name for name in run.needs if name not in by_name]
    if missing:
        raise UsageError(f"run {run.name} needs {missing[0]}, which is not there", remedy="Add it")
    _digest(run, [])
    load_function(run.function)


def _digest(run: Run, needed: list[str]) -> str:
    try:
        whole = fingerprint({"function": run.function, "parameters": dict(run.parameters), "needs": needed})
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"parameters of a run are not plain values ({error})", remedy="Use numbers, texts, lists and tables"
        ) from error
    return whole[:DIGEST_CHARACTERS]
