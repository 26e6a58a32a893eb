"""What the student sees is harder than what its teachers see, and stays where it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.network.architecture import Architecture
from Testing.runtime.random_network import random_network
from trainer.data.augmentation import Augmentation
from trainer.pretraining.pretext.pretext import PretextBatch, Views
from trainer.two_stage.distillation import Distillation, soft_dice, soft_divergence
from trainer.two_stage.student_views import SEEN_BY_TEACHERS, StudentViews, painted_over

ARCHITECTURE = Architecture((4, 6), ((1, 2, 2),), ((1, 3, 3),) * 2, 3)


def views(shape: tuple[int, int, int] = (1, 16, 24), images: int = 3) -> Views:
    """A bright square on a dark ground in every image."""
    pixels = torch.full((images, 1, *shape), 0.2)
    pixels[..., 4:12, 8:16] = 0.8
    return Views(pixels, torch.full((images,), -1), torch.ones_like(pixels, dtype=torch.bool))


def drawn(seed: int, pretext: StudentViews | None = None) -> PretextBatch:
    return (pretext or StudentViews(are_harder=True)).draw(np.random.default_rng(seed), views(), ARCHITECTURE)


def test_teachers_see_the_views_as_they_are_and_the_student_others_in_the_same_range() -> None:
    batch = drawn(1)
    torch.testing.assert_close(batch.targets[SEEN_BY_TEACHERS], views().images)
    assert batch.inputs.shape == views().images.shape
    assert 0 <= float(batch.inputs.min()) <= float(batch.inputs.max()) <= 1
    assert all(float((a - b).abs().mean()) > 0.01 for a, b in zip(batch.inputs, views().images, strict=True))


def test_beside_the_image_the_student_sees_what_its_teachers_see() -> None:
    padded = views()
    padded.inside[..., 20:] = False
    padded.images[..., 20:] = 0.0
    for seed in range(5):
        batch = StudentViews(are_harder=True).draw(np.random.default_rng(seed), padded, ARCHITECTURE)
        assert float(batch.inputs[..., 20:].abs().max()) == 0.0
        assert float((batch.inputs - padded.images)[..., :20].abs().mean()) > 0.01


def test_a_batch_can_be_made_again_from_its_generator_and_every_image_is_changed_in_its_own_way() -> None:
    torch.testing.assert_close(drawn(2).inputs, drawn(2).inputs)
    first, second, _ = drawn(2).inputs
    assert not torch.equal(first, second)


def test_nothing_is_moved_where_no_box_is_painted_over() -> None:
    square = np.zeros((16, 24), bool)
    square[4:12, 8:16] = True
    for seed in range(20):
        for image in drawn(seed, StudentViews(are_harder=True, holes=0)).inputs[:, 0, 0].numpy():
            # The inside and the outside, away from the edge that blur widens, keep their order.
            assert image[6:10, 10:14].mean() >= image[:, 20:].mean()


def test_intensities_are_changed_in_the_ranges_that_are_twice_those_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records: list[Augmentation] = []
    boxes: list[float] = []

    def noted(record: Augmentation, image: torch.Tensor) -> torch.Tensor:
        records.append(record)
        return image

    def painted(rng: np.random.Generator, image: torch.Tensor, share: float) -> torch.Tensor:
        boxes.append(share)
        return image

    monkeypatch.setattr("trainer.two_stage.student_views.change_intensity", noted)
    monkeypatch.setattr("trainer.two_stage.student_views.painted_over", painted)
    counts = set()
    for seed in range(300):
        before = len(boxes)
        StudentViews(are_harder=True).draw(np.random.default_rng(seed), views((1, 4, 4), images=1), ARCHITECTURE)
        counts.add(len(boxes) - before)
    assert counts == {0, 1, 2}
    assert set(boxes) == {0.33}
    drawn_values = {
        "gamma": [float(np.log(r.gamma)) for r in records], "contrast": [r.contrast for r in records],
        "brightness": [r.brightness for r in records], "noise": [r.noise_sigma for r in records],
        "blur": [r.blur_sigma for r in records if r.blur_sigma], "shrink": [r.shrink for r in records if r.shrink > 1],
    }  # fmt: skip
    ranges = {
        "gamma": (-0.8, 0.8), "contrast": (0.5, 1.5), "brightness": (-0.2, 0.2), "noise": (0.0, 0.12),
        "blur": (0.4, 1.2), "shrink": (1.0, 3.0),
    }  # fmt: skip
    for name, (low, high) in ranges.items():
        margin = 0.1 * (high - low)
        assert low <= min(drawn_values[name]) < low + margin, name
        assert high - margin < max(drawn_values[name]) <= high, name
    # Three in ten; 300 draws make a standard deviation of 0.026.
    assert len(drawn_values["blur"]) / 300 == pytest.approx(0.3, abs=0.09)
    assert len(drawn_values["shrink"]) / 300 == pytest.approx(0.3, abs=0.09)


@pytest.mark.parametrize("shape", [(1, 16, 24), (8, 16, 24)])
def test_a_box_is_of_one_grey_value_and_no_longer_than_its_share_of_each_axis(shape: tuple[int, int, int]) -> None:
    image = torch.full((1, *shape), -1.0)
    longest = np.zeros(3, int)
    for seed in range(200):
        painted = painted_over(np.random.default_rng(seed), image, 0.25)
        box = (painted[0] >= 0).nonzero().numpy()
        sides = np.ptp(box, axis=0) + 1
        assert len(box) == np.prod(sides)
        assert len(painted[0][painted[0] >= 0].unique()) == 1
        longest = np.maximum(longest, sides)
    assert longest.tolist() == [max(1, shape[0] // 4), 4, 6]
    assert bool((image == -1).all())


def test_the_student_is_shown_the_harder_views_and_held_to_the_answers_for_the_easier_ones() -> None:
    teacher, student = random_network(ARCHITECTURE, 1), random_network(ARCHITECTURE, 2)
    batch = drawn(3)
    easier = batch.targets[SEEN_BY_TEACHERS]
    with torch.no_grad():
        term = Distillation([teacher], None, 1.0, 1.0)  # type: ignore[arg-type]
        found = term.loss(student, batch, torch.device("cpu"))
        answers = torch.softmax(teacher(easier), dim=1)
        logits = student(batch.inputs)
        expected = soft_divergence(logits, answers) + soft_dice(torch.softmax(logits, dim=1), answers)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(student(batch.inputs), student(easier))


def test_without_harder_views_the_student_sees_what_its_teachers_see() -> None:
    batch = drawn(0, StudentViews(are_harder=False))
    assert torch.equal(batch.inputs, views().images)
    assert not batch.targets
