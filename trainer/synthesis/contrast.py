"""How bright each tissue is: priors of usual contrasts, and draws around them.

Values are relative to the brightest tissue (MR), or Hounsfield units (CT). The MR values follow from the order of
tissues in each weighting; every draw moves them by more than they are exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.synthesis.anatomy import AIR, TISSUE, TISSUE_OF, structure

TISSUES = tuple(TISSUE_OF)
RANDOM = "random"
CT = "ct"

# air, white matter, cortex, deep grey, stem, csf, lesion, vessel, eye, muscle, mucosa, skin and fat, bone, marrow
MR_PRIORS: dict[str, tuple[float, ...]] = {
    "t1": (0.02, 0.80, 0.55, 0.64, 0.74, 0.20, 0.55, 0.35, 0.20, 0.45, 0.50, 0.90, 0.10, 0.65),
    "t1gd": (0.02, 0.70, 0.52, 0.60, 0.66, 0.18, 0.55, 0.95, 0.20, 0.45, 0.90, 0.85, 0.10, 0.65),
    "t2": (0.02, 0.42, 0.60, 0.48, 0.45, 0.95, 0.80, 0.20, 0.92, 0.28, 0.80, 0.60, 0.08, 0.45),
    "flair": (0.02, 0.50, 0.66, 0.58, 0.52, 0.12, 0.95, 0.25, 0.15, 0.35, 0.65, 0.60, 0.08, 0.40),
    "pd": (0.02, 0.65, 0.82, 0.74, 0.68, 0.75, 0.88, 0.35, 0.75, 0.50, 0.80, 0.75, 0.10, 0.50),
    # Echo planar and fat-saturated images: T2 without fat.
    "b0": (0.02, 0.45, 0.62, 0.48, 0.46, 0.95, 0.80, 0.20, 0.90, 0.12, 0.35, 0.06, 0.03, 0.05),
}
CT_HU = (-1000.0, 29.0, 38.0, 36.0, 30.0, 8.0, 20.0, 50.0, 12.0, 55.0, 40.0, -60.0, 1000.0, 350.0)
# Lower and upper end in HU: everything, wide, and the brain's own.
CT_WINDOWS = ((-1024.0, 1500.0), (-150.0, 250.0), (-20.0, 100.0), (0.0, 80.0))

RANDOM_SHARE = 1 / 3
TISSUE_JITTER, STRUCTURE_JITTER = 0.08, 0.03
HU_JITTER = 3.0


def draw_contrast(rng: np.random.Generator, numbers: Sequence[int]) -> tuple[str, np.ndarray, np.ndarray]:
    """Draw mean and spread of the intensity of every value of a label map.

    Args:
        rng: the only source of chance.
        numbers: FreeSurfer's numbers of the values.

    Returns:
        The name of the contrast, means and standard deviations, float64 ``(values,)`` on a scale of 0 to 1. Both sides
        of a structure have the same.
    """
    name = RANDOM if rng.random() < RANDOM_SHARE else str(rng.choice([*MR_PRIORS, CT]))
    structures = sorted({structure(number) for number in numbers})
    tissues = np.array([TISSUES.index(TISSUE[number]) for number in structures])
    means, spreads = _drawn(rng, name, tissues)
    places = [structures.index(structure(number)) for number in numbers]
    return name, means[places], spreads[places]


def _drawn(rng: np.random.Generator, name: str, tissues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and spreads of structures of these tissues."""
    is_air = tissues == TISSUES.index(AIR)
    if name == RANDOM:
        means, spreads = rng.uniform(0.0, 1.0, len(tissues)), rng.uniform(0.0, 0.12, len(tissues))
        # Around a head there is air, mostly; sometimes a scan is inverted or has been given another background.
        dark = rng.random() < 0.8
        means, spreads = (np.where(is_air & dark, small, v) for v, small in ((means, 0.01), (spreads, 0.005)))
        return means, spreads
    if name == CT:
        low, high = CT_WINDOWS[int(rng.integers(len(CT_WINDOWS)))]
        hounsfield = np.asarray(CT_HU)[tissues] * np.where(is_air, 1.0, np.exp(rng.normal(0, 0.15)))
        hounsfield = hounsfield + rng.normal(0, HU_JITTER, len(tissues))
        spreads = np.where(is_air, 2.0, np.abs(hounsfield) * 0.1 + rng.uniform(1.0, 6.0))
        return np.clip((hounsfield - low) / (high - low), 0, 1), np.minimum(spreads / (high - low), 0.15)
    prior = np.clip(np.asarray(MR_PRIORS[name]) + rng.normal(0, TISSUE_JITTER, len(TISSUES)), 0.0, 1.0)
    means = np.clip(prior[tissues] + rng.normal(0, STRUCTURE_JITTER, len(tissues)), 0.0, 1.0)
    spreads = rng.uniform(0.02, 0.1) * rng.uniform(0.5, 1.5, len(tissues)) * np.sqrt(means + 0.05)
    air = TISSUES.index(AIR)
    return np.where(is_air, abs(prior[air]) * 0.3, means), np.where(is_air, 0.005, spreads)
