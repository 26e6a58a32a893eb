"""What a checkpoint belongs to (plan, order of datasets and labels, settings, content of the cases); what differs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.model.structure import to_plain
from trainer.config import TrainingConfig
from trainer.data.case_cache import PreparedCase
from trainer.data.planning import Plan, TaskPlan
from trainer.distributed.ranks import Ranks
from trainer.identity.fingerprint import canonical_text
from trainer.identity.weights_digest import weights_digest
from trainer.training.recipe import Recipe

# How fast a run is, how often it is looked at and how much is measured after it: no weight depends on that.
BY_THE_WAY = ("threads", "workers", "validations", "validation_cases", "measuring_share")
# Told with the budget that the cycles follow from, and only of a run that has any: see `trainer.snapshot.cycle`.
TOLD_APART = ("snapshots",)
TOLD_DIFFERENCES = 3

Identity = Mapping[str, Any]
CasesByTask = Sequence[Sequence[PreparedCase]]


def run_identity(
    plan: Plan, cases: Mapping[str, CasesByTask], config: TrainingConfig, recipe: Recipe
) -> dict[str, Any]:
    """Everything that must be the same in all parts of one run, as plain values.

    Args:
        plan: tasks in their order, and network.
        cases: of each task, by side: trained on, held out, and known without labels.
        config: settings.
        recipe: departures from plain supervised training.
    """
    identity = {
        "tasks": [_task(task) for task in plan.tasks],
        "architecture": to_plain(plan.architecture),
        "settings": {name: v for name, v in config.as_dict().items() if name not in (*BY_THE_WAY, *TOLD_APART)},
        "cases": {side: _fingerprints(plan.tasks, of_side) for side, of_side in cases.items()},
        "recipe": dict(recipe.identity),
        "first weights": weights_digest(recipe.weights) if recipe.weights else "",
        "companions": {companion.name: dict(companion.identity) for companion in recipe.companions},
    }
    plain: dict[str, Any] = json.loads(canonical_text(identity))
    return plain


def require_same_run(identity: Identity, asked: Mapping[str, Any], ranks: Ranks) -> None:
    """Refuse processes that were started otherwise, or see other files, than the first one: they would drift apart.

    Args:
        identity: of the run, as this process has it.
        asked: what else all of them must be told alike, as plain values.
        ranks: the processes of the training.

    Raises:
        ModelError: this process differs; the message says in what.
    """
    first, told = ranks.agreed(lambda: (identity, dict(asked)))
    found = difference(first, identity)
    if found is None and told != asked:
        names = sorted(name for name in told.keys() | asked.keys() if told.get(name) != asked.get(name))
        found = "; ".join(f"{name} is {told.get(name)} there and {asked.get(name)} here" for name in names), ""
    if found is not None:
        raise ModelError(
            f"process {ranks.rank} is not of the same run as process 0: {found[0]}",
            remedy="Start all of them with the same command, on machines that see the same files",
        )


def difference(then: Identity, now: Identity) -> tuple[str, str] | None:
    """What has changed between two identities, and what to do about it; None when nothing has.

    The most telling differences are said; a changed order of datasets, for example, changes much else.
    """
    if then == now:
        return None
    ways = (_datasets, _labels, _settings, _cycles, _files, _rest)
    found = next(found for way in ways if (found := list(way(then, now))))
    more = len(found) - TOLD_DIFFERENCES
    told = [what for what, _ in found[:TOLD_DIFFERENCES]] + ([f"and {more} more"] if more > 0 else [])
    return "; ".join(told), found[0][1]


def _task(task: TaskPlan) -> dict[str, Any]:
    labels = [[name, list(values)] for name, values in zip(task.label_names, task.label_values, strict=True)]
    plan = [to_plain(task.profile), task.start, task.patch_zyx, task.absent]
    more = {"channels": task.dataset.inputs, "regions": True} if task.are_regions else {"channels": task.dataset.inputs}
    several = more if task.are_regions or task.dataset.inputs else {}
    return {"name": task.name, "labels": labels, "plan": plan, **several}


def _fingerprints(tasks: Sequence[TaskPlan], cases: CasesByTask) -> dict[str, Any]:
    """By task, name and fingerprint of each case, in order."""
    return {t.name: [[c.case.name, c.fingerprint] for c in of_task] for t, of_task in zip(tasks, cases, strict=False)}


def _datasets(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    before, after = ([task["name"] for task in identity["tasks"]] for identity in (then, now))
    if before != after:
        word = "in the order " if sorted(before) == sorted(after) else ""
        yield (
            f"it was begun with the datasets {', '.join(before)}, not {', '.join(after)}",
            f"Give them {word}{' '.join(before)}, or start anew without --resume",
        )


def _labels(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    for before, after in zip(then["tasks"], now["tasks"], strict=True):
        if before["labels"] != after["labels"]:
            texts = [
                ", ".join(f"{name} = {'/'.join(map(str, values))}" for name, values in task["labels"])
                for task in (before, after)
            ]
            yield (
                f"the labels of {before['name']} were {texts[0]} and are {texts[1]}",
                "Restore dataset.json, or start anew without --resume",
            )


def _settings(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    before, after = then["settings"], now["settings"]
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield f"{name} was {before.get(name)} and is {after.get(name)}", "Use the same --config"


def _cycles(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    before, after = then.get("cycles"), now.get("cycles")
    if before != after:
        yield (
            f"the learning rate fell in {_cycles_text(before)} and would now fall in {_cycles_text(after)}",
            "Use the same --config with the same --steps or --minutes, or start anew without --resume",
        )


def _cycles_text(cycles: Mapping[str, Any] | None) -> str:
    if cycles is None:
        return "one cycle"
    length = f"{cycles['steps']} steps" if cycles["steps"] is not None else f"{cycles['minutes']:g} minutes"
    return f"{cycles['number']} cycles of together {length}"


def _files(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    for side, by_task in now["cases"].items():
        for name, pairs in by_task.items():
            before, after = dict(then["cases"].get(side, {}).get(name, ())), dict(pairs)
            remedy = "Restore the files, or start anew without --resume"
            changed = [case for case in after if case in before and after[case] != before[case]]
            if changed:
                yield f"cases of {name} hold something else than before ({len(changed)}, first {changed[0]})", remedy
            other = sorted(before.keys() ^ after.keys())
            if other:
                yield f"{side} cases of {name} were added or are missing ({len(other)}, first {other[0]})", remedy


def _rest(then: Identity, now: Identity) -> Iterator[tuple[str, str]]:
    parts = [part for part in now if now[part] != then.get(part)]
    yield f"the run differs in its {' and '.join(parts)}", "Use the same command, or start anew without --resume"
