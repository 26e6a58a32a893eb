"""The spectral reference on numbers that can be worked out by hand, and its error rates on exchangeable data."""

from __future__ import annotations

import numpy as np
import pytest

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.ood.reference import CLOSE_CALL, ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from trainer.reference.spectral_reference import LARGEST_FACTOR, balanced_threshold, fit_reference, whitening
from trainer.reference.typical_distance import MAX_PARTS

SPEC = SignatureSpec("multilayer", ("only",), 0.0)


def spectrum(*signature: float) -> LayerSpectrum:
    """The spectrum whose signature is this vector: one voxel, and the exponential undoes the logarithm."""
    return LayerSpectrum(np.exp(np.array(signature)), 1, np.zeros(len(signature)))


def image(task: int, group: str, held_out: bool, *signature: float) -> ReferenceImage:
    return ReferenceImage(task, group, held_out, {"only": spectrum(*signature)})


# On a line: training images of task A at 0 and 1, of task B at 100 and 102; held-out ones at 3, 106 and 103.
LINE = [
    image(0, "a1", False, 0.0),
    image(0, "a2", False, 1.0),
    image(0, "a3", True, 3.0),
    image(1, "b1", False, 100.0),
    image(1, "b2", False, 102.0),
    image(1, "b3", True, 106.0),
    image(1, "b4", True, 103.0),
]


def test_a_small_example_worked_out_by_hand() -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    # Training images are 1 (A) and 2 (B) from their nearest neighbours: these are the units.
    np.testing.assert_allclose(reference.scales["only"], [1.0, 2.0])
    # Held out: 3 is 2 units from 1; 106 is 2 units from 102; 103 is half a unit from 102, however near 106 may be.
    np.testing.assert_allclose(reference.calibration_scores, [0.5, 2.0, 2.0])
    logs = np.log([2.0, 2.0, 0.5])
    mean = 0.5 * logs[0] + 0.25 * (logs[1] + logs[2])
    deviation = np.sqrt(0.5 * (logs[0] - mean) ** 2 + 0.25 * ((logs[1] - mean) ** 2 + (logs[2] - mean) ** 2))
    assert reference.threshold == pytest.approx(np.exp(mean + LARGEST_FACTOR * deviation))


def test_a_verdict_worked_out_by_hand() -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    verdict = reference.judge({"only": spectrum(2.5)})
    assert verdict.nearest_task == "A"
    assert verdict.score == pytest.approx(1.5)
    assert verdict.distances == pytest.approx({"A": 1.5, "B": 97.5 / 2})
    assert verdict.p_value == pytest.approx((1 + 2) / (1 + 3))
    assert verdict.threshold == reference.threshold
    assert not verdict.is_ood


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_never_in_distribution(value: float) -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    odd = {"only": LayerSpectrum(np.array([value]), 1, np.zeros(1))}
    with pytest.raises(ModelError, match="numbers of this image that are not finite"):
        reference.judge(odd)


def test_p_values_count_the_held_out_images_that_lie_at_least_as_far_out() -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    expected = {0.5: 4 / 4, 1.5: 3 / 4, 2.5: 1 / 4}
    found = {s: reference.judge({"only": spectrum(1.0 + s)}).p_value for s in expected}
    assert found == pytest.approx(expected)


def test_layers_are_combined_by_the_geometric_mean() -> None:
    spec = SignatureSpec("multilayer", ("near", "far"), 0.0)
    vectors = {"near": np.zeros((1, 1)), "far": np.zeros((1, 1))}
    scales = {"near": np.array([1.0]), "far": np.array([0.5])}
    reference = SpectralReference(spec, ["A"], vectors, np.array([0]), scales, np.ones(1), 1.0)
    score = reference.judge({"near": spectrum(2.0), "far": spectrum(4.0)}).score
    assert score == pytest.approx(np.sqrt(2.0 * 8.0))


def test_only_the_tasks_asked_for_count_but_all_distances_are_told() -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    verdict = reference.judge({"only": spectrum(3.1)}, among=["B"])
    assert verdict.nearest_task == "B"
    assert verdict.score == pytest.approx(96.9 / 2)
    assert verdict.is_ood
    assert set(verdict.distances) == {"A", "B"}
    assert not reference.judge({"only": spectrum(3.1)}).is_ood


def test_a_vector_far_from_everything_is_flagged_with_the_smallest_p_value() -> None:
    verdict = fit_reference(SPEC, ["A", "B"], LINE).judge({"only": spectrum(-500.0)})
    assert verdict.is_ood
    assert verdict.p_value == pytest.approx(1 / 4)
    assert "OUT OF DISTRIBUTION" in verdict.sentence()


