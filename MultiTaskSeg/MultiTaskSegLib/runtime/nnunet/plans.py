"""plans.json and dataset.json of nnU-Net v2, in every version since 2.0, as one description of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from MultiTaskSegLib.runtime.nnunet.plan_value import PlanValues
from MultiTaskSegLib.runtime.nnunet.preparation_plan import PreparationPlan, preparation_plan
from MultiTaskSegLib.runtime.nnunet.structures import Structures, structures_of
from MultiTaskSegLib.runtime.nnunet.unet_plan import UnetPlan, unet_plan

MAX_ANCESTORS = 10
MAX_PATCH_VOXELS = 512**3


@dataclass(frozen=True)
class ModelPlan:
    """A configuration of nnU-Net.

    Attributes:
        dataset: name of the dataset that it was planned for.
        plans: name of the plans.
        configuration: ``2d``, ``3d_fullres`` and so on.
        network: its shape.
        preparation: what happens to images.
        structures: what is segmented, from which channels.
    """

    dataset: str
    plans: str
    configuration: str
    network: UnetPlan
    preparation: PreparationPlan
    structures: Structures


def model_plan(plans: PlanValues, dataset: PlanValues, name: str) -> ModelPlan:
    """One configuration of the plans.

    Args:
        plans: plans.json.
        dataset: dataset.json.
        name: of the configuration.

    Raises:
        ModelError: it is not there, does not fit, or needs what is not supported.
    """
    configuration = _with_inherited(plans, name)
    if configuration.values.get("previous_stage") is not None:
        raise configuration.refusal("is the second stage of a cascade, which is not supported: take 3d_fullres or 2d")
    structures = structures_of(dataset)
    preparation = preparation_plan(plans, configuration, len(structures.channels))
    network = unet_plan(configuration, len(preparation.patch))
    steps = [prod(axis) for axis in zip(*network.strides, strict=True)]
    if any(size % step for size, step in zip(preparation.patch, steps, strict=True)):
        raise configuration.refusal(f"is no multiple of the network's strides {steps}", "patch_size")
    if prod(preparation.patch) > MAX_PATCH_VOXELS:
        raise configuration.refusal("is larger than any memory", "patch_size")
    return ModelPlan(
        dataset=plans.text("dataset_name"),
        plans=plans.text("plans_name"),
        configuration=name,
        network=network,
        preparation=preparation,
        structures=structures,
    )


def _with_inherited(plans: PlanValues, name: str) -> PlanValues:
    """A configuration over those that it inherits from."""
    table = plans.part("configurations")
    merged: dict[str, Any] = {}
    wanted: Any = name
    for _ in range(MAX_ANCESTORS):
        found = table.values.get(wanted) if isinstance(wanted, str) else None
        if not isinstance(found, Mapping):
            known = ", ".join(str(key) for key in table.values)
            raise table.refusal(f"is not there (known: {known})", str(wanted))
        merged = {**found, **merged}
        if "inherits_from" not in found:
            return PlanValues(merged, f"configurations.{name}", plans.file)
        wanted = found["inherits_from"]
    raise table.refusal("inherits from itself", name)
