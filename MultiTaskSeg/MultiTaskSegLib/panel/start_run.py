"""What happens between the click and the run: what speaks against it is said first, then asked, then installed."""

from __future__ import annotations

from typing import Any

from MultiTaskSegLib.chosen_model import require_model
from MultiTaskSegLib.handover.cohort_batch import CohortBatch
from MultiTaskSegLib.handover.cohort_process import request_of
from MultiTaskSegLib.installation.installation import ensure_packages
from MultiTaskSegLib.panel.batch_view import COHORT, BatchView
from MultiTaskSegLib.panel.existing_question import decide_existing
from MultiTaskSegLib.panel.figure.figure_ticks import ticked_figures
from MultiTaskSegLib.panel.run_control import RunControl
from MultiTaskSegLib.panel.wish.structure_choice import wanted_structures
from MultiTaskSegLib.scene.batch.scene_batch import SceneBatch
from MultiTaskSegLib.scene.earlier_result import KEEP, REPLACE
from MultiTaskSegLib.scene.run import SceneRun
from MultiTaskSegLib.task_list import known_tasks


def start_run(logic: Any, parameters: Any, volumes: Any, control: RunControl, parent: Any) -> SceneRun | None:
    """Start what the parameters say; None where the user does not want it after all.

    Args:
        logic: of the module.
        parameters: the choices.
        volumes: the volume that is chosen, or a list with one for each channel.
        control: shows what is going on.
        parent: the window above which it is asked.

    Raises:
        MtsError: the model cannot be used, no structure is ticked, packages are missing, or as the logic's ``start``.
    """
    volume, task, model = parameters.inputVolume, parameters.task, parameters.modelPath
    require_model(model)
    structures = wanted_structures(parameters, known_tasks(model or None))
    existing = decide_existing(parameters.existing, volume, task, parent)
    if existing is None:
        return None
    with control.preparing():
        ensure_packages()
        wanted = {"region": parameters.region, "structures": structures, "wholeCheck": parameters.wholeCheck}
        wanted["thorough"] = parameters.thorough
        run: SceneRun = logic.start(volumes, task, model or None, parameters.device, existing, **wanted)
    return run


def start_batch(logic: Any, parameters: Any, view: BatchView) -> SceneBatch | CohortBatch:
    """Start the batch that the parameters describe. Earlier results are replaced only where that was chosen.

    A cohort runs in a process of its own, with its own packages and the choices that a command line has.

    Raises:
        MtsError: the model cannot be used, no structure is ticked, packages are missing, or there is no image.
    """
    require_model(parameters.modelPath)
    structures = wanted_structures(parameters, known_tasks(parameters.modelPath or None))
    if parameters.batchScope == COHORT:
        folder, results = view.cohort_places()
        wishes = {"task": parameters.task, "device": parameters.device, "structures": tuple(structures or ())}
        wishes |= {"thorough": parameters.thorough, **view.cohort_wishes()}
        return CohortBatch(request_of(folder, results, parameters.modelPath, **wishes))
    images, output = view.images()
    with view.run.preparing():
        ensure_packages()
    existing = REPLACE if parameters.existing == REPLACE else KEEP
    options = logic.batchOptions(
        task=parameters.task,
        model=parameters.modelPath or None,
        device=parameters.device,
        output=output,
        existing=existing,
        structures=structures,
        withUncertainty=parameters.batchUncertainty,
        figures=ticked_figures(parameters),
        thorough=parameters.thorough,
    )
    return SceneBatch(images, options)
