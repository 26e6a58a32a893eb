"""A stand-in for the worker process, run as a script: speaks the protocol without any model.

The first argument says how to behave: ``good``, ``slow`` (never answers), ``crash`` (dies half way), ``silent-death``,
``error`` (reports an error), ``family`` (starts a child of its own, then never answers), ``noise`` (prints rubbish),
``orphan`` (dies, and a child of its own keeps the pipe open), ``no-start`` (dies before it says anything),
``foreign`` (says that the image is out of distribution), ``empty`` (finds nothing).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

OOD = {
    "is_ood": False,
    "score": 0.1,
    "threshold": 0.4,
    "p_value": 0.7,
    "nearest_task": "phantom",
    "distances": {"phantom": 0.1, "other": 0.9},
    "explanation": {
        "percent_of_known_nearer": 30.0,
        "blocks": [
            {"layer": "encoder1", "part": "means", "ratio": 1.5, "where": "", "size": "large structures"},
            {"layer": "encoder0", "part": "spectrum", "ratio": 0.5, "where": "small", "size": "fine detail"},
        ],
        "sentence": "",
    },
}
SPECTRA = [
    {"layer": layer, "image": [2.0, 1.0, 0.5], "low": [1.0, 0.5, 0.0], "middle": [2, 1, 0], "high": [3.0, 2.0, 1.0]}
    for layer in ("encoder0", "encoder1")
]
LEGEND = [{"value": 1, "name": "bright", "display_name": "bright part", "colour": [9, 99, 199], "terminology": "a~b"}]


def send(**event: object) -> None:
    print(json.dumps(event), flush=True)


def label_figures(voxels: int, ijk_to_ras: np.ndarray, agreement: float | None) -> dict:
    volume_mm3 = voxels * float(abs(np.linalg.det(ijk_to_ras[:3, :3])))
    shares = {"mean_confidence": 0.91, "predicted_dice": 0.83} if voxels else {}
    found = {"value": 1, "name": "bright part", "voxels": voxels, "volume_mm3": volume_mm3}
    return {**found, "agreement": agreement, **shares}


def agreed(request: dict) -> dict | None:
    """What further looks have found, where they are asked for."""
    found = {"answer": "look here", "agreement": 0.83, "looks": 2, "seconds": 1.0}
    return found if request.get("thorough") else None


def answer(request: dict, behaviour: str) -> None:
    """Label 1 where the image is above its mean; the report repeats what was received."""
    number, output = request["id"], Path(request["output"])
    if request["command"] == "devices":
        send(id=number, event="result", devices=[{"name": "cpu", "description": "CPU", "free_bytes": 7}])
        return
    if request.get("write"):
        answer_with_files(number, output / "files", request)
        return
    if request["command"] == "info":
        send(id=number, event="result", tasks=[{"name": "phantom", "modality": "MR", "anatomy": "none"}])
        return
    if request["command"] == "card":
        send(id=number, event="result", card=f"the card of {request['model']}")
        return
    if request["command"] in ("trained", "import"):
        answer_about_nnunet(number, request)
        return
    if "image" in request:
        answer_about_file(number, request["image"])
        return
    voxels = np.load(request["voxels"])
    report = {"image": request["name"], "ood": {**OOD, "is_ood": behaviour == "foreign"}}
    if request["command"] == "check":
        files = {}
        if request["map"]:
            np.save(output / "foreign.npy", np.where(voxels > voxels.mean(), 3.0, 0.5).astype(np.float32))
            files["foreign"] = str(output / "foreign.npy")
        send(id=number, event="result", report=report, spectra=SPECTRA, **files)
        return
    labels = (voxels > voxels.mean()).astype(np.uint8) * (behaviour != "empty")
    np.save(output / "labels.npy", labels.astype(np.uint8))
    np.save(output / "uncertainty.npy", np.full(voxels.shape, 0.5, np.float32))
    task = "phantom" if request["task"] == "auto" else request["task"]
    report.update(task=task, device=request["device"], ijk_to_ras=request["ijk_to_ras"], warnings=request["warnings"])
    report.update(further=[{**one, "mean": float(np.load(one["voxels"]).mean())} for one in request.get("further", [])])
    report.update(model={"name": str(request["model"]), "sha256": "00"}, uncertainty={}, timings={"total_s": 0.5})
    agreement = (agreed(request) or {}).get("agreement")
    report.update(thorough=agreed(request))
    report.update(labels=[label_figures(int(labels.sum()), np.asarray(request["ijk_to_ras"]), agreement)])
    files = {name: str(output / f"{name}.npy") for name in ("labels", "uncertainty")}
    send(id=number, event="result", **files, **thumbnail(request), report=report, legend=LEGEND)


def thumbnail(request: dict) -> dict[str, str]:
    """A picture that shows nothing, where one is asked for."""
    if not request.get("thumbnail"):
        return {}
    file = Path(request["output"]) / "thumbnail.npy"
    np.save(file, np.full((16, 24, 3), 99, np.uint8))
    return {"thumbnail": str(file)}


def answer_with_files(number: int, folder: Path, request: dict) -> None:
    """Two files that tell what was asked; images whose name begins with "bad" are refused."""
    if Path(request["image"]).name.startswith("bad"):
        send(id=number, event="error", kind="InputError", message=f"the file is damaged: {request['image']}.")
        return
    folder.mkdir(parents=True)
    (folder / "segmentation.nii.gz").write_bytes(b"labels")
    (folder / "report.json").write_text(json.dumps(request))
    labels = [{"value": 1, "name": "bright part", "voxels": 4, "volume_mm3": 1500.0}]
    report = {"image": Path(request["image"]).name, "ood": OOD, "task": request["task"], "labels": labels}
    told = {"report": {**report, "warnings": [], "thorough": agreed(request)}, "legend": LEGEND}
    send(id=number, event="result", files=str(folder), **told, **thumbnail(request))


def answer_about_file(number: int, image: str) -> None:
    """The verdict on an image file; those whose name begins with "bad" are refused."""
    if Path(image).name.startswith("bad"):
        send(id=number, event="error", kind="InputError", message=f"the file is damaged: {image}.")
    else:
        send(id=number, event="result", report={"image": Path(image).name, "ood": OOD}, spectra=SPECTRA)


TRAINED = [
    {
        "place": f"Dataset001_Balls/Trainer__Plans__{configuration}",
        "trainer": "Trainer",
        "plans": "Plans",
        "configuration": configuration,
        "folds": folds,
        "usual": [fold for fold in folds if fold != "all"],
    }
    for configuration, folds in (("2d", ["0"]), ("3d_fullres", ["0", "1", "all"]))
]


def answer_about_nnunet(number: int, request: dict) -> None:
    """Folders whose name begins with "one" hold one model, those with "bad" none; what is imported is the request."""
    name = Path(request["folder"]).name
    if name.startswith("bad"):
        send(id=number, event="error", kind="ModelError", message=f"there is no trained model: {name}.")
    elif request["command"] == "trained":
        send(id=number, event="result", models=TRAINED[:1] if name.startswith("one") else TRAINED)
    else:
        task = {"name": "Dataset001_Balls", "modality": "T1", "labels": [], "inputs": ["T1"], "request": request}
        manifest = {"format_version": 2, "licence": request["licence"], "tasks": [task], "ood": None}
        header = json.dumps({"__metadata__": {"manifest": json.dumps(manifest)}}).encode()
        made = Path(request["output"]) / request["file"]
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_bytes(len(header).to_bytes(8, "little") + header)
        send(id=number, event="result", model=str(made), card="the card of what was imported")


def misbehave(behaviour: str, request: dict) -> None:
    if behaviour == "crash":
        print("Segmentation fault (simulated)\nlast words", file=sys.stderr, flush=True)
        os._exit(9)
    if behaviour == "silent-death":
        os._exit(1)
    if behaviour == "error":
        send(id=request["id"], event="error", kind="InputError", message="the image is upside down: Scan. Turn it.")
        return
    if behaviour in ("family", "orphan"):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if behaviour == "orphan":
            os._exit(3)
        Path(os.environ["FAKE_WORKER_CHILD"]).write_text(str(child.pid))
        time.sleep(600)
    if behaviour == "slow":
        time.sleep(600)
    if behaviour == "noise":
        print('a library says hello\n42\n{"a": 1}', flush=True)


def main() -> None:
    behaviour = sys.argv[1]
    if behaviour == "no-start":
        print("DLL load failed (simulated)", file=sys.stderr, flush=True)
        os._exit(1)
    send(event="ready", version="fake", torch=None)
    for line in sys.stdin:
        request = json.loads(line)
        send(id=request["id"], event="progress", fraction=0.25, eta_s=3.0, step="network")
        misbehave(behaviour, request)
        if behaviour in ("good", "noise", "foreign", "empty"):
            answer(request, behaviour)


if __name__ == "__main__":
    main()
