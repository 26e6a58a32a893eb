"""Oracles of what a model file itself says of quality, judged on patients whom it does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MultiTaskSegLib.runtime.quality.quality_info import QUALITY_VERSION, QualityInfo, TaskQuality
from Testing.runtime.tiny_model import tiny_manifest
from Testing.trainer.failure.synthetic_image import measured
from trainer.data.provenance import KEY, record_generation
from trainer.failure.confidence import confidences
from trainer.failure.filed_quality import FiledQuality, filed_bound_coverage, filed_dice
from trainer.failure.findings import findings
from trainer.failure.measured_image import CLEAN, MeasuredImage
from trainer.layout.case import Case

# The entropy of clean images is .2 on average and differs by .1: each further .1 costs a tenth of the Dice.
LEARNT = TaskQuality(9, 0.1, ("entropy",), (0.2,), (0.1,), (-0.1,))


def filed(*known: str, quality: TaskQuality = LEARNT) -> FiledQuality:
    return FiledQuality({"A": quality}, lambda group: group in known)


def image(patient: str, dice: float, entropy: float, *, kind: str = CLEAN, task: str = "A") -> MeasuredImage:
    traits = {"expected_dice": 0.9, "entropy": entropy, "labels_found": 1.0}
    own = measured(patient, dice, kind=kind, traits=traits, task=task)
    return replace(own, expected_dice={"part": 0.9})


def test_the_dice_is_the_expected_one_less_what_the_file_has_learnt() -> None:
    images = [image("p1", 0.8, 0.3), image("p2", 0.5, 0.5, kind="noise"), image("p3", 0.9, 0.2)]
    np.testing.assert_allclose(filed_dice(images, filed()), [0.8, 0.6, 0.9])


def test_of_patients_whom_the_file_knows_and_tasks_of_which_it_says_nothing_nothing_is_judged() -> None:
    images = [image("p1", 0.8, 0.3), image("p2", 0.8, 0.3), image("p3", 0.8, 0.3, task="B")]
    np.testing.assert_array_equal(np.isnan(filed_dice(images, filed("p2"))), [False, True, True])
    everybody = filed("p1", "p2")
    assert "predicted_dice_filed" not in confidences(images, everybody)
    assert filed_bound_coverage(images, everybody) == {}


def test_a_structure_that_was_not_found_has_no_filed_dice_and_the_lowest_confidence() -> None:
    found = image("p1", 0.8, 0.3)
    lost = replace(found, expected_dice={"part": float("nan")}, traits={**found.traits, "labels_found": 0.0})
    assert np.isnan(filed_dice([lost], filed())[0])
    assert confidences([found, lost], filed())["predicted_dice_filed"][1] == -np.inf


def test_nothing_found_in_a_patient_whom_the_file_knows_or_a_task_of_which_it_says_nothing_is_not_judged() -> None:
    nothing = {"labels_found": 0.0}
    found, known = image("p1", 0.8, 0.3), image("p2", 0.8, 0.3)
    lost = [
        replace(own, expected_dice={"part": float("nan")}, traits={**own.traits, **nothing})
        for own in (known, replace(found, task="B"), replace(found, group="p3"))
    ]
    told = confidences([found, *lost], filed("p2"))["predicted_dice_filed"]
    np.testing.assert_array_equal(np.isnan(told), [False, True, True, False])
    assert "predicted_dice_filed" in confidences([known, lost[2]], filed("p2"))


def test_the_row_has_figures_in_tasks_whose_patients_are_all_new() -> None:
    mixed = [image(f"p{n}", 0.9 - n / 10, 0.2 + n / 10) for n in range(4)]
    new = [replace(own, task="B", group=f"q{n}") for n, own in enumerate(mixed)]
    known = FiledQuality({"A": LEARNT, "B": LEARNT}, lambda group: group == "p0")
    tasks = findings([*mixed, *new], confidences([*mixed, *new], known), 0, 10, known)["tasks"]
    assert "predicted_dice_filed" not in tasks["A"]["rows"]
    found = tasks["B"]["rows"]["predicted_dice_filed"]
    # What the file foretells is what there is.
    assert (found["e_aurc"]["value"], found["spearman"]["value"]) == (0, 1)
    np.testing.assert_allclose(found["error"]["value"], 0, atol=1e-12)


def test_the_bound_of_the_file_is_counted_in_clean_images_of_new_patients() -> None:
    # With a margin of .1 at an expected Dice of .9: .8 is reached by three of four structures.
    images = [image(f"p{n}", dice, 0.2) for n, dice in enumerate((0.95, 0.85, 0.8, 0.79))]
    others = [image("known", 0.1, 0.2), image("p9", 0.1, 0.2, kind="noise")]
    found = filed_bound_coverage([*images, *others], filed("known"))["A"]
    assert (found["coverage"], found["structures"], found["patients"]) == (0.75, 4, 4)
    np.testing.assert_allclose(found["margin"], 0.1)
    assert filed_bound_coverage(images, filed(quality=TaskQuality(8))) == {}


def test_the_file_tells_its_tasks_and_whom_it_knows() -> None:
    def cases(group: str) -> tuple[Case, ...]:
        return (Case("c", image="i", label="l", group=group),)  # type: ignore[arg-type]

    own = record_generation("m", {"D": cases("trained")}, {"D": cases("looked at")}, {"D": cases("held out")})
    named = tuple(task.name for task in tiny_manifest().tasks)
    quality = QualityInfo(QUALITY_VERSION, (LEARNT, TaskQuality(3)))
    manifest = replace(tiny_manifest(), training={KEY: [own.as_dict()]}, quality=quality)
    said = FiledQuality.of(manifest)
    assert dict(said.tasks) == dict(zip(named, quality.tasks, strict=True))
    assert [said.knows(group) for group in ("trained", "looked at", "held out", "new")] == [True, True, True, False]
    assert FiledQuality.of(replace(manifest, quality=None)).tasks == {}
