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
ONE = "--data-root . --datasets Dataset201_KidneyCT --steps 4 --seeds 1"
FEW = "--kills 1 --files 0 --volumes 40 --cases 2 --rounds 1"
WARD = "--threads 1 --tasks 1 2 --volume 16 32 32 --frames 2 --frame 4 16 16 --large 16 32 32 --large-classes 3"
SIZE = "a size that is measured in a second"
SHORTER = (
    Shorter("--minutes 60", "--minutes 0.01 --config small.toml", "an hour on a network for real images"),
    Shorter("--minutes 600", "--steps 4", "hours"),
    Shorter("--nproc-per-node 4", "--nproc-per-node 2", "a machine of four graphics cards"),
    Shorter("--minutes 50", "--steps 2", "fifty minutes"),
    Shorter("--minutes 122", "--steps 2", "two hours"),
    Shorter("--steps 6000", "--steps 2", "hours"),
    Shorter("--address auto --workers 16", "--workers 2", "needs a cluster that runs already"),
    Shorter("inference --json", f"inference --engines ours {TINY} --rounds 1 --images 0 --json", SIZE),
    Shorter("bench.ood --json", f"bench.ood {TINY} --rounds 1 --json", SIZE),
    Shorter("startup --json", "startup --rounds 1 --json", SIZE),
    Shorter("growth --json docs", f"growth {TINY} --json docs", SIZE),
    Shorter("--precision bfloat16 --steps 8 --classes 5 20 60", "--steps 4 --datasets 2 --classes", SIZE),
    Shorter("step_precision --json", f"step_precision {ONE} --json", SIZE),
    Shorter("patch_cost", "patch_cost --sides 48 --patches 2", SIZE),
    Shorter("hostile.campaign --only", "hostile.campaign --share 0.0001 --only", "hours; a case of a row, ten mutants"),
    Shorter("bench.cohort --json docs/results/performance/cohort.json", f"bench.cohort {FEW} --json few.json", SIZE),
    Shorter("drift_error_rate --json", "drift_error_rate --cohorts 1 --json", SIZE),
    Shorter("--json docs/results/performance/hospital.json", f"{WARD} --json ward.json", SIZE),
    Shorter("memory_probe 96 160 160 1 auto", "memory_probe 16 64 64 1 auto", SIZE),
    Shorter("Testing.bench.transfer", "Testing.bench.transfer 20 20 20", SIZE),
)  # fmt: skip

INDEX = "fetches packages from an index; the workflow installs the wheel and the tests' environment"
DEMO = "minutes, in a job of its own in the workflow"
SUITE = "is the test suite itself"
NNUNET = "nnU-Net is not among the packages of the tests, and would train for hours"
NNCF = "NNCF is not among the packages of the tests; Testing/bench/tests looks at all that does not need it"
GROUPS = "needs the right to make control groups"
HOSTS = "needs root and network namespaces, which it makes and removes"
CARD = "needs a graphics card of this kind; Testing/bench/tests runs it with a stand-in"
CLUSTER = "needs Slurm; Testing/trainer/distributed/test_clusters_page.py runs the script with stand-ins"
STEP = "needs Slurm; Testing/trainer/distributed/test_slurm.py gives its variables to two processes"
HOURS = "hours; SECURITY.md's commands are run, and Testing/hostile tries a small share of every row"
APPLICATION = "needs the application 3D Slicer; the script is run by Testing/slicer/extension"
NOT_RUN: dict[str, str] = {
    "srun --ntasks-per-node=4 --gpus-per-task=1 --kill-on-bad-exit=1 python -m trainer train "
    "--data Dataset201_KidneyCT Dataset202_LiverCT --config large.toml -o mine.mts.safetensors --minutes 600": STEP,
    "pip install .": INDEX,
    'pip install ".[trainer]"': INDEX,
    'pip install ".[cluster]"': INDEX,
    'pip install ".[cluster,dicom]"': INDEX,
    'pip install ".[benchmark]"': INDEX,
    "pip install nnunetv2": INDEX,
    "pip install torch --index-url https://download.pytorch.org/whl/cpu": INDEX,
    'pip download ".[trainer]" -d wheels': INDEX,
    'pip install --no-index --find-links wheels ".[trainer]"': "needs the folder that an index filled",
    "python -m Testing.bench.head.real_tissues HEADS -m MODEL --task TASK --names NAMES": "needs a model of tissues",
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
    "python start.py test -k forbidden": SUITE,
    "python start.py test Testing/hostile/planted": SUITE,
    "python -m Testing.bench.branch_coverage -o OUT --jobs 2": SUITE,
    "sbatch train.sbatch": CLUSTER,
    'srun torchrun --nnodes "$SLURM_JOB_NUM_NODES" --nproc-per-node "$processes" --max-restarts 3 '
    '--rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:29500" -m trainer train '
    "--data Dataset201_KidneyCT Dataset202_LiverCT --config large.toml -o mine.mts.safetensors --minutes 600": CLUSTER,
    "python -m Testing.hostile.campaign": HOURS,
    "python -m Testing.hostile.campaign -o OUT": HOURS,
    "python -m Testing.bench.distributed": "many minutes; Testing/bench/tests looks at its parts",
    "python -m Testing.hosts.training_over_hosts": HOSTS,
    "python -m Testing.bench.cohort --hosts": HOSTS,
    "python -m Testing.bench.cuda": CARD,
    "python -m Testing.bench.mps": CARD,
    "python -m Testing.bench.cuda --json docs/results/performance/cuda.json": CARD,
    "python -m Testing.bench.mps --json docs/results/performance/mps.json": CARD,
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
    "python -m Testing.bench.eight_bits -m MODEL --data DATASET... --foreign FOLDER... --json "
    "docs/results/performance/eight_bits-mr3d.json": NNCF,
    "python -m Testing.bench.document docs/results/performance": "writes the checkout's page; a test compares it",
}
# A sentence names a command without all that it needs: what is run is its line in a table or a block.
NAMED = frozenset({
    "multitaskseg check",
    "multitaskseg segment --task NAME",
    "multitaskseg-trainer import-nnunet",
    "multitaskseg-trainer precision",
    "multitaskseg-trainer quality",
    "multitaskseg-trainer reference --limits-only",
    "python -m trainer",
    "python -m trainer evaluate",
    "python -m trainer experiment calibration-page",
    "python -m trainer experiment failure-detection",
    "python -m trainer experiment localisation",
    "python -m trainer experiment model-page",
    "python -m trainer experiment multi-task",
    "python -m trainer experiment p-value",
    "python -m trainer ood-benchmark",
    "python -m trainer transfer",
    "python -m trainer two-stage",
    "python -m Testing.bench.document",
    "python -m Testing.bench.hospital",
    "python -m Testing.bench.mutation",
    "python -m Testing.bench.step_precision",
})  # fmt: skip

