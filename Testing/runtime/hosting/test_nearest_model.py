"""Which model of the list an image goes to, and what is said of the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import InputError, ModelError, ResourceError, UsageError
from MultiTaskSegLib.runtime.hosting.image_runs import REPLACED, ImageRuns
from MultiTaskSegLib.runtime.hosting.listed_runs import ListedRuns
from MultiTaskSegLib.runtime.hosting.model_host import ModelHost
from MultiTaskSegLib.runtime.hosting.purpose import CHECK, LOCATE, Purpose
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_list import ListedModel, ListedTask
from MultiTaskSegLib.runtime.ood.verdict import Verdict

VOLUME = Volume(np.zeros((2, 2, 2), np.float32), np.eye(4), "scan.nii.gz")
PLANAR = Volume(np.zeros((1, 4, 4), np.float32), np.eye(4), "scan.png")
PAIR = Volume(VOLUME.voxels, np.eye(4), "pair", further=(VOLUME.voxels,))


def listed(name: str, *, labels: tuple[str, ...] = ("wall",), inputs: tuple[str, ...] = (), **more) -> ListedModel:
    task = ListedTask(f"{name}_task", labels=labels, inputs=inputs)
    return ListedModel(name, Path(f"/models/{name}"), True, tasks=(task,), **{"is_checked": True, **more})


class Shelf:
    """A machine with a list of models, each at so many times its limit from every image."""

    def __init__(
        self, *models: ListedModel, shares: dict[str, float | Exception] | None = None, measured: tuple[str, ...] = ()
    ) -> None:
        self._models, self._shares, self._measured = models, shares or {}, measured
        self.loads: list[str | None] = []
        self.looks: list[str] = []

    def models(self):
        return list(self._models)

    def device(self, wanted):
        return "cpu"

    def plan(self, predictor, volume, purpose, device):
        return RunPlan(device)

    def release(self):
        """Nothing is held."""

    def load(self, model, device, planar):
        self.loads.append(model)
        name = "released" if model is None else Path(model).name

        def check(volume, tell):
            """A verdict with a limit of its own, so that scores say nothing across models."""
            self.looks.append(name)
            tell(0.0, "encoder")
            share = self._shares.get(name, 0.5)
            if isinstance(share, Exception):
                raise share
            limit = 2.0 + len(name)
            tell(1.0, "encoder")
            return Verdict(share > 1, share * limit, limit, 0.5, f"{name}_task", {})

        dice = {"wall": 0.9} if name in self._measured else {}
        task = SimpleNamespace(name=f"{name}_task", held_out_dice=dice)
        manifest = SimpleNamespace(name=f"{name} of the file", tasks=[task])
        return SimpleNamespace(manifest=manifest, model=SimpleNamespace(digest=f"{name}-digest"), check=check)


def run(machine: Shelf, volume: Volume = VOLUME, purpose: Purpose = CHECK, model: str | None = None, progress=None):
    def act(predictor, tell):
        """A check, or whose turn it is."""
        tell(1.0, "acting")
        return predictor.check(volume, tell) if purpose == CHECK else predictor.manifest.name

    runs = ListedRuns(ModelHost(machine), machine)
    return runs.run(model, "auto", volume, purpose, act, progress or (lambda share, step: None), lambda note: None)


def test_an_image_goes_to_the_model_whose_limit_it_is_farthest_within() -> None:
    machine = Shelf(
        listed("a"), listed("much_longer_name"), listed("c"), shares={"a": 0.9, "much_longer_name": 0.7, "c": 1.4}
    )
    outcome = run(machine)
    assert outcome.origin == ("much_longer_name of the file", "much_longer_name-digest")
    assert [entry["name"] for entry in outcome.choice["models"]] == ["much_longer_name", "a", "c"]
    assert [entry["is_ood"] for entry in outcome.choice["models"]] == [False, False, True]
    assert outcome.choice["sentence"] == (
        "much_longer_name was chosen, whose images of much_longer_name_task are nearest"
        " (0.70 of the limit; a: 0.90 of the limit; c: 1.40 of the limit)"
    )


@pytest.mark.parametrize(
    ("shares", "measured", "chosen"),
    [
        ({"a": 0.50, "b": 0.59}, ("b",), "b"),
        ({"a": 0.50, "b": 0.61}, ("b",), "a"),
        ({"a": 0.50, "b": 0.55}, ("a", "b"), "a"),
        ({"a": 0.50, "b": 0.55}, (), "a"),
        ({"a": 0.0, "b": 0.0}, (), "a"),
    ],
)
def test_of_models_about_as_near_the_nearest_whose_results_were_measured_is_chosen(shares, measured, chosen) -> None:
    outcome = run(Shelf(listed("a"), listed("b"), shares=shares, measured=measured))
    assert outcome.choice["name"] == chosen
    assert ("of which nobody knows how well it segments" in outcome.choice["sentence"]) is (chosen == "b")


def test_a_check_looks_at_the_image_once_with_each_model() -> None:
    machine = Shelf(listed("a"), listed("b"))
    run(machine)
    assert machine.looks == ["a", "b"]


def test_where_all_models_find_the_image_foreign_the_nearest_verdict_is_told() -> None:
    outcome = run(Shelf(listed("a"), listed("b"), shares={"a": 3.0, "b": 2.0}))
    assert outcome.found.is_ood
    assert outcome.found.nearest_task == "b_task"


@pytest.mark.parametrize("purpose", [Purpose("auto"), LOCATE])
def test_what_follows_the_comparison_is_done_with_the_chosen_model(purpose: Purpose) -> None:
    machine = Shelf(listed("a"), listed("b"), shares={"a": 0.9, "b": 0.2})
    assert run(machine, purpose=purpose).found == "b of the file"
    assert machine.looks == ["a", "b"]


def test_the_only_model_that_comes_into_question_is_not_asked() -> None:
    machine = Shelf(listed("a"), listed("flat", is_planar=True), listed("unchecked", is_checked=False))
    outcome = run(machine, purpose=Purpose("auto"))
    assert (outcome.found, outcome.choice, machine.looks) == ("a of the file", None, [])
    assert outcome.model == {"name": "a of the file", "sha256": "a-digest"}


def test_a_named_model_is_used_whatever_the_list_says() -> None:
    machine = Shelf(listed("a"), listed("b"))
    outcome = run(machine, model="/models/c", purpose=Purpose("auto"))
    assert (outcome.found, machine.loads, outcome.nearest) == ("c of the file", ["/models/c"], None)


def test_each_model_that_is_not_asked_says_why() -> None:
    machine = Shelf(
        listed("a"),
        listed("b"),
        listed("broken", problem="its header is damaged"),
        listed("flat", is_planar=True),
        listed("pair", inputs=("T1", "FLAIR")),
        listed("unchecked", is_checked=False),
        listed("unlabelled", labels=()),
        shares={"b": ModelError("the digest is wrong")},
    )
    outcome = run(machine, purpose=Purpose("auto"))
    reasons = {entry["name"]: entry["reason"] for entry in outcome.choice["models"] if "reason" in entry}
    assert reasons == {
        "b": "the digest is wrong.",
        "broken": "it cannot be used: its header is damaged",
        "flat": "it is for 2-D images",
        "pair": "it takes other channels than the 1 of the image",
        "unchecked": "it has no reference images, so nobody knows how near an image is",
        "unlabelled": "it was trained without labels",
    }


def test_a_model_without_labels_still_checks() -> None:
    machine = Shelf(listed("a"), listed("unlabelled", labels=()), shares={"unlabelled": 0.1})
    assert run(machine).origin[0] == "unlabelled of the file"


def test_networks_of_slices_are_asked_about_volumes_where_nnunet_trained_them() -> None:
    machine = Shelf(listed("a"), listed("slices", is_planar=True, is_imported=True), shares={"slices": 0.1})
    assert run(machine).origin[0] == "slices of the file"
    machine = Shelf(listed("solid", is_imported=True), listed("slices", is_planar=True, is_imported=True))
    assert run(machine, PLANAR).origin[0] == "slices of the file"


def test_images_of_several_channels_go_to_models_that_take_as_many() -> None:
    machine = Shelf(listed("a"), listed("pair", inputs=("T1", "FLAIR")), listed("other", inputs=("T2", "PD")))
    run(machine, PAIR)
    assert machine.looks == ["pair", "other"]


def test_a_task_that_is_named_limits_the_choice_to_models_that_have_it() -> None:
    machine = Shelf(listed("a"), listed("b"), shares={"a": 0.1})
    assert run(machine, purpose=Purpose("b_task")).found == "b of the file"


def test_a_task_that_no_model_has_is_refused_with_those_that_there_are() -> None:
    machine = Shelf(listed("a"), listed("b"), listed("flat", is_planar=True))
    with pytest.raises(UsageError, match=r"no model of the list has a task 'lung'.*Use auto, a_task, b_task"):
        run(machine, purpose=Purpose("lung"))
    assert machine.loads == []


def test_a_model_that_cannot_be_compared_is_used_where_it_alone_has_the_task() -> None:
    machine = Shelf(listed("a"), listed("own", is_checked=False))
    assert run(machine, purpose=Purpose("own_task")).found == "own of the file"
    assert run(machine, purpose=Purpose("auto")).found == "a of the file"


def test_without_any_model_that_fits_the_released_one_says_why_not() -> None:
    assert run(Shelf(), purpose=Purpose("auto")).found == "released of the file"


def test_where_no_model_can_look_at_the_image_the_first_reason_is_told() -> None:
    machine = Shelf(
        listed("a"), listed("b"), shares={"a": InputError("the image is constant"), "b": InputError("other")}
    )
    with pytest.raises(InputError, match="the image is constant"):
        run(machine)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_model_that_has_too_little_memory_for_the_image_is_left_out(error) -> None:
    outcome = run(Shelf(listed("a"), listed("b"), shares={"a": error}))
    assert outcome.origin[0] == "b of the file"
    assert "not enough memory" in outcome.choice["models"][1]["reason"]
    with pytest.raises(ResourceError, match="not enough memory"):
        run(Shelf(listed("a"), listed("b"), shares={"a": error, "b": InputError("other")}))


def test_a_fault_of_the_program_is_not_taken_for_a_model_that_cannot_look() -> None:
    machine = Shelf(listed("a"), listed("b"), shares={"b": ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        run(machine)


@pytest.mark.parametrize("purpose", [CHECK, Purpose("auto")])
def test_progress_never_falls_ends_at_one_and_names_the_models(purpose: Purpose) -> None:
    told: list[tuple[float, str]] = []
    run(Shelf(listed("a"), listed("b")), purpose=purpose, progress=lambda share, step: told.append((share, step)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {step for _, step in told} >= {"a: encoder", "b: encoder"}


def test_a_model_of_the_list_that_is_trained_again_between_two_images_is_told(tmp_path: Path) -> None:
    machine = Shelf(listed("a"))
    runs = ImageRuns(None, "cpu", lambda share, step: None, machine)
    loads = iter(("one", "two"))

    def load(model, device, planar):
        """Another file each time."""
        return SimpleNamespace(manifest=SimpleNamespace(name="a"), model=SimpleNamespace(digest=next(loads)))

    machine.load = load
    notes = []
    for _ in range(2):
        runs._runs = {kind: ListedRuns(ModelHost(machine), machine) for kind in (False, True)}
        notes.append(runs.run(VOLUME, Purpose("auto"), lambda model, tell: None).notes)
    assert notes == [(), (REPLACED,)]


def test_models_are_compared_by_the_whole_image_and_memory_is_planned_for_what_is_wanted_of_it() -> None:
    machine = Shelf(listed("a"), listed("b"), shares={"a": 0.9, "b": 0.2})
    region = Volume(VOLUME.voxels[:, :, :1], np.eye(4), "scan.nii.gz", whole=VOLUME)
    planned = []

    def plan(predictor, volume, purpose, device):
        """Note what is planned for."""
        planned.append((purpose, volume.whole is not None))
        return RunPlan(device)

    machine.plan = plan
    act = lambda predictor, tell: predictor.manifest.name  # noqa: E731
    wanted, tell = Purpose("auto"), lambda *told: None
    for runs in (ListedRuns(ModelHost(machine), machine), ImageRuns(None, "auto", tell, machine)):
        told = ("auto", VOLUME, wanted, act, tell, tell, region)
        outcome = runs.run(None, *told) if isinstance(runs, ListedRuns) else runs.run(VOLUME, wanted, act, region)
        assert outcome.found == "b of the file"
        look = Purpose(keeps=True)
        assert planned == [(look, False), (look, False), (wanted, True)]
        planned.clear()
