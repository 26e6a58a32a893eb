"""Pretext tasks: what is done to an image can be undone by who knows the answer, and the losses have closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.network.architecture import Architecture, SegmentationNetwork
from Testing.trainer.pretraining.pretext_sample import PLANAR, SHAPES, SOLID, views
from trainer.pretraining.pretext.catalogue import PRETEXTS, pretexts_named
from trainer.pretraining.pretext.classification import Classification
from trainer.pretraining.pretext.contrastive import nt_xent
from trainer.pretraining.pretext.denoising import Denoising
from trainer.pretraining.pretext.inpainting import Inpainting
from trainer.pretraining.pretext.orientation import Orientation, turn
from trainer.pretraining.pretext.pretext import PretextTask
from trainer.pretraining.pretext.reconstruction import unexplained_variance
from trainer.pretraining.pretext.relative_position import RelativePosition
from trainer.training.weight_standardization import initialize, standardize_weights

TASKS: list[PretextTask] = [*PRETEXTS.values(), Classification(2)]
BOTH = pytest.mark.parametrize("architecture", [PLANAR, SOLID], ids=["2-D", "3-D"])


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


class Answer(nn.Module):
    """A head that says what it was told, whatever the network found."""

    layer = "encoder2"

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, features: Tensor) -> Tensor:
        return self.answer


MAPS = {"decoder0": torch.zeros(1), "encoder2": torch.zeros(1)}


@BOTH
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_batch_is_made_again_from_its_number_and_fits_the_network(
    task: PretextTask, architecture: Architecture
) -> None:
    sample = views(architecture)
    first, again, other = (task.draw(rng(seed), sample, architecture) for seed in (1, 1, 2))
    assert torch.equal(first.inputs, again.inputs)
    assert all(torch.equal(first.targets[name], again.targets[name]) for name in first.targets)
    assert torch.equal(sample.images, views(architecture).images)  # the views themselves are left alone
    random = task.name not in ("contrastive", "classification")
    assert torch.equal(first.inputs, other.inputs) is not random
    strides = architecture.total_stride
    assert all(n % s == 0 for n, s in zip(first.inputs.shape[2:], strides, strict=True))
    assert float(first.inputs.min()) >= 0
    assert float(first.inputs.max()) <= 1


@BOTH
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_network_and_head_learn_one_batch_by_heart(task: PretextTask, architecture: Architecture) -> None:
    network = SegmentationNetwork(architecture)
    initialize(network, torch.Generator().manual_seed(0))
    head = task.head(architecture, torch.Generator().manual_seed(1))
    batch = task.draw(rng(), views(architecture), architecture)
    optimizer = torch.optim.Adam([*network.parameters(), *head.parameters()], lr=5e-3)
    losses = []
    for _ in range(60):
        maps = network.features(batch.inputs)
        needed = maps if task.needs_decoder else {k: v for k, v in maps.items() if k.startswith("encoder")}
        loss = task.loss(head, needed, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.75 * losses[0]


def test_the_first_weights_of_a_head_come_from_the_generator_alone() -> None:
    for task in TASKS:
        same = [task.head(PLANAR, torch.Generator().manual_seed(5)).state_dict() for _ in range(2)]
        other = task.head(PLANAR, torch.Generator().manual_seed(6)).state_dict()
        assert all(torch.equal(same[0][name], same[1][name]) for name in other)
        assert any(not torch.equal(same[0][name], other[name]) for name in other)


@BOTH
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_first_answer_is_not_far_worse_than_i_do_not_know(task: PretextTask, architecture: Architecture) -> None:
    network = SegmentationNetwork(architecture)
    initialize(network, torch.Generator().manual_seed(0))
    standardize_weights(network)
    head = task.head(architecture, torch.Generator().manual_seed(1))
    batch = task.draw(rng(), views(architecture), architecture)
    with torch.no_grad():
        loss = float(task.loss(head, network.features(batch.inputs), batch))
    # Black instead of the mean is 3 for noise that is uniform in [0, 1], on top of the 1 for the mean.
    clueless = {"denoising": 4, "inpainting": 4, "classification": np.log(2), "contrastive": np.log(7)}
    assert loss < 1.5 * clueless.get(task.name, np.log(18))


@pytest.mark.parametrize("task", [Denoising(), Inpainting()], ids=lambda task: task.name)
def test_beside_an_image_nothing_is_spoilt(task: PretextTask) -> None:
    sample = views(PLANAR)
    sample.inside[..., 16:] = False
    sample.images[..., 16:] = 0.0
    batch = task.draw(rng(), sample, PLANAR)
    assert float(batch.inputs[..., 16:].abs().max()) == 0.0
    assert float((batch.inputs - sample.images)[..., :16].abs().max()) > 0.05


def test_unexplained_variance_is_0_for_the_truth_and_1_for_its_mean() -> None:
    truth = views(SOLID).images
    assert float(unexplained_variance(truth, truth)) == 0
    assert float(unexplained_variance(truth.mean().expand_as(truth), truth)) == pytest.approx(1, rel=1e-5)
    assert float(unexplained_variance(5 * truth.mean().expand_as(truth), 5 * truth)) == pytest.approx(1, rel=1e-5)


@BOTH
def test_denoising_asks_for_the_clean_image(architecture: Architecture) -> None:
    task, sample = Denoising(shrink=1.0), views(architecture)
    batch = task.draw(rng(), sample, architecture)
    assert not torch.allclose(batch.inputs, sample.images, atol=0.05)
    assert float(task.loss(Answer(sample.images), MAPS, batch)) == 0
    assert float(task.loss(Answer(batch.inputs), MAPS, batch)) > 0.01


@BOTH
def test_inpainting_changes_and_judges_the_holes_alone(architecture: Architecture) -> None:
    task, sample = Inpainting(), views(architecture, images=16)
    batch = task.draw(rng(), sample, architecture)
    holes = batch.targets["holes"]
    assert torch.equal(batch.inputs[~holes], sample.images[~holes])
    assert bool(holes.flatten(1).any(dim=1).all())
    assert float(holes.float().mean()) == pytest.approx(task.masked_share, abs=0.1)
    mean = sample.images.mean(dim=(2, 3, 4), keepdim=True).expand_as(sample.images)
    assert torch.equal(batch.inputs[holes], mean[holes])
    wrong_outside = torch.where(holes, sample.images, torch.full_like(mean, 9.0))
    assert float(task.loss(Answer(wrong_outside), MAPS, batch)) == 0
    assert float(task.loss(Answer(batch.inputs), MAPS, batch)) == pytest.approx(1, abs=0.1)


def test_an_image_without_a_hole_gets_one() -> None:
    batch = Inpainting(masked_share=0.0).draw(rng(), views(PLANAR), PLANAR)
    assert batch.targets["holes"].flatten(1).any(dim=1).all()


def test_quarter_turns_are_undone_by_the_rest_of_the_circle_and_turns_upside_down_by_themselves() -> None:
    image = views(SOLID).images[0][..., :24]
    for number in range(4):
        assert torch.equal(turn(turn(image, number), (4 - number) % 4), image)
        assert torch.equal(turn(turn(image, 4 + number), 4 + number), image)
    turned = [turn(image, number) for number in range(8)]
    assert all(not torch.equal(a, b) for i, a in enumerate(turned) for b in turned[:i])


def test_every_turn_is_a_proper_rotation() -> None:
    # Images of the coordinates: where they go is the matrix of the turn.
    grid = torch.stack(torch.meshgrid(*[torch.arange(5.0) - 2] * 3, indexing="ij"))
    for number in range(8):
        turned = torch.stack([turn(axis[None], number)[0] for axis in grid])
        matrix = torch.stack([turned[:, 3, 2, 2], turned[:, 2, 3, 2], turned[:, 2, 2, 3]], dim=1)
        assert float(torch.det(matrix)) == pytest.approx(1)


@BOTH
def test_orientation_tells_the_turn_that_was_made(architecture: Architecture) -> None:
    sample = views(architecture, images=12)
    batch = Orientation().draw(rng(), sample, architecture)
    height = SHAPES[architecture][1]
    middle = sample.images[..., (SHAPES[architecture][2] - height) // 2 :][..., :height]
    for image, before, answer in zip(batch.inputs, middle, batch.targets["turn"], strict=True):
        assert torch.equal(image, turn(before, int(answer)))
    assert int(batch.targets["turn"].max()) == (7 if architecture is SOLID else 3)


@BOTH
def test_tiles_put_back_where_they_came_from_make_the_image_again(architecture: Architecture) -> None:
    task, sample = RelativePosition(), views(architecture)
    batch = task.draw(rng(), sample, architecture)
    for image, before, order in zip(batch.inputs, sample.images, batch.targets["origin"], strict=True):
        back = task.shuffle(image, np.argsort(order.numpy()), architecture)
        visible = back > 0
        assert torch.equal(back[visible], before[visible])
        assert 0.5 < float(visible.float().mean()) < 0.95  # gaps are blank
    truth = nn.functional.one_hot(batch.targets["origin"]).transpose(1, 2).float()
    assert float(task.loss(Answer(50 * truth), MAPS, batch)) < 1e-6
    assert float(task.loss(Answer(0 * truth), MAPS, batch)) == pytest.approx(np.log(truth.shape[1]), rel=1e-5)


def test_nt_xent_is_the_formula_of_the_paper() -> None:
    vectors = torch.randn((6, 5), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = vectors.numpy()

    def similarity(i: int, j: int) -> float:
        cosine = values[i] @ values[j] / np.linalg.norm(values[i]) / np.linalg.norm(values[j])
        return float(np.exp(cosine / 0.3))

    pairs = [(0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2)]
    terms = [-np.log(similarity(i, j) / sum(similarity(i, k) for k in range(6) if k != i)) for i, j in pairs]
    assert float(nt_xent(vectors, 0.3)) == pytest.approx(float(np.mean(terms)), rel=1e-9)


def test_images_without_a_class_do_not_count() -> None:
    task = Classification(2)
    batch = task.draw(rng(), views(PLANAR), PLANAR)
    right = torch.tensor([[9.0, -9.0], [-9.0, 9.0], [0.0, 0.0], [-3.0, 3.0]])
    assert float(task.loss(Answer(right), MAPS, batch)) < 1e-6
    nobody = views(PLANAR)
    nobody.categories.fill_(-1)
    assert float(task.loss(Answer(right), MAPS, task.draw(rng(), nobody, PLANAR))) == 0


def test_tasks_are_chosen_by_name() -> None:
    assert [task.name for task in pretexts_named(())] == list(PRETEXTS)
    assert len(PRETEXTS) == 5
    assert [task.name for task in pretexts_named(("contrastive", "denoising"))] == ["contrastive", "denoising"]
    for names in (("denoise",), ("denoising", "denoising")):
        with pytest.raises(UsageError, match=r"denois|twice"):
            pretexts_named(names)