def test_images_of_one_group_are_never_compared_with_each_other() -> None:
    # The second exam of a2 lies beside the first one; in another group it would shrink the unit.
    twins = fit_reference(SPEC, ["A", "B"], [*LINE, image(0, "a2", False, 1.01)])
    np.testing.assert_allclose(twins.scales["only"], [1.0, 2.0], atol=0.02)
    strangers = fit_reference(SPEC, ["A", "B"], [*LINE, image(0, "a9", False, 1.01)])
    assert strangers.scales["only"][0] < 0.6


def test_a_copy_under_another_name_does_not_shrink_the_unit() -> None:
    copied = fit_reference(SPEC, ["A", "B"], [*LINE, image(0, "a9", False, 1.0)])
    np.testing.assert_allclose(copied.scales["only"], [1.0, 2.0])


def test_recognition_weighs_a_tasks_own_unit_and_the_common_one_alike() -> None:
    vectors = {"only": np.array([[0.0], [10.0]])}
    scales = {"only": np.array([1.0, 4.0])}
    reference = SpectralReference(SPEC, ["tight", "wide"], vectors, np.array([0, 1]), scales, np.ones(1), 1.0)
    # In the tasks' own units the border is where d / 1 = (10 - d) / 4: at 2; in the common unit at 5; halfway in
    # logarithms where d / 1 = (10 - d) / 2: at 10 / 3.
    assert reference.judge({"only": spectrum(3.2)}).nearest_task == "tight"
    assert reference.judge({"only": spectrum(3.4)}).nearest_task == "wide"
    # The score stays in the recognised task's own unit.
    assert reference.judge({"only": spectrum(3.2)}).score == pytest.approx(3.2)


def test_held_out_images_are_no_part_of_the_reference() -> None:
    reference = fit_reference(SPEC, ["A", "B"], LINE)
    assert sorted(reference.vectors["only"].ravel()) == pytest.approx([0.0, 1.0, 100.0, 102.0])
    # An image like a held-out one scores what the held-out one scored: nothing was learnt from it.
    assert reference.judge({"only": spectrum(3.0)}).score == pytest.approx(2.0)


def test_the_threshold_weighs_tasks_alike_whatever_their_number_of_images() -> None:
    scores, tasks = np.array([0.0, 2.0]), np.array([0, 1])
    assert balanced_threshold(scores, tasks) == pytest.approx(1.0 + 2.5 * 1.0)
    many = np.concatenate([np.zeros(50), [2.0]])
    assert balanced_threshold(many, np.array([0] * 50 + [1])) == pytest.approx(1.0 + 2.5 * 1.0)
    assert balanced_threshold(np.full(5, 0.7), np.arange(5)) == pytest.approx(0.7)


def test_the_factor_of_the_threshold_falls_to_the_papers_as_the_groups_grow() -> None:
    scores = np.array([-1.0, 1.0] * 5000)
    tasks = np.zeros(10_000, dtype=np.int64)
    factors = [balanced_threshold(scores[:n], tasks[:n], [str(g) for g in range(n)]) for n in (2, 6, 20, 100, 10_000)]
    assert factors == sorted(factors, reverse=True)
    assert factors[0] == LARGEST_FACTOR
    assert factors[-1] == pytest.approx(2.5, abs=0.01)


