"""The manifest of a model that is still to be trained: what can be said, and refused, before the time is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MultiTaskSegLib import __version__
from MultiTaskSegLib.runtime.errors import ModelError, UsageError
from MultiTaskSegLib.runtime.model.manifest import LabelInfo, Manifest, OodInfo, TaskInfo, needed_format
from MultiTaskSegLib.runtime.model.model_consistency import check_manifest
from MultiTaskSegLib.runtime.model.model_file import check_length
from MultiTaskSegLib.runtime.naming.terminology import label_terminology
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec, signature_spec
from trainer.config import TrainingConfig
from trainer.data.planning import Plan, TaskPlan
from trainer.origin.terms import licence_of, training_data

INTENDED_USE = (
    "Research on images like those of the tasks listed. Not for clinical use. "
    "Results on images flagged as out of distribution must not be trusted."
)


def planned_manifest(plan: Plan, config: TrainingConfig, name: str, said: Mapping[str, Any] | None = None) -> Manifest:
    """Everything but what is measured, in whose place stand values that say nothing.

    Args:
        plan: tasks and network.
        config: settings.
        name: of the model.
        said: in the manifest's ``training``, as far as it is known.

    Raises:
        ModelError: the signature looks at layers that the network does not have.
    """
    tasks = tuple(planned_task(task) for task in plan.tasks)
    return Manifest(
        needed_format(tasks),
        name,
        f"multitaskseg {__version__}",
        INTENDED_USE,
        plan.architecture,
        tasks,
        _unmeasured_check(planned_signature(plan, config)),
        {"config": config.as_dict(), **(said or {})},
    )


def planned_signature(plan: Plan, config: TrainingConfig) -> SignatureSpec:
    """The signature of a training."""
    return signature_spec(plan.architecture, config.ood_variant, config.ood_layers)


def require_storable(
    plan: Plan, config: TrainingConfig, name: str = "model", said: Mapping[str, Any] | None = None
) -> None:
    """Refuse a training whose model file would be refused when it is written.

    Args:
        plan, config, name, said: as for `planned_manifest`.

    Raises:
        UsageError: a number of the manifest-to-be is out of bounds, its parts exclude each other, or it is too long.
        ModelError: as `planned_manifest`.
    """
    manifest = planned_manifest(plan, config, name, said)
    try:
        check_manifest(manifest)
    except ModelError as error:
        raise UsageError(
            f"no model file can hold what would be trained: {error.what}",
            remedy="Change the configuration, or the datasets that it is applied to",
        ) from error
    try:
        check_length(manifest)
    except ModelError as error:
        raise UsageError(error.what, remedy=error.remedy) from error


def planned_task(task: TaskPlan) -> TaskInfo:
    """A task before anything is measured."""
    dataset = task.dataset
    return TaskInfo(
        dataset.name,
        dataset.modality,
        dataset.region,
        tuple(_label_info(task, number) for number in range(len(task.label_names))),
        task.profile,
        task.start,
        1.0,
        licence_of(dataset),
        0,
        0,
        data=training_data(dataset, task.sizes),
        inputs=dataset.inputs,
        are_regions=task.are_regions,
    )


def _label_info(task: TaskPlan, number: int) -> LabelInfo:
    name, values = task.label_names[number], task.label_values[number]
    overrides = task.dataset.info.get("terminology", {})
    shown = label_terminology(task.name, task.dataset.modality, task.dataset.region, name, overrides.get(name))
    if task.are_regions:
        value = list(task.dataset.labels)[number]
    else:
        value = values[0] if len(values) == 1 else 1
    return LabelInfo(value, name, shown.display_name, shown.colour, shown.terminology)


def _unmeasured_check(spec: SignatureSpec) -> OodInfo:
    statistics = spec.statistics if spec.uses_image else ()
    return OodInfo(spec.variant, spec.layers, spec.floor, 1.0, 0.0, {}, statistics)