UNDATED = "the made images say no date, scanner or site"
FOREIGN = "the page says 3 where an image is foreign, and the made one is"
STATUS: dict[str, tuple[int, str]] = {
    "multitaskseg check *.nii.gz --fail-on-ood": (3, FOREIGN),
    "multitaskseg drift results --by date --since 2026-01-01 --fail-on-drift": (4, UNDATED),
    "multitaskseg drift cohort --by date --since 2026-01-01 --until 2026-12-31 --alpha 0.01 --fail-on-drift --json": (
        4,
        UNDATED,
    ),
    "multitaskseg check Foreign/imagesTr/case_00_0000.nii.gz -m mr3d --fail-on-ood": (3, FOREIGN),
    "multitaskseg-trainer keep -m model.mts.safetensors --data Dataset201_KidneyCT Dataset202_LiverCT --least-dice 1 "
    "-o best.mts.safetensors": (2, "nothing that was trained for four steps is flawless"),
}
# By words of a command, what must be importable for it: where it is not, the command is listed and not run.
NEEDS = {
    "Testing.bench.surface_volume": ("slicer",),
    "Testing.slicer.pictures": ("slicer",),
    "Testing.slicer.screenshots": ("slicer", "PySide6"),
    "Testing.bench.inference": ("resource",),
    "Testing.bench.growth": ("resource",),
    "Testing.bench.ood": ("resource",),
    "Testing.bench.training_growth": ("resource",),
    "Testing.bench.step_precision": ("resource",),
    "Testing.bench.hospital": ("resource",),
    "Testing.bench.cohort": ("resource", "ray", "pyarrow"),
    "Testing.hostile.campaign": ("resource",),
    "multitaskseg cohort": ("ray", "pyarrow"),
    "multitaskseg drift": ("ray", "pyarrow"),
    "ood-benchmark -m": ("torchio",),
    "failure-detection -m": ("torchio",),
}
# By words of a command, on which systems it is run; elsewhere it is listed.
SYSTEMS: dict[str, tuple[tuple[str, ...], str]] = {
    "Testing.runtime.memory_probe": (("linux",), "reads what only Linux tells"),
    "Testing.bench.cohort": (("linux",), "reads what only Linux tells"),
    "Testing.hostile.campaign": (("linux",), "its rows limit memory and end processes as Linux does"),
    "torchrun": (("linux", "darwin"), "its tests send signals, so nobody has seen it on Windows"),
}
