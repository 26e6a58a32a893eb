"""What becomes of a lower precision in a run: told in the report, and replaced by float32 where it fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.network import backend_choice
from MultiTaskSegLib.runtime.network.backend import TorchBackend
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from MultiTaskSegLib.runtime.predictor import Predictor
from Testing.runtime.model.test_precision_info import figures, info
from Testing.runtime.prediction.placed_model import noise, placed_model, profile

MODEL = placed_model(noise(), {"near": (profile(2.0), 2.0), "other": (profile(2.2), 4.0)})
CPU = torch.device("cpu")


class Breaking(ReducedBackend):
    """In bfloat16, until some stages have been computed."""

    def __init__(self, stages: int, failure: Exception | None) -> None:
        super().__init__(TorchBackend(MODEL.network, CPU), "bfloat16")
        self.left, self.failure = stages, failure

    def first(self, stage: str, window: Tensor, pad_z: bool) -> Tensor:
        """Fail, or compute nonsense, when the time has come."""
        self.left -= 1
        if self.left >= 0:
            return super().first(stage, window, pad_z)
        if self.failure is not None:
            raise self.failure
        return super().first(stage, window, pad_z) * float("nan")


def test_a_report_tells_the_precision() -> None:
    reduced = ReducedBackend(TorchBackend(MODEL.network, CPU), "bfloat16")
    assert Predictor(MODEL, "cpu", reduced).segment(noise()).report()["precision"] == "bfloat16"
    assert Predictor(MODEL, "cpu", "torch").segment(noise()).report()["precision"] == "float32"


@pytest.mark.parametrize("stages", [0, 1, 4], ids=["at once", "within the check", "within the labels"])
@pytest.mark.parametrize(
    "failure",
    [RuntimeError("driver says no"), MemoryError(), None],
    ids=["it breaks off", "its memory does not suffice", "its numbers are no numbers"],
)
@pytest.mark.parametrize("task", ["auto", "near"])
def test_where_it_fails_in_the_middle_float32_takes_over_with_a_word_and_the_result_is_the_same(
    stages: int, failure: Exception | None, task: str
) -> None:
    expected = Predictor(MODEL, "cpu", "torch").segment(noise(), task)
    found = Predictor(MODEL, "cpu", Breaking(stages, failure)).segment(noise(), task)
    assert found.report()["precision"] == "float32"
    assert any("torch-bfloat16 failed, so plain torch was used" in warning for warning in found.warnings)
    assert found.task == expected.task
    # Where the check was over, its maps and scores are those of the lower precision.
    assert np.mean(found.labels != expected.labels) <= 0.01
    if stages < 2:
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.checked.score == expected.checked.score


def test_a_model_file_permits_what_its_figures_permit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_choice, "hardware_precisions", lambda device: ("bfloat16", "float16"))
    monkeypatch.setattr(backend_choice, "available_bytes", lambda: None)
    monkeypatch.delenv(backend_choice.VARIABLE, raising=False)
    offered: list[str] = []
    monkeypatch.setattr(
        backend_choice,
        "_fastest",
        lambda plain, candidates, network: offered.extend(candidates) or plain,  # type: ignore[func-returns-value]
    )
    monkeypatch.setattr(backend_choice, "_remembered", lambda memory: {})
    monkeypatch.setattr(backend_choice, "_remember", lambda *arguments: None)
    monkeypatch.setattr(backend_choice, "is_openvino_usable", lambda: False)
    tasks = [task.name for task in MODEL.manifest.tasks]
    block = info(figures(tasks), figures(tasks, precision="float16", differing_verdicts=1))
    for precision, expected in ((None, []), (block, ["torch-bfloat16"])):
        offered.clear()
        model = replace(MODEL, manifest=replace(MODEL.manifest, precision=precision))
        assert Predictor(model, "cpu").backend.name == "torch"
        assert offered == expected
