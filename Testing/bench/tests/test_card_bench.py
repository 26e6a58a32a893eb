"""The parts of the measurement of cards, on the processor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from Testing.bench import cuda, mps
from Testing.bench.card import agreement as agreement_part
from Testing.bench.card import card_bench, engines, training_step
from Testing.bench.card.agreement import agreement
from Testing.bench.card.card_bench import DONE, INCOMPLETE, NO_CARD, Parts, is_complete, measure, words
from Testing.bench.card.device_clock import timed
from Testing.bench.card.training_step import nnunet_step, our_step
from Testing.bench.contender import MissingPackage
from Testing.bench.document import figures
from Testing.runtime.tiny_model import write_tiny_model

CPU = torch.device("cpu")
SHAPE = (6, 12, 12)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.mts.safetensors")


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    return load_model(path)


def image() -> dict[str, Volume]:
    voxels = np.random.default_rng(3).normal(100, 20, SHAPE).astype(np.float32)
    return {"noise": Volume(voxels, np.diag([2.0, 2.0, 2.0, 1.0]), "noise")}


@pytest.mark.parametrize(("kind", "main"), [("cuda", cuda.main), ("mps", mps.main)])
def test_without_a_card_it_says_so_and_the_exit_status_is_that_of_no_card(
    kind: str, main: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(card_bench, "_is_there", lambda kind: False)
    assert main([]) == NO_CARD == 3
    assert f"this computer has no {kind} device, so nothing was measured" in capsys.readouterr().err


def test_every_part_is_taken_or_says_why_not(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_bench, "ROUNDS", 1)
    monkeypatch.setattr(card_bench, "our_step", lambda *arguments: {"patches": 1, "patch_zyx": [16, 16, 16]})
    monkeypatch.setattr(card_bench, "nnunet_step", lambda *arguments: {})
    monkeypatch.setitem(card_bench.ENGINES, "monai", lambda *arguments: lambda voxels: voxels)

    def broken(*arguments: Any) -> Any:
        raise RuntimeError("CUDA error:\n no kernel image")

    monkeypatch.setitem(card_bench.ENGINES, "nnunet", broken)
    parts = Parts(600.0)
    measure(parts, model, CPU, ["float32", "bfloat16"], SHAPE)
    assert list(parts.found) == [
        "agreement float32", "agreement bfloat16", "inference ours float32", "inference ours bfloat16",
        "inference monai float32", "inference monai bfloat16", "training ours float32", "training nnunet float32",
        "training ours bfloat16", "training nnunet bfloat16",
    ]  # fmt: skip
    assert parts.could_not == {
        f"inference nnunet {p}": "RuntimeError: CUDA error: no kernel image" for p in ("float32", "bfloat16")
    }
    assert not is_complete(parts)


def test_nothing_is_begun_after_the_limit_and_that_is_said() -> None:
    seconds = iter([0.0, 10.0, 301.0])
    parts = Parts(300.0, lambda: next(seconds))
    assert parts.take("first", lambda: {"wall_s": 1.0}) == {"wall_s": 1.0}
    assert parts.take("second", lambda: pytest.fail("too late")) is None
    assert parts.could_not == {"second": "the 300 s were over before it began"}


def test_the_processor_agrees_with_itself_and_wrong_labels_and_verdicts_are_noticed(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    (same,) = agreement(model, CPU, "float32", image()).values()
    assert (same["agrees"], same["labels_alike"], same["score"]) == (True, 1.0, same["score_of_processor"])
    monkeypatch.setattr(ReducedBackend, "down", lambda self, level, x: -self._run(self._down[level], x))
    (other,) = agreement(model, CPU, "bfloat16", image()).values()
    assert other["score"] != other["score_of_processor"]
    assert not other["agrees"]
    monkeypatch.setitem(agreement_part.LEAST_ALIKE, "bfloat16", 0.0)
    (again,) = agreement(model, CPU, "bfloat16", image()).values()
    assert again["agrees"] is again["same_task_and_verdict"]


def test_a_precision_that_fails_does_not_pass_for_another_one(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr(ReducedBackend, "down", fail)
    run = engines.ours(model, model.manifest.tasks[0], CPU, "bfloat16")
    with pytest.raises(RuntimeError, match="bfloat16 failed"):
        run(image()["noise"].voxels)
    with pytest.raises(RuntimeError, match="bfloat16 failed"):
        agreement(model, CPU, "bfloat16", image())


def test_the_first_time_is_told_apart_from_the_others() -> None:
    calls: list[int] = []
    found = timed(lambda: calls.append(1), CPU, 3)
    assert len(calls) == 4
    assert found["least_s"] <= found["wall_s"] <= found["most_s"]
    assert found["peak_mb"] is None


def test_training_steps_of_both_are_taken_on_patches_of_one_size(tmp_path: Path) -> None:
    own = our_step(tmp_path, CPU, "float32", (12, 16, 16), 1)
    assert own["wall_s"] > 0
    assert own["patches"] == 4
    network, labels = torch.nn.Conv3d(1, 5, 3, padding=1), torch.zeros((1, 4, 4, 4), dtype=torch.int64)
    before = network.weight.detach().clone()
    training_step._step(network, torch.ones(1, 1, 4, 4, 4), labels, CPU, "bfloat16")()
    assert not torch.equal(network.weight, before)
    assert network.weight.dtype == torch.float32


def test_peers_that_are_not_installed_are_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_step.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="nnunetv2"):
        nnunet_step(CPU, "float32", 1, [16, 16, 16], 1)
    for name in ("monai", "nnunet"):
        with pytest.raises(MissingPackage, match=name):
            engines.ENGINES[name](model, model.manifest.tasks[0], CPU, "float32")


def test_the_whole_writes_what_it_found_and_its_exit_status_tells_whether_all_is_well(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(card_bench, "_is_there", lambda kind: True)
    monkeypatch.setattr(card_bench, "device_facts", lambda device: {"kind": "cuda", "name": "a card"})
    monkeypatch.setattr(card_bench, "hardware_precisions", lambda device: ())
    own = {"labels_alike": 0.5, "same_task_and_verdict": False, "agrees": False}
    ran: dict[str, Any] = {"wall_s": 1.0, "first_s": 2.0, "peak_mb": 3.0}

    def found(agrees: bool) -> Callable[..., None]:
        def parts_of(parts: Parts, *arguments: Any) -> None:
            parts.take("inference ours float32", lambda: ran)
            parts.take("agreement float32", lambda: {"synthetic": {**own, "agrees": agrees}})

        return parts_of

    for agrees, status in ((True, DONE), (False, INCOMPLETE)):
        monkeypatch.setattr(card_bench, "measure", found(agrees))
        assert cuda.main(["--model", str(path), "--json", str(tmp_path / "cuda.json")]) == status
    told = capsys.readouterr().out
    assert "a card" in told
    assert "1.000 s (first 2.00 s), 3 MB" in told
    assert "ANOTHER TASK OR VERDICT" in told
    written = json.loads((tmp_path / "cuda.json").read_text())
    assert written["found"]["inference ours float32"] == ran
    assert words({**written, "could_not": {"x": "y"}}).endswith("could not: x: y")


def test_the_page_has_a_table_for_each_card_and_says_which_was_not_measured(tmp_path: Path) -> None:
    machine = {
        "processor": "p",
        "torch_cpu_capability": "c",
        "cores": 1,
        "load_average": None,
        "threads": 0,
        "packages": {},
    }
    own = {"labels_alike": 0.99999, "same_task_and_verdict": True, "score": 1.0, "score_of_processor": 1.01}
    found = {
        "device": {"kind": "cuda", "name": "a card", "memory_gb": 24.0},
        "model": {"name": "m"},
        "volume_zyx": [1, 2, 3],
        "found": {
            "agreement float32": {"synthetic": own},
            "inference ours float32": {"wall_s": 0.5, "first_s": 2.0, "peak_mb": None},
        },
        "could_not": {"inference monai float32": "it is not installed"},
        "machine": machine,
    }
    (tmp_path / "cuda.json").write_text(json.dumps(found), encoding="utf-8")
    page = figures(tmp_path)
    assert "### Card: a card, 24.0 GB" in page
    assert "| inference | ours | float32 | 2.00 | 0.500 | not told |" in page
    assert "0.999990 of the labels, the same task and verdict (score 1.000, 1.010)" in page
    assert "could not be done: inference monai float32 (it is not installed)" in page
    assert "`python -m Testing.bench.mps` was not run yet" in page
    assert "Testing.bench.cuda` was not run" not in page
