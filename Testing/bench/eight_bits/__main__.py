"""8 bits beside float32 and bfloat16: ``python -m Testing.bench.eight_bits -m MODEL --data DIR... --json FILE``.

Needs OpenVINO and NNCF. What is in FILE of the same model, command, commit and machine is not measured again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from MultiTaskSegLib.runtime.errors import DatasetError, MtsError, ResourceError
from MultiTaskSegLib.runtime.image.preparation import prepare
from MultiTaskSegLib.runtime.machine.atomic_file import atomic_path
from MultiTaskSegLib.runtime.model.model_file import Model, load_model
from MultiTaskSegLib.runtime.network.backend import Backend, TorchBackend
from MultiTaskSegLib.runtime.network.reduced_backend import ReducedBackend
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass, Wanted
from Testing.bench.contender import MissingPackage
from Testing.bench.eight_bits.behaviour import Behaviour, behaviour, compared, remembering_predictor
from Testing.bench.eight_bits.cost import ratio, rounds
from Testing.bench.eight_bits.images import Counts, Images, calibration_cases, chosen_images
from Testing.bench.eight_bits.ladder import Rung, ladder, products, share
from Testing.bench.eight_bits.mixed_backend import MixedBackend, Part, Recorder
from Testing.bench.eight_bits.quantised_parts import PartCompiler, part_modules, require_packages
from Testing.bench.labelled_image import synthetic_voxels
from trainer.data.dataset import Dataset, read_datasets
from trainer.report.origin import origin

PROGRAM = "python -m Testing.bench.eight_bits"
FLOAT32, TORCH_BFLOAT16, OPENVINO_BFLOAT16 = "float32", "bfloat16, torch", "bfloat16, OpenVINO"
BFLOAT16 = (TORCH_BFLOAT16, OPENVINO_BFLOAT16)
REST = ", rest in bfloat16"
LEAST_GAIN = 0.15
"""Share of bfloat16's CPU seconds that 8 bits must spare, or they are not worth a back end."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON after each precision; the exit code."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        require_packages()
        model = load_model(options.model)
        datasets = read_datasets(options.data, several=True)
        bench = _Bench(options, arguments, model, datasets)
        bench.measure_cost()
        bench.measure_behaviour()
    except (MissingPackage, MtsError) as error:
        sys.stderr.write(f"Testing.bench.eight_bits: {error}\n")
        return 2
    return 0


