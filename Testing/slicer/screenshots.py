"""All pictures under ``Resources/Screenshots`` but the overview, by one command.

``python -m Testing.slicer.screenshots [-o DIR] [--heart IMAGE]``. The phantoms and their model come with the extension.
The views of a heart and the panel of MultiTaskSeg need an image of one; without ``--heart`` they are left as they are.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "MultiTaskSeg" / "Resources" / "SampleData"
MODEL = SAMPLES / "phantom.mts.safetensors"
HEART_PICTURES = {
    "views.png": "heart.png",
    "panel_multitaskseg_light.png": "multitaskseg_light.png",
    "panel_multitaskseg_dark.png": "multitaskseg_dark.png",
}


def made(module: str, *arguments: str, pictures: Mapping[str, str], output: Path) -> None:
    """Run one of the modules that draw, in a process of its own, and keep its pictures under other names."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", f"Testing.slicer.{module}", "-o", folder, *arguments], check=True)
        for drawn, name in pictures.items():
            shutil.copyfile(Path(folder) / drawn, output / name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the pictures; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    parser.add_argument("--heart", type=Path, help="an MR image of a heart")
    options = parser.parse_args(arguments)
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    for phantom, name in (("PhantomHead", "segmentation.png"), ("PhantomKnee", "out_of_distribution.png")):
        image = ["--image", str(SAMPLES / f"{phantom}.nrrd"), "--model", str(MODEL), "--no-panels"]
        made("pictures", *image, pictures={"views.png": name}, output=output)
    same = {"oodcheck.png": "oodcheck.png", "oodcheck_batch.png": "oodcheck_batch.png"}
    made("oodcheck_pictures", pictures=same, output=output)
    made("oodcheck_pictures", "--dark", pictures={"oodcheck_batch.png": "oodcheck_dark.png"}, output=output)
    made("model_pictures", pictures={name: name for name in ("models.png", "import.png")}, output=output)
    loop = ("region", "corrected", "dataset", "training", "trained")
    made("loop_pictures", pictures={f"loop_{name}.png": f"loop_{name}.png" for name in loop}, output=output)
    made(
        "wish_pictures",
        pictures={name: name for name in ("region.png", "thorough.png", "comparison.png")},
        output=output,
    )
    made("batch_pictures", pictures={"batch.png": "batch.png"}, output=output)
    if options.heart is not None:
        made("pictures", "--image", str(options.heart.resolve()), pictures=HEART_PICTURES, output=output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
