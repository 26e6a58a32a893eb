"""How long a user waits: ``python -m Testing.bench.startup``.

Worker: from the start of the process to the first result on a volume of a hippocampus crop's size, then the next
result of the same worker. Modules: what importing both Slicer modules adds, and that torch is not among it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from Testing.bench.labelled_image import REPOSITORY, synthetic_voxels
from trainer.report.origin import origin

HIPPOCAMPUS_ZYX = (36, 52, 36)
IMPORTS = """
import importlib.util, json, sys, time
from Testing.slicer.stand_ins.installation import install
install()
started_s = time.perf_counter()
for name in ("MultiTaskSeg", "OODCheck"):
    for part, file in ((f"{name}Lib", f"{name}/{name}Lib/__init__.py"), (name, f"{name}/{name}.py")):
        spec = importlib.util.spec_from_file_location(part, file)
        sys.modules[part] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[part])
print(json.dumps({"import_s": time.perf_counter() - started_s, "torch": "torch" in sys.modules}))
"""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit code."""
    options = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        workers = [worker_seconds(Path(folder)) for _ in range(options.rounds)]
    imports = [module_seconds() for _ in range(options.rounds)]
    found: dict[str, Any] = {
        **origin("python -m Testing.bench.startup", arguments, 0),
        "volume_zyx": list(HIPPOCAMPUS_ZYX),
        "cold_s": median(w["cold_s"] for w in workers),
        "warm_s": median(w["warm_s"] for w in workers),
        "import_s": None if imports[0] is None else median(i["import_s"] for i in imports if i),
        "import_loads_torch": None if imports[0] is None else any(i["torch"] for i in imports if i),
    }
    sys.stdout.write("".join(f"{key} {value}\n" for key, value in found.items() if key != "machine"))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def worker_seconds(folder: Path) -> dict[str, float]:
    """Wall seconds of a new worker to its first result, and to the next."""
    np.save(folder / "in.npy", 100 * synthetic_voxels(HIPPOCAMPUS_ZYX))
    request = {
        "command": "segment",
        "voxels": str(folder / "in.npy"),
        "ijk_to_ras": np.eye(4).tolist(),
        "output": str(folder / "out"),
        "device": "cpu",
    }
    started_s = time.perf_counter()
    command = [sys.executable, "-m", "MultiTaskSegLib.runtime.worker"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as worker:
        assert worker.stdin is not None
        times = [started_s]
        for number in range(3):
            worker.stdin.write(json.dumps({**request, "id": number}) + "\n")
            worker.stdin.flush()
            _wait_for_result(worker)
            times.append(time.perf_counter())
        worker.stdin.write(json.dumps({"id": 9, "command": "shutdown"}) + "\n")
        worker.stdin.flush()
    return {"cold_s": times[1] - times[0], "warm_s": times[3] - times[2]}


def _wait_for_result(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        event = json.loads(line)
        if event["event"] == "error":
            raise RuntimeError(event["message"])
        if event["event"] == "result":
            return
    raise RuntimeError("the worker ended without a result")


def module_seconds() -> dict[str, Any] | None:
    """Seconds to import both Slicer modules on stand-ins for Slicer; None where these are not installed."""
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    if done.returncode != 0:
        sys.stderr.write(f"the modules cannot be imported here: {done.stderr.strip()[-300:]}\n")
        return None
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m Testing.bench.startup", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--rounds", type=int, default=3)
    return parser


if __name__ == "__main__":
    sys.exit(main())
