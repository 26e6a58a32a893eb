"""Our trainer against nnU-Net v2's, in CPU seconds to the same Dice: ``python -m Testing.bench.training``.

Both train on the same cases and are measured on the same held-out ones, split by group, segmented whole on their own
grids. nnU-Net's plan, preprocessing, augmentation and network are its own, and its run is limited to ``--budget-s`` CPU
seconds of training with a learning-rate schedule that ends there. Ours uses the trainer's default settings. Each of
``--own-shares`` is a run whose own schedule ends at that share of what nnU-Net used.

Besides: how long a step waits for its data with several numbers of workers, and whether these runs, which have the same
seed, end with the same weights to the bit.

Every run is a process; results in ``--work`` are used again, so that an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from Testing.bench.held_out import content_of, link_dataset
from Testing.bench.labelled_image import data_folder
from Testing.bench.learning_curve import SHARE_OF_FINAL, compare, curve_of
from Testing.bench.training_figure import write_figure
from Testing.bench.training_process import NNUNET, OWN, FailedRun, has_module, measured, thread_environment
from trainer.report.origin import origin

CONFIGURATIONS = {"Dataset101_HippocampusT1": "3d_fullres", "Dataset112_ChestXrayLungCHN": "2d"}
OWN_POINTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NNUNET_POINTS = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
LOADER_KEYS = ("step_cpu_s", "step_wall_s", "loader_wait_share", "weights_sha256")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON and a plot; the exit code."""
    options = _parser().parse_args(arguments)
    if options.data_root is None:
        sys.stderr.write("Testing.bench.training: no datasets: give --data-root\n")
        return 2
    compared = has_module(options.nnunet_python, "nnunetv2")
    if not compared:
        sys.stderr.write(
            f"Testing.bench.training: the package 'nnunetv2' is not installed for {Path(options.nnunet_python).name}: "
            "the comparison is skipped and our own figures are measured alone. Install it ('pip install nnunetv2'), or "
            "name another interpreter with --nnunet-python\n"
        )
    bench = _Bench(options, compared)
    found: dict[str, Any] = {
        **origin("python -m Testing.bench.training", arguments, options.threads),
        "budget_cpu_s": options.budget_s,
        "share_of_final": SHARE_OF_FINAL,
        "seed": options.seed,
        "datasets": {},
    }
    for name in options.datasets:
        try:
            found["datasets"][name] = bench.dataset(name)
        except FailedRun as error:
            sys.stderr.write(f"Testing.bench.training: {error}\n")
            return 1
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("\n".join(line for name in found["datasets"] for line in _lines(name, found)) + "\n")
    if options.plot:
        write_figure(found, options.plot)
    return 0