def test_images_of_one_group_count_once_for_the_factor() -> None:
    scores, tasks = np.array([-1.0, 1.0] * 10), np.zeros(20, dtype=np.int64)
    alone = balanced_threshold(scores, tasks, [str(n) for n in range(20)])
    pairs = balanced_threshold(scores, tasks, [str(n // 2) for n in range(20)])
    assert pairs > alone


def test_prediction_limits_hold_for_new_normal_scores() -> None:
    # The same tail whatever the number of groups: 0.62 % of new scores lie above the limit.
    rng = np.random.default_rng(7)
    tasks, groups = np.zeros(12, dtype=np.int64), [str(n) for n in range(12)]
    rounds = [rng.normal(size=13) for _ in range(6_000)]
    above = [new > balanced_threshold(np.array(known), tasks, groups) for *known, new in rounds]
    plain = [new > balanced_threshold(np.array(known), tasks) for *known, new in rounds]
    assert np.mean(above) == pytest.approx(0.0062, abs=0.0035)
    assert np.mean(plain) > 0.015


def test_p_values_of_exchangeable_images_are_roughly_uniform() -> None:
    rng = np.random.default_rng(20)
    p_values = []
    for _ in range(12):
        known = [image(0, f"g{n}", n % 2 == 0, *rng.normal(size=3)) for n in range(80)]
        reference = fit_reference(SPEC, ["A"], known)
        p_values += [reference.judge({"only": spectrum(*rng.normal(size=3))}).p_value for _ in range(40)]
    p = np.array(p_values)
    # 480 draws: the standard error of a share is at most 0.023, plus the spread between 12 references of 40 scores.
    for level in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert abs((p <= level).mean() - level) < 0.1
    assert 0 < p.min() <= p.max() <= 1


def test_p_values_of_shifted_images_are_not_uniform() -> None:
    rng = np.random.default_rng(21)
    known = [image(0, f"g{n}", n % 2 == 0, *rng.normal(size=3)) for n in range(80)]
    reference = fit_reference(SPEC, ["A"], known)
    p = np.array([reference.judge({"only": spectrum(*(rng.normal(size=3) + 4))}).p_value for _ in range(100)])
    assert (p <= 0.1).mean() > 0.8


@pytest.mark.parametrize(
    ("place", "nearest", "rivals"), [(36.0, "A", ()), (38.0, "A", ("B",)), (46.0, "B", ("A",)), (50.0, "B", ())]
)
def test_a_task_that_is_about_as_near_is_named_as_a_rival(place: float, nearest: str, rivals: tuple[str, ...]) -> None:
    """With the units 1 (A) and 2 (B), half of their logarithms shared, log(d_A sqrt(2) / d_B) decides: 0 at 42.01."""
    verdict = fit_reference(SPEC, ["A", "B"], LINE).judge({"only": spectrum(place)})
    assert (verdict.nearest_task, verdict.rivals) == (nearest, rivals)
    closeness = np.log((place - 1) * np.sqrt(2) / (100 - place))
    assert (abs(closeness) <= CLOSE_CALL) == bool(rivals)


def test_a_task_that_does_not_count_is_no_rival() -> None:
    verdict = fit_reference(SPEC, ["A", "B"], LINE).judge({"only": spectrum(42.0)}, among=["A"])
    assert verdict.rivals == ()


def test_an_image_identical_to_a_known_one_has_a_finite_score() -> None:
    verdict = fit_reference(SPEC, ["A", "B"], LINE).judge({"only": spectrum(1.0)})
    assert 0 < verdict.score < 1e-6
    assert verdict.p_value == 1.0


def test_a_task_of_one_group_is_refused() -> None:
    lonely = [*LINE[:3], image(1, "b1", True, 100.0), image(1, "b1", False, 101.0)]
    with pytest.raises(ModelError, match="B has fewer than two groups"):
        fit_reference(SPEC, ["A", "B"], lonely)


def test_a_task_without_held_out_images_is_refused() -> None:
    with pytest.raises(ModelError, match="no held-out image of A"):
        fit_reference(SPEC, ["A", "B"], [*LINE[:2], *LINE[3:]])


@pytest.mark.parametrize("tasks, scores", [([0, 0], [1.0]), ([0, 1], [])])
def test_a_reference_without_images_of_a_task_or_without_scores_is_refused(
    tasks: list[int], scores: list[float]
) -> None:
    vectors, scales = {"only": np.zeros((2, 1))}, {"only": np.ones(2)}
    with pytest.raises(ModelError):
        SpectralReference(SPEC, ["A", "B"], vectors, np.array(tasks), scales, np.array(scores), 1.0)


def test_after_whitening_the_spread_within_the_tasks_is_the_same_in_all_directions() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    tasks = np.repeat([0, 1], 4000)
    vectors = rng.normal(size=(8000, 3)) @ mixing + np.array([[0.0, 0.0, 0.0], [50.0, -20.0, 9.0]])[tasks]
    projected = vectors @ whitening(vectors, tasks)
    for task in (0, 1):
        np.testing.assert_allclose(np.cov(projected[tasks == task].T), np.eye(3), atol=0.1)


def test_whitening_weighs_tasks_alike_whatever_their_number_of_images() -> None:
    rng = np.random.default_rng(1)
    few, many = rng.normal(size=(50, 2)) * [5.0, 1.0], rng.normal(size=(5000, 2)) * [1.0, 5.0]
    tasks = np.repeat([0, 1], [50, 5000])
    projection = whitening(np.concatenate([few, many]), tasks)
    spreads = np.linalg.norm(projection, axis=1)
    assert spreads[0] == pytest.approx(spreads[1], rel=0.25)


def test_the_units_of_a_components_do_not_matter_to_the_whitened_distances() -> None:
    rng = np.random.default_rng(2)
    vectors, tasks = rng.normal(size=(40, 3)), np.repeat([0, 1], 20)
    scaled = vectors * np.array([1.0, 1000.0, 0.01])

    def distances(rows: np.ndarray) -> np.ndarray:
        projected = rows @ whitening(rows, tasks)
        return np.linalg.norm(projected[:, None] - projected[None], axis=2)

    np.testing.assert_allclose(distances(scaled), distances(vectors), rtol=1e-3)


def test_a_projection_is_applied_to_known_and_new_signatures_alike() -> None:
    vectors, scales = {"only": np.array([[0.0, 0.0]])}, {"only": np.array([1.0])}
    stretch = {"only": np.diag([10.0, 1.0])}
    plain = SpectralReference(SPEC, ["A"], vectors, np.array([0]), scales, np.ones(1), 1.0)
    stretched = SpectralReference(SPEC, ["A"], vectors, np.array([0]), scales, np.ones(1), 1.0, stretch)
    new = {"only": np.array([3.0, 4.0])}
    assert np.exp(plain.log_scores(new)) == pytest.approx([5.0])
    assert np.exp(stretched.log_scores(new)) == pytest.approx([np.hypot(30.0, 4.0)])


def test_without_a_metric_the_unit_counts_the_nearest_image_of_every_other_group() -> None:
    """Of more groups than metrics would be fitted, each has its neighbour among those left out together with it."""
    places = [10.0 * (n % MAX_PARTS) + n // MAX_PARTS for n in range(2 * MAX_PARTS)]
    known = [image(0, f"g{n}", False, place) for n, place in enumerate(places)]
    reference = fit_reference(SPEC, ["A"], [*known, image(0, "new", True, 0.5)])
    np.testing.assert_allclose(reference.scales["only"], [1.0])


def test_new_images_of_a_task_of_few_images_are_one_unit_away() -> None:
    """Fitted on the very images that give the unit, the metric made eight images look alike and every new one far."""
    rng = np.random.default_rng(3)
    spec = SignatureSpec("whitened", ("only",), 0.0)

    def drawn(task: int, name: str, held_out: bool) -> ReferenceImage:
        return ReferenceImage(
            task, name, held_out, {"only": LayerSpectrum(np.exp(rng.normal(size=20)), 1, rng.normal(size=20))}
        )

    few = [drawn(0, f"a{n}", n >= 8) for n in range(10)]
    many = [drawn(1, f"b{n}", n >= 300) for n in range(302)]
    reference = fit_reference(spec, ["few", "many"], [*few, *many])
    logs = [reference.log_scores(spec.vectors(drawn(0, "new", True).spectra)) for _ in range(200)]
    np.testing.assert_allclose(np.median(logs, axis=0), [0.0, 0.0], atol=0.06)


def test_the_shrinkage_of_few_images_is_none_that_a_model_file_refuses() -> None:
    """Of two images the estimate is 0 by rights, and often below it by a rounding error."""
    rng = np.random.default_rng(5)
    spec = SignatureSpec("whitened", ("only",), 0.0)
    for _ in range(10):
        known = [
            ReferenceImage(
                n % 2, f"g{n}", n > 3, {"only": LayerSpectrum(np.exp(rng.normal(size=6)), 1, rng.normal(size=6))}
            )
            for n in range(6)
        ]
        shrinkages = np.concatenate(list(fit_reference(spec, ["A", "B"], known).shrinkages.values()))
        assert ((shrinkages >= 0) & (shrinkages <= 1)).all()


def test_two_training_images_are_enough_for_a_metric() -> None:
    """Without either of them one is left, which has no spread of its own."""
    spec = SignatureSpec("whitened", ("only",), 0.0)
    known = [
        ReferenceImage(0, f"g{n}", n == 2, {"only": LayerSpectrum(np.exp([n, -n]), 1, np.array([n, 1.0]))})
        for n in range(3)
    ]
    reference = fit_reference(spec, ["A"], known)
    assert all(np.isfinite(scale).all() and (scale > 0).all() for scale in reference.scales.values())
    assert np.isfinite(reference.judge(known[2].spectra).score)


def test_the_whitened_signature_notices_a_broken_correlation_that_the_plain_one_misses() -> None:
    rng = np.random.default_rng(3)
    spec = SignatureSpec("whitened", ("only",), 0.0)

    def exam(number: int, held_out: bool, shift: float = 0.0) -> ReferenceImage:
        free = rng.normal(size=5)
        logs = np.append(free, free.sum() + 0.01 * rng.normal() + shift)
        return ReferenceImage(0, f"p{number}", held_out, {"only": LayerSpectrum(np.exp(logs), 1, np.zeros(6))})

    images = [exam(n, n % 3 == 0) for n in range(900)]
    odd = exam(9999, True, shift=2.0)
    whitened, plain = fit_reference(spec, ["A"], images), fit_reference(SPEC, ["A"], images)
    assert whitened.judge(odd.spectra).is_ood
    assert not plain.judge(odd.spectra).is_ood
