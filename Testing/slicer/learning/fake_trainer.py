"""A stand-in for the trainer, which tests find as the package ``trainer``: its words and files, without any training.

The environment variable FAKE_TRAINER says how it behaves: ``good``, ``slow`` (starts a child, then never ends),
``refuse`` (says why and ends with 4), ``crash`` (an unexpected error) or ``rubbish`` (leaves a file that is no model).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MODEL = Path(__file__).resolve().parents[3] / "MultiTaskSeg/Resources/SampleData/phantom.mts.safetensors"


def tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main() -> int:
    output = Path(sys.argv[sys.argv.index("--output") + 1])
    run = output.with_name(output.name.replace(".mts.safetensors", ".run"))
    run.mkdir()
    (run / "words.json").write_text(json.dumps(sys.argv[1:]))
    (run / "checkpoint.pt").write_bytes(b"large")
    behaviour = os.environ["FAKE_TRAINER"]
    (run / "config.json").write_text(os.environ.get("TMPDIR", ""))
    tell("preparing: 100 % (6/6), took 1 s")
    tell("training:  25 %, 1 min 05 s left, step 10 loss 0.700")
    with (run / "metrics.jsonl").open("w") as stream:
        stream.write(json.dumps({"step": 10, "loss": 0.7}) + "\n")
        stream.write(json.dumps({"step": 10, "dice": {"Dataset1": 0.5}}) + "\n" + '{"step": 11, "di')
    if behaviour == "slow":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["FAKE_TRAINER_CHILD"]).write_text(str(child.pid))
        time.sleep(600)
    if behaviour == "refuse":
        tell("note: nothing to see")
        tell("multitaskseg-trainer: dataset X has too few groups: X. Add patients.")
        return 4
    if behaviour == "crash":
        raise RuntimeError("the planted fault")
    (run / "report.html").write_text("report")
    if behaviour == "rubbish":
        output.write_bytes(b"no model")
        return 0
    shutil.copyfile(MODEL, output)
    print("the card")
    return 0


if __name__ == "__main__":
    sys.exit(main())
