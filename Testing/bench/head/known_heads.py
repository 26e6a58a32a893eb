"""Make the folder of real heads that the check of a head model knows: ``python -m Testing.bench.head.known_heads``.

Persons are split: a share of them is in the folder, the others are for measuring how many new heads are accepted.

    python -m Testing.bench.head.known_heads heads -o real_heads --kept-back kept_back
    python -m trainer reference -m head.mts.safetensors --images label_maps_head_brain=real_heads
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from Testing.bench.head.real_head import RealHead, read_heads

ENDING = ".nii.gz"
KEPT_BACK_SHARE = 0.3


def split_heads(heads: Sequence[RealHead], share: float = KEPT_BACK_SHARE) -> tuple[list[RealHead], list[RealHead]]:
    """Heads that may be known, and heads that are kept back, by person.

    Heads that no released model may carry statistics of are all kept back.

    Args:
        heads: all of them.
        share: of the persons that may be known, how many are kept back.
    """
    people = sorted({head.person for head in heads if head.may_be_known}, key=_rank)
    known = set(people[round(share * len(people)) :])
    # A person of whom one image may not be known is not known by another image, either.
    known -= {head.person for head in heads if not head.may_be_known}
    return [h for h in heads if h.person in known], [h for h in heads if h.person not in known]


def write_folder(folder: Path, heads: Sequence[RealHead]) -> None:
    """An nnU-Net folder of images without labels; the images are linked to, not copied."""
    images = folder / "imagesTr"
    images.mkdir(parents=True)
    for head in heads:
        (images / f"{_name(head)}_0000{ENDING}").symlink_to(head.path.resolve())
    info = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0},
        "file_ending": ENDING,
        "anatomy": "head",
        "licence": "; ".join(sorted({head.licence or "not stated" for head in heads})),
        "released_weights_may_use": all(head.may_be_known for head in heads),
    }
    (folder / "dataset.json").write_text(json.dumps(info, indent=1), encoding="utf-8")
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        rows = csv.writer(stream)
        rows.writerow(["case", "group"])
        rows.writerows([_name(head), head.person] for head in heads)


def _name(head: RealHead) -> str:
    return head.path.name.removesuffix(ENDING)


def _rank(person: str) -> str:
    return hashlib.sha256(person.encode()).hexdigest()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--kept-back", type=Path, required=True)
    words = "of the persons that may be known, how many are kept back"
    parser.add_argument("--share", type=float, default=KEPT_BACK_SHARE, help=words)
    options = parser.parse_args()
    known, kept_back = split_heads(read_heads(options.heads), options.share)
    write_folder(options.output, known)
    write_folder(options.kept_back, kept_back)
    sys.stdout.write(f"{len(known)} heads known, {len(kept_back)} kept back\n")


if __name__ == "__main__":
    main()