class _Bench:
    def __init__(
        self, options: argparse.Namespace, arguments: list[str] | None, model: Model, datasets: list[Dataset]
    ) -> None:
        self._options, self._model = options, model
        manifest = model.manifest
        names = [task.name for task in manifest.tasks]
        if strange := [dataset.name for dataset in datasets if dataset.name not in names]:
            raise DatasetError(
                f"{', '.join(strange)} is none of the model's tasks", remedy=f"Give some of {', '.join(names)}"
            )
        self._tasks = [manifest.task(dataset.name) for dataset in datasets]
        self._plain = TorchBackend(model.network, torch.device("cpu"))
        self._rungs = ladder(manifest.ood.layers)
        self._images: Images = chosen_images(
            manifest, datasets, options.foreign, Counts(options.images, options.spoilt, options.foreign_images)
        )
        self._backends, self._eight = self._made(datasets)
        counts = products(model.network, self._plain, self._tasks[0].channels)
        facts = {
            "model": {"name": manifest.name, "sha256": model.digest},
            "task": self._tasks[0].name,
            "volume_zyx": options.volume,
            "rounds": options.rounds,
            "instructions": instructions(),
            "calibration_images": options.calibration * len(datasets),
            "images": {
                "held_out": {name: len(cases) for name, (_, cases) in self._images.held_out.items()},
                "spoilt": len(self._images.spoilt),
                "foreign": len(self._images.foreign),
            },
            "share_in_8_bits": {rung.name: round(share(rung, counts), 4) for rung in self._rungs},
        }
        self._found: dict[str, Any] = origin(PROGRAM, arguments, options.threads) | facts
        kept = json.loads(options.json.read_text("utf-8")) if options.json.exists() else {}
        self._found |= measured_before(kept, self._found)
        self._found.setdefault("precisions", {})

    def _made(self, datasets: list[Dataset]) -> tuple[dict[str, Backend], dict[str, Part]]:
        """The back ends in floating point, and all parts in 8 bits."""
        options, plain = self._options, self._plain
        names = hashlib.sha256("\n".join(dataset.name for dataset in datasets).encode()).hexdigest()
        folder = options.work / f"{self._model.digest[:12]}-{options.calibration}-{names[:12]}"
        compiler = PartCompiler(folder, options.threads)
        modules = part_modules(self._model.network, plain, [task.channels for task in self._tasks])
        _tell("ranges of values, on images of the training")
        seen = {} if (folder / "done").exists() else self._recorded(datasets).seen
        _tell(f"{len(modules)} parts in 8 bits")
        eight = compiler.eight_bits(modules, seen)
        (folder / "done").touch()
        made: dict[str, Backend] = {
            FLOAT32: plain,
            TORCH_BFLOAT16: ReducedBackend(plain, "bfloat16"),
        }
        rest = made[TORCH_BFLOAT16]
        floating = compiler.floating({n: m for n, m in modules.items() if not n.startswith("head")}, "bf16")
        made[OPENVINO_BFLOAT16] = MixedBackend(OPENVINO_BFLOAT16, plain, rest, floating)
        return made, eight

    def _recorded(self, datasets: list[Dataset]) -> Recorder:
        recorder = Recorder(self._plain)
        architecture, spec = self._model.manifest.architecture, self._model.reference.spec
        for dataset, task in zip(datasets, self._tasks, strict=True):
            for case in calibration_cases(self._model.manifest, dataset, self._options.calibration):
                _tell(case.name)
                prepared = prepare(case.read_image(), task.profile)
                wanted = Wanted(task, prepared.canonical_shape)
                stem = self._model.manifest.stem(task)
                NetworkPass(recorder, architecture, spec).encode(prepared.voxels, _ignore, wanted=wanted, stem=stem)
                recorder.end_image()
        return recorder

    def _mixed(self, rung: Rung, rest: Backend, suffix: str = "") -> MixedBackend:
        parts = {name: self._eight[name] for name in rung.parts(self._eight)}
        return MixedBackend(rung.name + suffix, self._plain, rest, parts)

    def measure_cost(self) -> None:
        """CPU seconds of everything in turns; what is kept in bfloat16 is computed by the cheaper of its two ways."""
        if "cost" not in self._found:
            voxels = synthetic_voxels(tuple(self._options.volume))
            run = partial(rounds, model=self._model, task=self._tasks[0], voxels=voxels)
            trial = run({name: self._backends[name] for name in BFLOAT16}, count=1)
            cheaper = min(BFLOAT16, key=lambda name: trial[name][0])
            backends = dict(self._backends)
            for rung in self._rungs:
                backends[rung.name] = self._mixed(rung, self._plain)
                backends[rung.name + REST] = self._mixed(rung, self._backends[cheaper], REST)
            _tell(f"cost of {len(backends)} back ends")
            runs = run(backends, count=self._options.rounds)
            self._found["cost"] = summary(runs)
        self._write()

    def measure_behaviour(self) -> None:
        """Labels and verdicts: kept parts in float32, and where that is accepted, in bfloat16, too."""
        values = {task.name: [label.value for label in task.labels] for task in self._tasks}
        cheaper, done = self._found["cost"]["cheaper_bfloat16"], self._found["precisions"]
        expected = self._behaviour(FLOAT32, self._plain)
        done[FLOAT32] = compared(expected, expected, values)
        waiting: list[tuple[str, Backend]] = [(cheaper, self._backends[cheaper])]
        waiting += [(rung.name, self._mixed(rung, self._plain)) for rung in reversed(self._rungs)]
        for name, backend in waiting:
            self._add(name, backend, expected, values)
        for rung in self._rungs:
            if done[rung.name]["is_accepted"]:
                self._add(rung.name + REST, self._mixed(rung, self._backends[cheaper], REST), expected, values)
        self._write()

    def _add(self, name: str, backend: Backend, expected: Behaviour, values: Mapping[str, list[int]]) -> None:
        if name not in self._found["precisions"]:
            self._found["precisions"][name] = compared(self._behaviour(name, backend), expected, values)
            self._write()

    def _behaviour(self, name: str, backend: Backend) -> Behaviour:
        predictor = remembering_predictor(self._model, backend)
        found = behaviour(predictor, self._images, lambda family: _tell(f"{name}: {family}"))
        if predictor.backend is not backend:
            raise ResourceError(
                f"{name} failed while it computed, so that plain torch was measured",
                remedy="Measure with more free memory, or with another version of OpenVINO",
            )
        return found

    def _write(self) -> None:
        self._found |= conclusion(self._found)
        with atomic_path(self._options.json) as path:
            path.write_text(json.dumps(self._found, indent=1) + "\n", encoding="utf-8", newline="\n")


