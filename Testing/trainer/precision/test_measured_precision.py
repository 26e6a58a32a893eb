"""What a lower precision costs: nothing where nothing differs, and a refusal for each thing that does."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor

from MultiTaskSegLib.runtime.errors import DatasetError, InputError, ResourceError
from MultiTaskSegLib.runtime.model.model_file import load_model, read_manifest, rewrite_manifest
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from Testing.runtime.model.test_precision_info import figures, info
from Testing.trainer.synthetic_dataset import BallDataset
from trainer import cli
from trainer.config import TrainingConfig
from trainer.data.provenance import Provenance
from trainer.ood.catalogue import ARTEFACT, KNOWN, Entry
from trainer.precision import measured_precision
from trainer.precision.measured_precision import Behaviour, Images, compared, measure_precisions
from trainer.refitting.descent import described, refitted
from trainer.training.train_model import train_model
from trainer.training.training import Budget

CONFIG = TrainingConfig(
    seed=1, channels=(4, 6), patches_per_group=2, groups_per_step=1, patch_voxels=1024, workers=0, warmup_steps=2,
    validations=0, minimum_validation_groups=2, threads=1, learning_rate=1e-2, ema_decay=0.8, precision="float32",
)  # fmt: skip
BALLS = BallDataset("Dataset001_BallT1", shape=(6, 12, 12), label_values=(2,))
OTHER = BallDataset("Dataset009_Other", shape=(8, 10, 10), patients=2, person="other")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [dataset.write(tmp_path_factory.mktemp("data")) for dataset in (BALLS, OTHER)]


@pytest.fixture(scope="module")
def trained(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "balls.mts.safetensors"
    train_model(folders[:1], path, CONFIG, Budget(steps=10), stream=io.StringIO())
    return path


@pytest.fixture(autouse=True)
def _few_artefacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each known image two faults are enough."""
    plain = measured_precision.catalogue

    def few(*arguments: Any) -> list[Entry]:
        """Without most of them."""
        return [e for e in plain(*arguments) if e.family != ARTEFACT or e.source in ("noise", "blur")]

    monkeypatch.setattr(measured_precision, "catalogue", few)


def test_the_block_holds_the_dice_of_the_file_and_every_image_that_was_checked(
    trained: Path, folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "measured.mts.safetensors"
    arguments = ["precision", "-m", str(trained), "--data", *map(str, folders), "-o", str(output)]
    assert cli.main([*arguments, "--precision", "float16"]) == 0
    manifest, _ = read_manifest(output)
    before, digest = read_manifest(trained)
    # What was measured with the file before, in float32, holds for this one.
    assert replace(manifest, precision=None) == described(before, digest)
    assert manifest.precision is not None
    (own,) = manifest.precision.measured
    (task,) = before.tasks
    assert own.precision == "float16"
    assert own.dice_float32[task.name] == pytest.approx(
        sum(task.held_out_dice.values()) / len(task.held_out_dice), abs=1e-4
    )
    assert own.dice[task.name] == pytest.approx(own.dice_float32[task.name], abs=0.02)
    assert own.images == task.held_out_cases + 2 + 2 * 3, "held-out, left-out, and one spoilt by two faults"
    told = capsys.readouterr().out
    assert ("permitted" in told) is own.is_permitted
    assert f"{own.dice[task.name]:.4f}" in told


def test_new_patients_whom_the_dice_was_measured_on_are_known_afterwards(
    trained: Path, folders: list[Path], tmp_path: Path
) -> None:
    more, output = replace(BALLS, patients=7).write(tmp_path), tmp_path / "measured.mts.safetensors"
    assert not Provenance.of(read_manifest(trained)[0]).knows("patient_6")
    measure_precisions(trained, [more, folders[1]], output, precisions=["bfloat16"], stream=io.StringIO())
    after = Provenance.of(read_manifest(output)[0])
    assert (after.knows("patient_6"), after.saw("patient_6")) == (True, False)


def test_a_precision_that_computes_something_else_is_published_and_left_out(
    trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = ReducedBackend.down
    monkeypatch.setattr(ReducedBackend, "down", lambda self, level, x: -down(self, level, x))
    output = tmp_path / "measured.mts.safetensors"
    manifest = measure_precisions(trained, folders, output, precisions=["bfloat16"], stream=io.StringIO())
    assert manifest.precision is not None
    assert manifest.precision.measured[0].shortfall
    assert load_model(output).manifest.permitted_precisions == ()


def test_a_precision_that_fails_is_not_measured_by_its_substitute(
    trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ReducedBackend, level: int, x: Tensor) -> Tensor:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(ReducedBackend, "down", fail)
    with pytest.raises(ResourceError, match="bfloat16 failed"):
        measure_precisions(trained, folders, tmp_path / "m", precisions=["bfloat16"], stream=io.StringIO())


def test_a_computer_without_lower_precisions_says_so(
    trained: Path, folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured_precision, "hardware_precisions", lambda device: ())
    with pytest.raises(ResourceError, match="no instructions"):
        measure_precisions(trained, folders, tmp_path / "m", stream=io.StringIO())
    with pytest.raises(DatasetError, match="no folder for Dataset001_BallT1"):
        measure_precisions(trained, folders[1:], tmp_path / "m", precisions=["bfloat16"], stream=io.StringIO())


def verdict(score: float, *, is_ood: bool = False, task: str = "a") -> Verdict:
    return Verdict(is_ood, score, 2.0, 0.5, task, {task: score})


def test_figures_count_what_differs_and_separate_known_from_foreign() -> None:
    entries = [SimpleNamespace(family=family) for family in (KNOWN, KNOWN, ARTEFACT, ARTEFACT, ARTEFACT)]
    images = Images({}, entries)  # type: ignore[arg-type]
    scores = [1.0, 1.2, 1.1, 3.0]
    expected = Behaviour({"a": 0.8}, {n: verdict(score, is_ood=score > 2) for n, score in enumerate(scores)})
    found = Behaviour({"a": 0.7}, dict(expected.verdicts))
    same = compared("bfloat16", "torch", images, found, expected)
    assert (same.images, same.differing_verdicts, same.auroc, same.auroc_float32) == (4, 0, 0.75, 0.75)
    assert (same.dice, same.dice_float32) == ({"a": 0.7}, {"a": 0.8})
    found.verdicts[2] = verdict(2.5, is_ood=True)
    found.verdicts[0] = verdict(1.0, task="b")
    del found.verdicts[1]
    other = compared("bfloat16", "torch", images, found, expected)
    assert other.differing_verdicts == 3
    assert other.auroc == 1.0


def test_an_image_that_shows_nothing_in_either_precision_is_not_counted() -> None:
    class Blind:
        """Sees nothing."""

        def check(self, volume: object) -> Verdict:
            raise InputError("the image is constant")

    entry = SimpleNamespace(family=KNOWN, load=lambda: (None, None))
    done: list[int] = []
    found = measured_precision.behaviour(Blind(), Images({}, [entry]), lambda: done.append(1))  # type: ignore[arg-type,list-item]
    assert (found.verdicts, done) == ({}, [1])


def test_a_refit_takes_the_block_out_and_a_description_leaves_it(trained: Path, tmp_path: Path) -> None:
    manifest, digest = read_manifest(trained)
    block = info(figures([task.name for task in manifest.tasks]))
    rewrite_manifest(trained, replace(manifest, precision=block), tmp_path / "m.mts.safetensors")
    measured, _ = read_manifest(tmp_path / "m.mts.safetensors")
    assert measured.precision == block
    assert refitted(measured, digest).precision is None
    assert described(measured, digest).precision == block
