"""Broken files that Slicer's own reader takes without a word, before anything of ours sees them.

It fills what is missing with zeros, replaces what is no number, or passes over a header that contradicts itself.
Whatever reads files with our own reader (command line, ``verify``, batches of files) refuses every one of them.
"""

from __future__ import annotations

READ_BY_SLICER_ALONE = frozenset({
    *(f"nifti {name}" for name in (
        "cut in half", "one byte short", "compressed, cut in half", "compressed, checksum cut off",
        "compressed, payload short", "more voxels than declared", "bits that contradict the type", "header of a pair",
        "Analyze header", "zero size", "voxels before the header ends", "voxels far behind the end", "voxels at NaN",
        "voxels at a negative offset", "zero spacing", "negative spacing", "NaN spacing", "infinite spacing",
        "NaN qform", "infinite intensity scale", "half NaN", "one percent NaN", "half infinite",
        "half negative infinite",
    )),
    "mha compressed, flipped byte", "mha negative spacing", "mha sheared", "nrrd compressed, flipped byte",
    "nrrd all-NaN axis", "nrrd axis without direction", "nrrd sheared",
})  # fmt: skip