def measured_before(kept: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Of earlier figures those that this run would measure again; none where it is another one, or elsewhere.

    Args:
        kept: content of the file, empty where there is none.
        found: what is known of this run before anything is measured.
    """

    def told(of: Mapping[str, Any]) -> dict[str, Any]:
        """All but how busy the machine is."""
        machine = {name: value for name, value in of.get("machine", {}).items() if name != "load_average"}
        return {**{name: of.get(name) for name in found}, "machine": machine}

    return {key: kept[key] for key in ("cost", "precisions") if key in kept and told(kept) == told(found)}


def instructions() -> list[str]:
    """What this processor has for lower precisions, as far as torch tells; its questions are no promise."""
    questions = {"AVX512-VNNI": "_is_vnni_supported", "AVX512-BF16": "_is_avx512_bf16_supported"}
    questions["AMX"] = "_is_amx_tile_supported"
    asked = {name: getattr(torch.cpu, question, None) for name, question in questions.items()}
    return [name for name, ask in asked.items() if ask is not None and ask()]


def summary(runs: Mapping[str, list[float]]) -> dict[str, Any]:
    """CPU seconds by round, ratios to float32 and to the cheaper bfloat16.

    >>> found = summary({FLOAT32: [4.0], TORCH_BFLOAT16: [2.0], OPENVINO_BFLOAT16: [3.0], "every layer": [1.0]})
    >>> found["cheaper_bfloat16"], found["to_float32"]["every layer"], found["to_bfloat16"]["every layer"]
    ('bfloat16, torch', 0.25, 0.5)
    """
    to_float32 = {name: round(ratio(own, runs[FLOAT32]), 4) for name, own in runs.items()}
    cheaper = min(BFLOAT16, key=lambda name: to_float32[name])
    to_bfloat16 = {name: round(ratio(own, runs[cheaper]), 4) for name, own in runs.items()}
    cpu_s = {name: [round(value, 4) for value in own] for name, own in runs.items()}
    return {"cheaper_bfloat16": cheaper, "cpu_s": cpu_s, "to_float32": to_float32, "to_bfloat16": to_bfloat16}


def conclusion(found: Mapping[str, Any]) -> dict[str, Any]:
    """Which steps in 8 bits are accepted, and which of these cost enough less than bfloat16 to be worth it."""
    eight = [name for name in found["precisions"] if name not in (FLOAT32, *BFLOAT16)]
    accepted = [name for name in eight if found["precisions"][name]["is_accepted"]]
    worth = [name for name in accepted if found["cost"]["to_bfloat16"][name] <= 1 - LEAST_GAIN]
    return {"accepted": accepted, "accepted_and_cheaper": worth}


def _ignore(share: float) -> None:
    """Nobody wants to know."""


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR", help="datasets of its tasks")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE", help="write all figures there")
    parser.add_argument("--foreign", type=Path, nargs="*", default=[], metavar="DIR", help="folders of foreign images")
    parser.add_argument("--images", type=int, default=3, metavar="N", help="held-out images of each task")
    parser.add_argument("--spoilt", type=int, default=6, metavar="N", help="artefacts on an image of each task")
    parser.add_argument("--foreign-images", type=int, default=10, metavar="N")
    parser.add_argument("--calibration", type=int, default=6, metavar="N", help="training images of each task")
    parser.add_argument("--volume", type=int, nargs=3, default=[64, 128, 128], metavar=("Z", "Y", "X"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("eight_bits_bench"), help="folder for graphs; kept")
    return parser


if __name__ == "__main__":
    sys.exit(main())
