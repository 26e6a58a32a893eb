"""Scores of known images know nothing of their patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from MultiTaskSegLib.runtime.ood.reference import SMALLEST_DISTANCE, ReferenceImage
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from trainer.reference.law_fitting import fit_limits
from trainer.reference.left_out_score import LeftOutScores, left_out_scores
from trainer.reference.spectral_reference import fit_reference
from trainer.reference.typical_distance import typical_distance

LINE = SignatureSpec("multilayer", ("only",), 0.0)
WHITE = SignatureSpec("whitened", ("only",), 0.0)


def image(task: int, group: str, held_out: bool, *signature: float) -> ReferenceImage:
    means = np.array(signature) ** 2
    return ReferenceImage(task, group, held_out, {"only": LayerSpectrum(np.exp(np.array(signature)), 1, means)})


def drawn(count: int, seed: int = 0, components: int = 6) -> list[ReferenceImage]:
    """Two tasks of so many training patients and four held-out ones each, alike in law."""
    rng = np.random.default_rng(seed)
    return [
        image(task, f"{task}-{n}", n >= count, *np.sort(rng.normal(10 * task, 1.0, components))[::-1])
        for task in range(2)
        for n in range(count + 4)
    ]


def scores_of(spec: SignatureSpec, images: list[ReferenceImage], tasks: int = 2) -> LeftOutScores:
    names = ["A", "B"][:tasks]
    return left_out_scores(spec, fit_reference(spec, names, images), images)


PLACES = dict(zip("abcdef", [0.0, 1.0, 3.0, 6.0, 10.0, 15.0], strict=True))


def test_a_small_example_worked_out_by_hand() -> None:
    images = [image(0, name, False, place) for name, place in PLACES.items()]
    scores = scores_of(LINE, [*images, image(0, "h", True, 18.0)], tasks=1)
    # Nearest neighbours of all six are 1, 1, 2, 3, 4 and 5 away: the unit is 2.5, and h is 3 from f.
    # Without a it is 3 (b 2, c 2, d 3, e 4, f 5); without b 3.5 (3, 3, 3, 4, 5 give 3); without c 4 (1, 1, 4, 4, 5);
    # without d 2 (1, 1, 2, 5, 5); without e 2 (1, 1, 2, 3, 9); without f 2 (1, 1, 2, 3, 4).
    units = [3, 3, 4, 2, 2, 2]
    np.testing.assert_allclose(np.exp(scores.logs), [*np.divide([1, 1, 2, 3, 4, 5], units), 3 / 2.5])
    assert scores.groups == (*PLACES, "h")
    assert scores.held_out.tolist() == [False] * 6 + [True]


def test_of_fewer_than_six_training_patients_only_held_out_ones_have_a_score() -> None:
    images = [image(0, name, False, place) for name, place in list(PLACES.items())[:5]]
    assert scores_of(LINE, [*images, image(0, "h", True, 18.0)], tasks=1).groups == ("h",)


@pytest.mark.parametrize("number", [0, 7, 29])
def test_a_training_image_is_scored_as_if_its_patient_had_never_been_there(number: int) -> None:
    images = drawn(15)
    scores = scores_of(WHITE, images)
    if images[number].held_out:
        alone = fit_reference(WHITE, ["A", "B"], images)
    else:
        # Parts hold one patient of each task: these two leave together.
        position = [n for n, i in enumerate(images) if i.task == images[number].task].index(number)
        gone = {f"{task}-{position}" for task in range(2)}
        alone = fit_reference(WHITE, ["A", "B"], [i for i in images if i.group not in gone])
    expected = alone.log_scores(WHITE.vectors(images[number].spectra))[images[number].task]
    assert scores.logs[number] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_moving_an_image_moves_its_own_score_but_what_it_is_compared_with_stays() -> None:
    images = drawn(8)
    moved = [replace(images[0], spectra=image(0, "", False, *np.full(6, 50.0)).spectra), *images[1:]]
    before, after = scores_of(LINE, images).logs, scores_of(LINE, moved).logs
    assert after[0] > before[0] + 1
    # A patient of the other task who leaves with him is compared with the same images as before.
    assert after[12] == pytest.approx(before[12])


def test_few_training_images_scored_with_themselves_in_the_metric_would_look_nearer_than_new_ones() -> None:
    """Left-out training images and new ones are exchangeable: their scores have the same law, give or take chance."""
    left_out, new = [], []
    for seed in range(10):
        scores = scores_of(WHITE, drawn(8, seed))
        left_out.append(scores.logs[~scores.held_out].mean())
        new.append(scores.logs[scores.held_out].mean())
    error = float(np.std(np.subtract(left_out, new)) / 10**0.5)
    # One of eight fewer to be near to: slightly farther, on the safe side.
    assert -2.5 * error < np.mean(left_out) - np.mean(new) < 0.1 + 2.5 * error


def test_a_patient_of_two_tasks_leaves_both() -> None:
    def both(name: str) -> list[ReferenceImage]:
        """Task 1 has its patients in another order, so that they would leave with other parts."""
        first = [image(0, other, False, place) for other, place in PLACES.items()]
        second = [image(1, f"{name}{other}", False, 100 + place) for other, place in reversed(PLACES.items())]
        return [*first, *second, image(0, "h", True, 18.0), image(1, "k", True, 118.0)]

    spec = SignatureSpec("whitened", ("only",), 0.0)
    shared, apart = (scores_of(spec, both(name)).logs for name in ("", "other "))
    assert not np.allclose(shared[:6], apart[:6])
    np.testing.assert_allclose(shared[-2:], apart[-2:])


def test_names_shared_with_all_patients_of_another_task_do_not_empty_it() -> None:
    images = [image(0, "a", False, 0.0), image(0, "b", False, 2.0), image(0, "h", True, 5.0)]
    images += [image(1, name, False, 100 + place) for name, place in PLACES.items()]
    images += [image(1, "b", False, 101.5), image(1, "k", True, 101.0)]
    scores = scores_of(LINE, images)
    assert np.isfinite(scores.logs).all()
    # One patient that is left of the first task is measured in the unit of both.
    assert scores.logs[0] == pytest.approx(np.log(1.5))


@pytest.mark.parametrize("spec", [LINE, WHITE])
@pytest.mark.parametrize("held_out", [False, True])
def test_copies_under_another_name_do_not_widen_the_limits(spec: SignatureSpec, held_out: bool) -> None:
    images = drawn(12)
    first = images[0]
    copies = [replace(first, group=f"again{n}", held_out=held_out) for n in range(2)]
    plain, copied = (fit_reference(spec, ["A", "B"], own) for own in (images, [*images, *copies]))
    assert copied.threshold == pytest.approx(plain.threshold, rel=0.3)
    scores = left_out_scores(spec, copied, [*images, *copies])
    assert not {"again0", "again1"} & set(scores.groups)
    before, after = fit_limits(left_out_scores(spec, plain, images), 2), fit_limits(scores, 2)
    for task in range(2):
        assert after.limit(task) == pytest.approx(before.limit(task), rel=0.3)


@pytest.mark.parametrize("spec", [LINE, WHITE])
def test_a_task_of_copies_alone_has_a_limit_that_flags_whatever_is_none(spec: SignatureSpec) -> None:
    first, other = drawn(1)[0], drawn(12)
    copies = [replace(first, group=f"copy{n}", held_out=n >= 8) for n in range(12)]
    images = [*copies, *(image for image in other if image.task == 1)]
    reference = fit_reference(spec, ["A", "B"], images)
    limits = fit_limits(left_out_scores(spec, reference, images), 2)
    assert np.isfinite([limits.limit(0), limits.limit(1)]).all()
    assert limits.limit(1) < 10


def test_more_than_half_of_a_task_may_be_copies() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    groups = np.array(list("abcde"))
    assert typical_distance(rows, groups, None) == pytest.approx(3.5)
    assert typical_distance(rows[:3], groups[:3], None) == SMALLEST_DISTANCE
