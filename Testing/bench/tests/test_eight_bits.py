"""8 bits beside float32 and bfloat16: which parts, which images, what is said of them. NNCF is not needed here."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from MultiTaskSegLib.runtime.errors import ResourceError
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.model.model_file import load_model
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.network_stream import NetworkStream
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from Testing.bench.eight_bits import __main__ as bench
from Testing.bench.eight_bits import quantised_parts
from Testing.bench.eight_bits.behaviour import (
    FOREIGN,
    HELD_OUT,
    Behaviour,
    Look,
    behaviour,
    compared,
    remembering_predictor,
)
from Testing.bench.eight_bits.cost import pass_cpu_s
from Testing.bench.eight_bits.images import Images, calibration_cases
from Testing.bench.eight_bits.ladder import ladder, part_names, products, share
from Testing.bench.eight_bits.mixed_backend import MixedBackend, Recorder
from Testing.bench.eight_bits.quantised_parts import PartCompiler, part_modules
from Testing.bench.eight_bits.table import eight_bits_table
from Testing.runtime.tiny_model import ARCHITECTURE, tiny_network, write_tiny_model
from trainer.data.provenance import KEY, Provenance, record_generation
from trainer.layout.case import Case

CPU = torch.device("cpu")
VOXELS = np.random.default_rng(1).random((6, 12, 10), dtype=np.float32)
HEADS = (slice(0, 3), slice(3, 5))


@torch.inference_mode()
def logits(backend: Backend, channels: slice = HEADS[0]) -> Tensor:
    slabs = [backend.head(slab, channels) for slab in NetworkStream(backend, ARCHITECTURE, VOXELS, 500).decode()]
    return torch.cat(slabs, dim=1)


def test_a_step_keeps_what_the_verdict_needs_and_each_step_has_fewer_parts_in_8_bits_than_the_one_before() -> None:
    names = part_names(ARCHITECTURE, ["encoder0", "encoder1", "decoder0"])
    rungs = ladder(["encoder0"])
    counts = products(tiny_network(), TorchBackend(tiny_network(), CPU), HEADS[0])
    assert sorted(counts) == sorted(names)
    shares = [share(rung, counts) for rung in rungs]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert "encoder1.first" in rungs[3].parts(names), "no spectrum is drawn from it"
    assert not any(name.startswith("encoder") for name in ladder(["encoder0", "encoder1"])[3].parts(names))
    assert not any(name.startswith(("encoder0", "decoder0", "head")) for name in rungs[4].parts(names))


def test_products_of_a_part_are_counted_on_its_own_grid() -> None:
    network = tiny_network()
    counts = products(network, TorchBackend(network, CPU), HEADS[1])
    assert counts["encoder0.first"] == 1 * 4 * 27
    assert counts["encoder1.second"] == 6 * 6 * 27 / 8
    assert counts["down0"] == 4 * 6 * 8 / 8
    assert counts["up0"] == 4 * 6 / 8
    assert counts["head"] == 4 * 2


def test_parts_that_are_given_are_used_and_all_others_are_those_of_the_rest() -> None:
    plain = TorchBackend(tiny_network(), CPU)
    modules = part_modules(tiny_network(), plain, HEADS)
    mixed = MixedBackend("mixed", plain, plain, {name: torch.no_grad()(module) for name, module in modules.items()})
    for channels in HEADS:
        torch.testing.assert_close(logits(mixed, channels), logits(plain, channels), atol=1e-5, rtol=1e-4)
    wrong = MixedBackend("wrong", plain, plain, {"up0": lambda x: modules["up0"](x) + 1})
    assert float((logits(wrong) - logits(plain)).abs().max()) > 1e-3
    torch.testing.assert_close(logits(MixedBackend("none", plain, plain, {})), logits(plain))


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed")
def test_parts_with_the_channels_last_compute_what_plain_torch_computes(tmp_path: Path) -> None:
    plain = TorchBackend(tiny_network(), CPU)
    parts = PartCompiler(tmp_path, 1).floating(part_modules(tiny_network(), plain, HEADS), "f32")
    mixed = MixedBackend("compiled", plain, plain, parts)
    torch.testing.assert_close(logits(mixed), logits(plain), atol=1e-5, rtol=1e-4)


def test_of_each_image_one_input_of_each_part_is_kept() -> None:
    plain = TorchBackend(tiny_network(), CPU)
    recorder = Recorder(plain)
    for _ in range(2):
        torch.testing.assert_close(logits(recorder), logits(plain))
        recorder.end_image()
    names = part_names(ARCHITECTURE, ["encoder0", "encoder1", "decoder0"])
    assert sorted(recorder.seen) == sorted(names)
    assert all(len(inputs) == 2 for inputs in recorder.seen.values())
    modules = part_modules(tiny_network(), plain, HEADS)
    for name, inputs in recorder.seen.items():
        module = modules.get(name) or modules["head0"]
        module(*(torch.from_numpy(x) for x in inputs[0]))  # of the sizes that the part takes


def verdict(task: str, is_ood: bool, score: float = 1.0) -> Verdict:
    return Verdict(is_ood, score, 3.0, 0.5, task, {task: score})


def look(own: Verdict | None, log: float = 0.0, labels: Any = None) -> Look:
    family = FOREIGN if labels is None else HELD_OUT
    return Look(family, own, {"encoder0": np.array([1.0, log])}, "A" if labels is not None else "", labels)


def test_a_precision_is_accepted_where_dice_is_within_the_bound_and_no_verdict_is_another_one() -> None:
    truth = np.array([[[0, 1, 1, 2]]], dtype=np.uint8)
    one_off = np.array([[[0, 1, 2, 2]]], dtype=np.uint8)
    expected = Behaviour({"A": 0.9}, [look(verdict("A", False), 0.5, truth), look(verdict("B", True, 4.0))])
    own = Behaviour({"A": 0.898}, [look(verdict("A", False), 0.75, one_off), look(verdict("B", True, 5.0))])
    found = compared(own, expected, {"A": [1, 2]})
    assert found["is_accepted"]
    assert found["equal_labels"] == {"A": {"mean": 0.75, "least": 0.75}}
    assert found["dice_to_float32"]["A"]["least"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["log_spectrum_shift"] == {"encoder0": 0.25}
    assert found["score_ratio"] == 1.25
    nothing = look(verdict("A", False), labels=np.zeros((1, 1, 4), dtype=np.uint8))
    empty = compared(Behaviour({"A": 0.0}, [nothing]), Behaviour({"A": 0.0}, [nothing]), {"A": [1, 2]})
    assert empty["dice_to_float32"]["A"]["least"] == 1, "both have found nothing"
    assert found["verdicts"] == 2
    unseen = [*own.looks, look(None)], [*expected.looks, look(None)]
    assert compared(*(Behaviour({}, looks) for looks in unseen), {"A": [1, 2]})["verdicts"] == 2, "nothing was judged"
    assert not compared(Behaviour({"A": 0.8979}, own.looks), expected, {"A": [1, 2]})["is_accepted"]
    assert not compared(Behaviour({"A": 0.9021}, own.looks), expected, {"A": [1, 2]})["is_accepted"]


@pytest.mark.parametrize(
    "other", [verdict("B", False), verdict("A", True), None], ids=["other task", "foreign", "none"]
)
def test_an_image_that_is_judged_otherwise_forbids_a_precision(other: Verdict | None) -> None:
    found = compared(Behaviour({}, [look(other, 9.0)]), Behaviour({}, [look(verdict("A", False))]), {})
    assert not found["is_accepted"]
    assert found["differing_verdicts"][FOREIGN] == 1
    if other is None or other.nearest_task != "A":
        assert found["log_spectrum_shift"] == {}, "spectra on two grids say nothing about a precision"


def test_only_what_the_same_command_has_measured_on_the_same_machine_is_not_measured_again() -> None:
    machine = {"threads": 1, "load_average": [1.0], "packages": {"openvino": "1"}}
    found = {"command": "c", "commit": "a", "machine": machine, "rounds": 3}
    kept = found | {"machine": machine | {"load_average": [9.0]}, "cost": {"a": 1}, "precisions": {}, "accepted": []}
    assert bench.measured_before(kept, found) == {"cost": {"a": 1}, "precisions": {}}
    assert bench.measured_before({}, found) == {}
    for other in ({"command": "d"}, {"commit": "b"}, {"rounds": 2}, {"machine": machine | {"threads": 2}}):
        assert bench.measured_before(kept | other, found) == {}


def test_a_file_that_is_whole_already_keeps_what_is_concluded(tmp_path: Path) -> None:
    own = bench._Bench.__new__(bench._Bench)
    own._options = SimpleNamespace(json=tmp_path / "f.json")  # type: ignore[assignment]
    own._found = {"precisions": {"every layer": {"is_accepted": True}}, "cost": {"to_bfloat16": {"every layer": 0.9}}}
    own.measure_cost()
    written = json.loads((tmp_path / "f.json").read_text())
    assert (written["accepted"], written["accepted_and_cheaper"]) == (["every layer"], [])


def test_what_is_accepted_is_worth_it_only_where_it_spares_enough() -> None:
    names = {"float32": True, "bfloat16, torch": True, "cheap": True, "wrong": False, "dear": True}
    found = {
        "precisions": {name: {"is_accepted": accepted} for name, accepted in names.items()},
        "cost": {"to_bfloat16": {"cheap": 0.85, "wrong": 0.5, "dear": 0.86}},
    }
    assert bench.conclusion(found) == {"accepted": ["cheap", "dear"], "accepted_and_cheaper": ["cheap"]}


def test_ranges_are_learnt_from_patients_of_the_training_alone(tmp_path: Path) -> None:
    cases = [Case(f"c{n}", tmp_path / f"{n}.nii.gz", None, f"patient{n}") for n in range(6)]
    dataset: Any = SimpleNamespace(name="D", cases=tuple(cases))
    generation = record_generation("m", {"D": cases[:4]}, {}, {"D": cases[4:]})
    manifest: Any = SimpleNamespace(name="m", tasks=(), training={KEY: Provenance((generation,)).as_list()})
    assert {case.name for case in calibration_cases(manifest, dataset, 9)} == {"c0", "c1", "c2", "c3"}


def test_a_back_end_that_fails_is_not_measured_as_plain_torch(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mts.safetensors"
    write_tiny_model(path)
    model = load_model(path)
    plain = TorchBackend(model.network, CPU)

    def broken(_x: Tensor) -> Tensor:
        raise RuntimeError("broken")

    task = model.manifest.tasks[0]
    assert pass_cpu_s(plain, model, task, VOXELS) >= 0
    with pytest.raises(ResourceError, match="plain torch"):
        pass_cpu_s(MixedBackend("m", plain, plain, {"up0": broken}), model, task, VOXELS)


def test_float32_beside_itself_differs_in_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tiny.mts.safetensors"
    write_tiny_model(path)
    model = load_model(path)
    volume = SimpleNamespace(load=lambda: (ball(), None))
    entries: Any = [volume]
    images = Images({}, entries, [ball()])
    told: list[str] = []
    plain = TorchBackend(model.network, CPU)
    runs = [behaviour(remembering_predictor(model, plain), images, told.append) for _ in "ab"]
    found = compared(runs[0], runs[1], {})
    assert found["is_accepted"]
    assert found["verdicts"] == 2
    assert set(found["log_spectrum_shift"].values()) == {0.0}
    assert told == ["spoilt", "foreign"] * 2


def ball() -> Volume:
    return Volume(VOXELS, np.diag([2.0, 2.0, 2.0, 1.0]))


def test_without_nncf_a_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantised_parts, "find_spec", lambda name: None if name == "nncf" else object())
    assert bench.main(["-m", "m", "--data", "d", "--json", str(tmp_path / "f.json")]) == 2
    assert "pip install nncf" in capsys.readouterr().err
    assert not (tmp_path / "f.json").exists()


def test_the_table_says_which_steps_are_accepted_and_whether_they_are_worth_it() -> None:
    same = compared(Behaviour({"A": 0.9}, []), Behaviour({"A": 0.9}, []), {})
    costs = {"float32": 1.0, "bfloat16, torch": 0.5, "every layer": 0.4, "every layer, rest in bfloat16": 0.4}
    found: dict[str, Any] = {
        "model": {"name": "m"}, "volume_zyx": [1, 2, 3], "calibration_images": 4, "rounds": 1,
        "instructions": ["AVX512-VNNI"],
        "images": {"held_out": {"A": 2}, "spoilt": 1, "foreign": 3}, "share_in_8_bits": {"every layer": 1.0},
        "cost": {"cheaper_bfloat16": "bfloat16, torch", "to_float32": costs, "to_bfloat16": costs},
        "precisions": {
            "float32": same, "bfloat16, torch": same, "every layer": same | {"is_accepted": False},
        },
    }  # fmt: skip
    text = "\n".join(eight_bits_table(found | {"accepted": [], "accepted_and_cheaper": []}))
    assert "No step is accepted." in text
    assert "Not measured" not in text
    unfinished = found | {"share_in_8_bits": {"every layer": 1.0, "another": 0.5}, "accepted": []}
    assert "Not measured: another." in "\n".join(eight_bits_table(unfinished | {"accepted_and_cheaper": []}))
    accepted = {"accepted": ["every layer"], "accepted_and_cheaper": []}
    assert "none of them spares 15 % of what bfloat16 takes" in "\n".join(eight_bits_table(found | accepted))
    worth = {"accepted": ["every layer"], "accepted_and_cheaper": ["every layer"]}
    assert "spare 15 % or more of what bfloat16 takes: every layer" in "\n".join(eight_bits_table(found | worth))