class _Bench:
    def __init__(self, options: argparse.Namespace, compared: bool) -> None:
        self._options, self._compared = options, compared
        self._work: Path = options.work.resolve()
        self._environment = thread_environment(options.threads)

    def dataset(self, name: str) -> dict[str, Any]:
        """All figures of one dataset."""
        directory = (self._options.data_root / name).resolve()
        theirs = self._nnunet(directory) if self._compared else None
        total_s = curve_of(theirs["points"]).total_cpu_s if theirs else float(self._options.budget_s)
        own = [
            self._own(directory, precision, share, total_s, theirs)
            for share in self._options.own_shares
            for precision in self._options.precisions
        ]
        # The last precision is meant to be the fastest one: its steps are the hardest to feed.
        loaders = [self._loader(directory, self._options.precisions[-1], n) for n in self._options.workers]
        return {"nnunet": theirs, "ours": own, "loader": loaders, "same_weights_to_the_bit": _repeatable(loaders)}

    def _nnunet(self, directory: Path) -> dict[str, Any]:
        options, work = self._options, self._work / "nnunet"
        link_dataset(directory, work / "raw")
        environment = self._environment | {
            "nnUNet_raw": str(work / "raw"),
            "nnUNet_preprocessed": str(work / "preprocessed"),
            "nnUNet_results": str(work / "results"),
            "nnUNet_def_n_proc": "1",
            "nnUNet_compile": "0",
        }
        request = {
            "dataset": str(directory),
            "content": content_of(directory),
            "configuration": CONFIGURATIONS.get(directory.name, options.configuration),
        }
        folder = self._work / directory.name
        # Planning asks torch for as many threads as there are augmentation processes; training augments in its own
        # process, where nothing is drawn that is not used and nothing has to be sent.
        prepared = measured(
            NNUNET,
            {"stage": "prepare", **request, "memory_gb": options.nnunet_memory_gb},
            folder / "nnunet_preparation",
            environment | {"nnUNet_n_proc_DA": "1"},
            options.nnunet_python,
        )
        run = {
            "stage": "train",
            **request,
            "budget_cpu_s": options.budget_s,
            "threads": options.threads,
            "shares": list(options.nnunet_points),
            "mirror": not options.no_mirroring,
            "weights": str(folder / "nnunet_training" / "weights"),
            "seed": options.seed,
        }
        trained = measured(
            NNUNET, run, folder / "nnunet_training", environment | {"nnUNet_n_proc_DA": "0"}, options.nnunet_python
        )
        return {**prepared, **trained, "planned_memory_gb": options.nnunet_memory_gb}

    def _own(
        self, directory: Path, precision: str, share: float, total_s: float, theirs: dict[str, Any] | None
    ) -> dict[str, Any]:
        request = self._request(directory, precision) | {"budget_cpu_s": share * total_s, "shares": list(OWN_POINTS)}
        folder = self._work / directory.name / f"own_{precision}_{share:g}"
        run = measured(OWN, request | {"folder": str(folder)}, folder, self._environment)
        result = {"precision": precision, "share_of_nnunet_total": share, **run}
        if theirs is not None:
            result |= {"against_nnunet": compare(curve_of(run["points"]), curve_of(theirs["points"]))}
        return result

    def _loader(self, directory: Path, precision: str, workers: int) -> dict[str, Any]:
        request = self._request(directory, precision) | {"steps": self._options.loader_steps, "shares": []}
        request["settings"] |= {"workers": workers}
        folder = self._work / directory.name / f"loader_{precision}_{workers}"
        run = measured(OWN, request | {"folder": str(folder)}, folder, self._environment)
        return {"precision": precision, "workers": workers, **{key: run[key] for key in LOADER_KEYS}}

    def _request(self, directory: Path, precision: str) -> dict[str, Any]:
        settings = {"seed": self._options.seed, "threads": self._options.threads, "precision": precision}
        return {"datasets": [str(directory)], "content": content_of(directory), "settings": settings}


def _repeatable(loaders: list[dict[str, Any]]) -> bool | None:
    """Whether runs of one seed ended with the same weights, whoever drew their batches; None for fewer than two."""
    return len({run["weights_sha256"] for run in loaders}) == 1 if len(loaders) > 1 else None


def _lines(name: str, found: dict[str, Any]) -> list[str]:
    """For people."""
    of = found["datasets"][name]
    lines = [name]
    if of["nnunet"]:
        curve = curve_of(of["nnunet"]["points"])
        lines.append(f"  nnU-Net: Dice {curve.final_dice:.4f} after {curve.total_cpu_s:.0f} CPU s")
    for run in of["ours"]:
        curve = curve_of(run["points"])
        lines.append(
            f"  ours, {run['precision']}, schedule of {run['share_of_nnunet_total']:g} of its total: "
            f"Dice {curve.final_dice:.4f} after {curve.total_cpu_s:.0f} CPU s; {run.get('against_nnunet', '')}"
        )
    lines += [f"  loader: {run}" for run in of["loader"]]
    return [*lines, f"  same weights to the bit: {of['same_weights_to_the_bit']}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m Testing.bench.training", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="write a plot there (.svg or .png)")
    parser.add_argument("--data-root", type=Path, default=data_folder(), help="folder of datasets")
    parser.add_argument("--datasets", nargs="+", default=list(CONFIGURATIONS), metavar="NAME")
    parser.add_argument("--configuration", default="3d_fullres", help="nnU-Net's, for datasets not known here")
    parser.add_argument("--work", type=Path, default=Path("training_bench"), help="folder for runs; kept")
    parser.add_argument("--budget-s", type=float, default=900.0, help="CPU seconds of nnU-Net's training")
    parser.add_argument("--own-shares", type=float, nargs="+", default=[0.25, 1.0], metavar="SHARE")
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=["float32", "bfloat16"],
        default=["float32"],
        help="of our runs; the loader is measured with the last one",
    )
    parser.add_argument("--nnunet-points", type=float, nargs="+", default=list(NNUNET_POINTS), metavar="SHARE")
    parser.add_argument("--no-mirroring", action="store_true", help="nnU-Net's predictor without mirrored copies")
    parser.add_argument("--nnunet-python", default=sys.executable, metavar="PYTHON", help="interpreter with nnunetv2")
    parser.add_argument(
        "--nnunet-memory-gb",
        type=float,
        metavar="GB",
        help="memory that nnU-Net plans its batches for, which decides what it takes here; its own default otherwise",
    )
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2], metavar="N")
    parser.add_argument("--loader-steps", type=int, default=20, help="steps of each loader run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    sys.exit(main())
