"""The worker: requests in, events out, every failure an event, and its end when the parent is gone."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from MultiTaskSegLib import __version__
from MultiTaskSegLib.process_tree import end_tree, start_tree
from MultiTaskSegLib.runtime.errors import ModelError, ResourceError
from MultiTaskSegLib.runtime.hosting.run_plan import RunPlan
from MultiTaskSegLib.runtime.hosting.torch_machine import TorchMachine
from MultiTaskSegLib.runtime.ood.explanation import BlockDifference, Explanation, SpectrumBand
from MultiTaskSegLib.runtime.ood.verdict import Verdict
from MultiTaskSegLib.runtime.prediction.segmentation import Segmentation
from MultiTaskSegLib.runtime.worker import ProgressEvents, Worker, error_event
from MultiTaskSegLib.worker_process import worker_environment
from Testing.runtime.tiny_model import tiny_manifest

LABEL = types.SimpleNamespace(
    value=1, name="left_ventricle", display_name="left ventricle", colour=(1, 2, 3), terminology="x~y"
)
TASK = types.SimpleNamespace(name="heart", modality="MR", anatomy="heart", labels=[LABEL], inputs=())
EXPLANATION = Explanation(
    40.0,
    (BlockDifference("encoder0", "means", 0.5, "", "fine detail"),),
    (SpectrumBand("encoder0", (2.0, 1.0), (0.0, 0.0), (1.0, 1.0), (3.0, 3.0)),),
)
VERDICT = Verdict(False, 0.5, 1.5, 0.6, "heart", {"heart": 0.5}, EXPLANATION)
GEOMETRY = [[0.0, -2.0, 0.0, 5.0], [1.0, 0.0, 0.0, 6.0], [0.0, 0.0, 3.0, 7.0], [0.0, 0.0, 0.0, 1.0]]


class MachineStandIn:
    """Loads stand-in predictors, has one device, and everything fits."""

    def __init__(self, load=lambda *_: PredictorStandIn()) -> None:
        self.load = load

    def models(self):
        return []

    def device(self, wanted):
        return wanted

    def devices(self):
        return [{"name": "cpu", "description": "CPU", "free_bytes": 5, "total_bytes": None}]

    def plan(self, predictor, volume, task, device):
        return RunPlan(device)

    def release(self):
        """Nothing is held."""


class PredictorStandIn:
    """Answers like a predictor and remembers what it was asked."""

    manifest = types.SimpleNamespace(name="stand-in", tasks=[TASK], ood="a check")
    model = types.SimpleNamespace(digest="ab12")

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.seen: list[tuple] = []

    def segment(self, volume, task="auto", progress=None):
        self.seen.append((volume, task))
        progress(0.5, "network")
        if self.failure:
            raise self.failure
        return types.SimpleNamespace(
            labels=(volume.voxels > 3).astype(np.uint8),
            uncertainty=np.full(volume.shape, 0.25, np.float32),
            task=TASK,
            regions=None,
            region=None,
            left_out=(),
            report=lambda: {"task": task, "ood": VERDICT.as_dict()},
        )

    def locate(self, volume, progress=None):
        return self.check(volume, progress), np.full(volume.shape, 1.5, np.float32)

    def check(self, volume, progress=None):
        self.seen.append((volume, None))
        return VERDICT


def real_result() -> PredictorStandIn:
    """A predictor stand-in whose result is a real segmentation."""

    def segment(volume, task="auto", progress=None):
        progress(0.5, "network")
        labels = (volume.voxels > 3).astype(np.uint8)
        half = np.full(volume.shape, 0.5, np.float32)
        heart = tiny_manifest().tasks[1]
        return Segmentation(volume, labels, half, half, heart, VERDICT, "stand-in", "ab12", "cpu", {}, ())

    predictor = PredictorStandIn()
    predictor.segment = segment
    return predictor


def request(folder: Path, command: str = "segment", **more: object) -> str:
    np.save(folder / "in.npy", np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    content = {"id": 7, "command": command, "voxels": str(folder / "in.npy"), "ijk_to_ras": GEOMETRY, "name": "Scan"}
    return json.dumps({**content, "model": None, "output": str(folder / "out"), **more})


def served(predictor, *lines: str) -> tuple[list[dict], list[bool]]:
    events: list[dict] = []
    worker = Worker(events.append, MachineStandIn(lambda *_: predictor))
    return events, [worker.handle(line) for line in lines]


def test_a_segment_request_is_answered_with_arrays_report_and_legend(tmp_path):
    predictor = PredictorStandIn()
    events, going_on = served(predictor, request(tmp_path, task="heart"))
    result = events[-1]
    assert going_on == [True]
    assert result["event"] == "result"
    np.testing.assert_array_equal(np.load(result["labels"]), np.arange(24).reshape(2, 3, 4) > 3)
    assert np.load(result["uncertainty"]).dtype == np.float32
    assert result["report"]["task"] == "heart"
    assert result["legend"][0]["display_name"] == "left ventricle"
    json.dumps(events)


def test_the_geometry_arrives_in_lps(tmp_path):
    predictor = PredictorStandIn()
    served(predictor, request(tmp_path))
    volume = predictor.seen[0][0]
    np.testing.assert_array_equal(volume.ijk_to_lps, np.diag([-1.0, -1.0, 1.0, 1.0]) @ GEOMETRY)
    assert volume.name == "Scan"


def test_every_event_of_a_request_carries_its_number(tmp_path):
    events, _ = served(PredictorStandIn(), request(tmp_path))
    assert {event["id"] for event in events} == {7}
    assert [event["step"] for event in events if event["event"] == "progress"] == [
        "reading",
        "model",
        "network",
        "writing",
    ]


def test_a_check_is_answered_with_the_verdict_only(tmp_path):
    events, _ = served(PredictorStandIn(), request(tmp_path, "check"))
    model = {"name": "stand-in", "sha256": "ab12"}
    said = {"image": "Scan", "model": model, "ood": VERDICT.as_dict(), "network_grid": None, "warnings": []}
    assert events[-1]["report"] == said
    assert "labels" not in events[-1]


def test_a_check_brings_the_spectra_for_a_plot(tmp_path):
    events, _ = served(PredictorStandIn(), request(tmp_path, "check"))
    assert events[-1]["spectra"] == [
        {"layer": "encoder0", "image": [2.0, 1.0], "low": [0.0, 0.0], "middle": [1.0, 1.0], "high": [3.0, 3.0]}
    ]


def test_a_check_brings_a_map_only_when_asked(tmp_path):
    assert "foreign" not in served(PredictorStandIn(), request(tmp_path, "check"))[0][-1]
    event = served(PredictorStandIn(), request(tmp_path, "check", map=True))[0][-1]
    np.testing.assert_array_equal(np.load(event["foreign"]), np.full((2, 3, 4), 1.5))
    assert event["report"]["ood"] == VERDICT.as_dict()


def test_the_devices_are_listed_with_their_free_memory():
    events, _ = served(PredictorStandIn(), json.dumps({"id": 1, "command": "devices"}))
    assert events[-1]["devices"][0]["free_bytes"] == 5


def test_what_had_to_be_done_differently_is_in_the_progress_and_in_the_report(tmp_path):
    class Full(MachineStandIn):
        """A card that runs out of memory."""

        def device(self, wanted):
            return "cuda:0"

    failing, good = PredictorStandIn(RuntimeError("CUDA out of memory")), real_result()
    loaded = iter((failing, good))
    events: list[dict] = []
    Worker(events.append, Full(lambda *_: next(loaded))).handle(request(tmp_path))
    assert "network, on the CPU" in [event.get("step") for event in events]
    assert any("so the CPU was used" in warning for warning in events[-1]["report"]["warnings"])


def test_an_image_file_is_read_by_the_worker_and_its_results_are_written_as_files(tmp_path):
    image = tmp_path / "scan.nii.gz"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.arange(24, dtype=np.float32).reshape(2, 3, 4)), str(image))
    line = {"id": 1, "command": "segment", "image": str(image), "write": True, "output": str(tmp_path / "out")}
    events, _ = served(real_result(), json.dumps(line))
    written = sorted(path.name for path in Path(events[-1]["files"]).iterdir())
    assert written == ["report.json", "segmentation.nii.gz", "segmentation.seg.nrrd", "uncertainty.nii.gz"]
    assert "labels" not in events[-1]


def test_info_lists_the_tasks_of_the_model():
    events, _ = served(PredictorStandIn(), json.dumps({"id": 1, "command": "info"}))
    assert events[-1]["tasks"] == [{"name": "heart", "modality": "MR", "anatomy": "heart", "inputs": []}]
    assert events[-1]["checked"] is True


def test_shutdown_ends_the_service():
    assert served(PredictorStandIn(), json.dumps({"id": 4, "command": "shutdown"}))[1] == [False]


def test_the_model_is_loaded_once_and_again_for_another_model_or_device(tmp_path):
    loads: list[tuple] = []

    def load(*key: object) -> PredictorStandIn:
        loads.append(key)
        return PredictorStandIn()

    worker = Worker(lambda _event: None, MachineStandIn(load))
    for more in ({}, {}, {"model": "b"}, {"model": "b"}, {"model": "b", "device": "cpu"}):
        worker.handle(request(tmp_path, **more))
    assert loads == [(None, "auto", False), ("b", "auto", False), ("b", "cpu", False)]


def test_a_planar_image_gets_the_planar_default_model(tmp_path):
    loads: list[tuple] = []
    machine = MachineStandIn(lambda *key: loads.append(key) or PredictorStandIn())
    worker = Worker(lambda _event: None, machine)
    line = json.loads(request(tmp_path))
    np.save(line["voxels"], np.zeros((1, 5, 5), np.float32))
    worker.handle(json.dumps(line))
    assert loads == [(None, "auto", True)]


@pytest.mark.parametrize(
    ("failure", "kind", "words"),
    [
        (ModelError("the digest is wrong", file="m.safetensors"), "ModelError", "the digest is wrong: m.safetensors."),
        (MemoryError(), "ResourceError", "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "ResourceError", "Choose the CPU"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "ResourceError", "crop the image"),
        (RuntimeError("two\nlines"), "InternalError", "unexpected RuntimeError: two lines"),
    ],
)
def test_every_failure_becomes_one_line_with_its_kind_and_the_service_goes_on(tmp_path, failure, kind, words):
    events, going_on = served(PredictorStandIn(failure), request(tmp_path))
    assert going_on == [True]
    assert (events[-1]["event"], events[-1]["kind"]) == ("error", kind)
    assert words in events[-1]["message"]
    assert "\n" not in events[-1]["message"]


WRONG_KINDS: list[dict[str, object]] = [
    *({name: value} for name in ("image", "voxels", "output", "device", "task") for value in (None, 5, ["a"], {})),
    *({name: value} for name in ("keep", "map", "write", "planar") for value in ("no", 0, None)),
    *({"model": value} for value in (5, ["a"], True)),
    *({"warnings": value} for value in ("all", 5, None)),
    {"name": 5},
    {"measured": ["voxel"]},
]


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("{not json", "UsageError", "not a JSON line"),
        ("[1, 2]", "UsageError", "a JSON object"),
        ("[" * 100_000, "UsageError", "not a JSON line"),
        *(
            (
                json.dumps({"id": 1, "command": "check", **wrong}),
                "UsageError",
                f"{next(iter(wrong))} of the request is ",
            )
            for wrong in WRONG_KINDS
        ),
        ('{"id": 1, "command": "dance"}', "UsageError", "unknown command 'dance'"),
        ('{"id": 1}', "UsageError", "lacks 'command'"),
        ('{"id": 1, "command": "check"}', "UsageError", "lacks 'voxels'"),
        ('{"id": 1, "command": "check", "voxels": "/no/such.npy", "ijk_to_ras": []}', "InputError", "cannot be read"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_words(line, kind, words):
    events, going_on = served(PredictorStandIn(), line)
    assert going_on == [True]
    assert events[-1]["kind"] == kind
    assert words in events[-1]["message"]


def test_an_array_with_python_objects_is_refused(tmp_path):
    line = json.loads(request(tmp_path))
    np.save(line["voxels"], np.array([{"a": 1}], dtype=object), allow_pickle=True)
    events, _ = served(PredictorStandIn(), json.dumps(line))
    assert events[-1]["kind"] == "InputError"


def test_a_missing_package_is_a_resource_error_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "MultiTaskSegLib.runtime.predictor", None)
    with pytest.raises(ResourceError, match="Install PyTorch"):
        TorchMachine().load(None, "cpu", False)


def test_progress_tells_the_time_left_from_the_fraction_that_is_done():
    now = [100.0]
    events: list[dict] = []
    progress = ProgressEvents(events.append, clock=lambda: now[0])
    progress(0.0, "model")
    now[0] = 103.0
    progress(0.25, "network")
    assert events[0]["eta_s"] is None
    assert events[1]["eta_s"] == pytest.approx(9.0)


def test_progress_is_thinned_out_but_a_new_step_is_always_told():
    now = [0.0]
    events: list[dict] = []
    progress = ProgressEvents(events.append, clock=lambda: now[0])
    for index in range(100):
        now[0] = index / 1000
        progress(0.1 + index / 1000, "network")
    progress(0.9, "spectrum")
    assert [event["step"] for event in events] == ["network", "spectrum"]


def test_key_errors_name_the_key():
    assert error_event(KeyError("voxels"))["message"] == "the request lacks 'voxels'."


def started(scratch: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.worker", str(scratch)]
    return start_tree(command, worker_environment(), scratch)


def test_the_process_says_hello_answers_and_ends_on_request(tmp_path):
    process = started(tmp_path)
    try:
        out, _ = process.communicate('{"id": 1, "command": "dance"}\n{"id": 2, "command": "shutdown"}\n', timeout=60)
    finally:
        end_tree(process)
    events = [json.loads(line) for line in out.splitlines()]
    assert events[0]["event"] == "ready"
    assert events[0]["version"] == __version__


def test_when_the_parent_is_gone_the_process_ends_and_removes_the_private_folder(tmp_path):
    scratch = tmp_path / "privat äö"
    scratch.mkdir()
    (scratch / "voxels.npy").write_bytes(b"x")
    process = started(scratch)
    try:
        assert json.loads(process.stdout.readline())["event"] == "ready"
        process.stdin.close()
        assert process.wait(timeout=60) == 0
        assert not scratch.exists()
    finally:
        end_tree(process)
        process.stdout.close()
        process.stderr.close()


def test_what_libraries_print_does_not_reach_the_protocol(tmp_path):
    code = (
        "import os, sys\n"
        "from MultiTaskSegLib.runtime import worker\n"
        "class Machine(worker.TorchMachine):\n"
        "    def device(self, wanted):\n"
        "        print('python says hello'); os.write(1, b'C says hello\\n'); raise MemoryError\n"
        "worker.TorchMachine = Machine\n"
        "worker.main([])\n"
    )
    process = start_tree([sys.executable, "-c", code], worker_environment(), tmp_path)
    try:
        process.stdin.write('{"id": 1, "command": "info"}\n')
        process.stdin.flush()
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
    finally:
        _, log = process.communicate(timeout=60)
        end_tree(process)
    assert [event["event"] for event in events] == ["ready", "error"]
    assert "python says hello" in log
    assert "C says hello" in log


def test_a_full_disk_is_told_in_the_words_of_the_system_and_not_as_an_unexpected_error() -> None:
    told = error_event(OSError(errno.ENOSPC, "No space left on device", "/shared/labels.npy"))
    assert told["kind"] == "ResourceError"
    assert told["message"].startswith("no space left on device: /shared/labels.npy. Check the path")
    assert "shared with Slicer" in error_event(OSError(errno.ENOSPC, "No space left on device"))["message"]
