"""What is run in other words, what is not run, and what ends otherwise than with 0: each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shorter:
    """Words of a command that are replaced.

    Attributes:
        written: as they stand on a page.
        run: what is run in their place.
        reason: why.
    """

    written: str
    run: str
    reason: str


TINY = "--volume 16 32 32 --threads 1"
SIZE = "a size that is measured in a second"
SHORTER = (
    Shorter("--minutes 60", "--minutes 0.01 --config small.toml", "an hour on a network for real images"),
    Shorter("--minutes 50", "--steps 2", "fifty minutes"),
    Shorter("--minutes 122", "--steps 2", "two hours"),
    Shorter("--steps 6000", "--steps 2", "hours"),
    Shorter("--address auto --workers 16", "--workers 2", "needs a cluster that runs already"),
    Shorter("inference --json", f"inference --engines ours {TINY} --rounds 1 --images 0 --json", SIZE),
    Shorter("bench.ood --json", f"bench.ood {TINY} --rounds 1 --json", SIZE),
    Shorter("startup --json", "startup --rounds 1 --json", SIZE),
    Shorter("growth --json docs", f"growth {TINY} --json docs", SIZE),
    Shorter("--steps 8 --classes 5 20 60", "--steps 4 --datasets 2 --classes", SIZE),
    Shorter("patch_cost", "patch_cost --sides 48 --patches 2", SIZE),
    Shorter("memory_probe 96 160 160 1 auto", "memory_probe 16 64 64 1 auto", SIZE),
    Shorter("Testing.bench.transfer", "Testing.bench.transfer 20 20 20", SIZE),
)  # fmt: skip

INDEX = "fetches packages from an index; the workflow installs the wheel and the tests' environment"
DEMO = "minutes, in a job of its own in the workflow"
SUITE = "is the test suite itself"
NNUNET = "nnU-Net is not among the packages of the tests, and would train for hours"
GROUPS = "needs the right to make control groups"
APPLICATION = "needs the application 3D Slicer; the script is run by Testing/slicer/extension"
NOT_RUN: dict[str, str] = {
    "pip install .": INDEX,
    'pip install ".[trainer]"': INDEX,
    'pip install ".[cluster]"': INDEX,
    'pip install ".[benchmark]"': INDEX,
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": INDEX,
    'pip download ".[trainer]" -d wheels': INDEX,
    'pip install --no-index --find-links wheels ".[trainer]"': "needs the folder that an index filled",
    "cmake -DSlicer_DIR=... && cmake --build . --target package": "needs a build tree of 3D Slicer",
    "python3 start.py demo": DEMO,
    "python start.py demo": DEMO,
    "start.py demo": DEMO,
    "multitaskseg demo": DEMO,
    "multitaskseg demo [-o DIR]": DEMO,
    "multitaskseg-trainer experiment demo -o OUT": DEMO,
    "python3 start.py test": SUITE,
    "python3 start.py test -k geometry": SUITE,
    "start.py test": SUITE,
    ".venv/bin/pre-commit install": "changes the checkout's own git; its hooks are looked at by Testing/house",
    "Slicer --no-splash --no-main-window --python-script segment_folder.py FOLDER RESULTS": APPLICATION,
    "Slicer --no-splash --no-main-window --python-script check_folder.py FOLDER TABLE.csv": APPLICATION,
    "python -m Testing.pages": "is this walk",
    "python -m Testing.bench.mutation -o OUT": "hours; Testing/bench/tests/test_mutation_run.py runs it small",
    "python -m Testing.bench.memory --json docs/results/performance/memory.json": GROUPS,
    "python -m Testing.bench.training --datasets Dataset101_HippocampusT1 --budget-s 900 --nnunet-points 0.8 0.9 1 "
    "--own-shares 0.25 --precisions float32 --workers 0 1 --loader-steps 7 --json "
    "docs/results/performance/training.json --plot docs/results/performance/training.svg": NNUNET,
    "python -m Testing.bench.nnunet_parity MODEL IMAGE... --folds 0 --made --json "
    "docs/results/performance/nnunet_parity-plain-3d.json": NNUNET,
    "python -m Testing.bench.document docs/results/performance": "writes the checkout's page; a test compares it",
}
# A sentence names a command without all that it needs: what is run is its line in a table or a block.
NAMED = frozenset({
    "multitaskseg check",
    "multitaskseg segment --task NAME",
    "multitaskseg-trainer import-nnunet",
    "multitaskseg-trainer reference --limits-only",
    "python -m trainer",
    "python -m trainer evaluate",
    "python -m trainer experiment calibration-page",
    "python -m trainer experiment localisation",
    "python -m trainer experiment model-page",
    "python -m trainer experiment p-value",
    "python -m trainer ood-benchmark",
    "python -m trainer transfer",
    "python -m trainer two-stage",
    "python -m Testing.bench.document",
    "python -m Testing.bench.mutation",
})  # fmt: skip

FOREIGN = "the page says 3 where an image is foreign, and the made one is"
STATUS: dict[str, tuple[int, str]] = {
    "multitaskseg check *.nii.gz --fail-on-ood": (3, FOREIGN),
    "multitaskseg check Foreign/imagesTr/case_00_0000.nii.gz -m mr3d --fail-on-ood": (3, FOREIGN),
}
# By words of a command, what must be importable for it: where it is not, the command is listed and not run.
NEEDS = {
    "Testing.bench.surface_volume": ("slicer",),
    "Testing.slicer.screenshots": ("slicer", "PySide6"),
    "Testing.bench.inference": ("resource",),
    "Testing.bench.growth": ("resource",),
    "Testing.bench.ood": ("resource",),
    "Testing.bench.training_growth": ("resource",),
    "multitaskseg cohort": ("ray", "pyarrow"),
    "ood-benchmark -m": ("torchio",),
    "failure-detection -m": ("torchio",),
}
LINUX_ONLY = ("Testing.runtime.memory_probe",)
