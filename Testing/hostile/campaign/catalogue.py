"""Every row of the campaign, by name, in the order of the table."""

from __future__ import annotations

from Testing.hostile.campaign.row.geometry import GEOMETRY
from Testing.hostile.campaign.row.images import IMAGES
from Testing.hostile.campaign.row.mutants import MUTANTS
from Testing.hostile.campaign.row.non_finite import NON_FINITE
from Testing.hostile.campaign.row.verifier import VERIFIER
from Testing.hostile.campaign.trial import Trial

TRIALS: dict[str, Trial] = {row.name: row for row in (IMAGES, GEOMETRY, NON_FINITE, MUTANTS, VERIFIER)}


def trial(name: str) -> Trial:
    """The row of a name."""
    return TRIALS[name]
