"""Artefacts on images of known tasks: draw a record, then apply it to the native volume as a scan fault would."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import InputError, UsageError
from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.ood.fault.canonical_image import CanonicalImage, canonical_image
from trainer.ood.fault.geometry_fault import Faulty, Labels, cropped, misoriented, misspaced
from trainer.ood.fault.picture_fault import coarsened, cut_off, inverted, streaked, zipped
from trainer.ood.fault.scan_fault import blurred, brightened, ghosted, moved, noisy, shaded, spiked

SEVERITIES = (1, 2, 3)
"""Mild to strong."""

IntensityFault = Callable[[CanonicalImage, int, np.random.Generator], NDArray[np.float32]]
GeometryFault = Callable[[Volume, Labels | None, int, np.random.Generator], Faulty]

INTENSITY_FAULTS: Mapping[str, IntensityFault] = {
    "motion": moved,
    "ghosting": ghosted,
    "spikes": spiked,
    "bias_field": shaded,
    "noise": noisy,
    "blur": blurred,
    "gamma": brightened,
    "inversion": inverted,
    "anisotropy": coarsened,
    "cut_off": cut_off,
    "zipper": zipped,
    "metal_streaks": streaked,
}
GEOMETRY_FAULTS: Mapping[str, GeometryFault] = {
    "wrong_spacing": misspaced,
    "wrong_orientation": misoriented,
    "cropped_field_of_view": cropped,
}
ARTEFACT_KINDS = (
    "motion",
    "ghosting",
    "spikes",
    "bias_field",
    "noise",
    "blur",
    "gamma",
    "inversion",
    "anisotropy",
    "wrong_spacing",
    "wrong_orientation",
    "cropped_field_of_view",
    "cut_off",
    "zipper",
    "metal_streaks",
)
"""The order is part of a record's meaning: a kind's place decides what its seed draws. New kinds go to the end."""

PLANAR_ARTEFACT_KINDS = tuple(kind for kind in ARTEFACT_KINDS if kind != "wrong_spacing")
"""Kinds that can be seen in 2-D images, whose spacing is not looked at."""


@dataclass(frozen=True)
class Artefact:
    """One fault. Applying the same record to the same volume twice gives the same result.

    Attributes:
        kind: one of `ARTEFACT_KINDS`.
        severity: 1 (mild), 2 or 3 (strong).
        seed: of everything random about it; the same seed gives the same fault at each severity.

    Raises:
        UsageError: there is no such kind or severity.
    """

    kind: str
    severity: int
    seed: int

    def __post_init__(self) -> None:
        if self.kind not in ARTEFACT_KINDS:
            raise UsageError(f"no artefact is called {self.kind!r}", remedy=f"Use one of {', '.join(ARTEFACT_KINDS)}")
        if self.severity not in SEVERITIES:
            raise UsageError(f"severity {self.severity} of {self.kind} does not exist", remedy="Use 1, 2 or 3")
        if self.seed < 0:
            raise UsageError(f"the seed {self.seed} is negative", remedy="Use 0 or more")

    def __str__(self) -> str:
        return f"{self.kind} {self.severity}"


def draw_artefact(kind: str, severity: int, rng: np.random.Generator) -> Artefact:
    """A record with a seed from the generator."""
    return Artefact(kind, severity, int(rng.integers(2**31)))


def apply_artefact(record: Artefact, volume: Volume, labels: Labels | None = None) -> tuple[Volume, Labels | None]:
    """Spoil a volume.

    Args:
        record: the fault.
        volume: native volume, 3-D or of one slice; unchanged.
        labels: integer ``(Z, Y, X)`` on the volume's grid, or None.

    Returns:
        The volume and the labels on its grid. Labels follow a turn or a crop; where only signal is lost they still
        say what ought to be found.

    Raises:
        InputError: the image is constant or not finite, or the labels are on another grid.
        UsageError: torchio is not installed.
    """
    if labels is not None and labels.shape != volume.shape:
        raise InputError(
            f"labels of shape {labels.shape} for an image of {volume.shape}",
            file=volume.name or None,
            remedy="Give labels on the image's own grid",
        )
    image = canonical_image(volume)
    rng = np.random.default_rng([ARTEFACT_KINDS.index(record.kind), record.seed])
    if record.kind in GEOMETRY_FAULTS:
        return GEOMETRY_FAULTS[record.kind](volume, labels, record.severity, rng)
    return image.restore(INTENSITY_FAULTS[record.kind](image, record.severity, rng), volume), labels
