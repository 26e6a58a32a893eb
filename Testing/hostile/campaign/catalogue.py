"""Every row of the campaign, by name, in the order of the table."""

from __future__ import annotations

from Testing.hostile.campaign.row.attacks import ATTACKS
from Testing.hostile.campaign.row.cancel import CANCEL
from Testing.hostile.campaign.row.dicom import DICOM
from Testing.hostile.campaign.row.disk import DISK
from Testing.hostile.campaign.row.geometry import GEOMETRY
from Testing.hostile.campaign.row.images import IMAGES
from Testing.hostile.campaign.row.kill import KILL
from Testing.hostile.campaign.row.loss import LOSS
from Testing.hostile.campaign.row.memory import MEMORY
from Testing.hostile.campaign.row.metamorphic import METAMORPHIC
from Testing.hostile.campaign.row.mutants import MUTANTS
from Testing.hostile.campaign.row.non_finite import NON_FINITE
from Testing.hostile.campaign.row.readers import READERS
from Testing.hostile.campaign.row.resume import RESUME
from Testing.hostile.campaign.row.soak import SOAK
from Testing.hostile.campaign.row.sockets import SOCKETS
from Testing.hostile.campaign.row.together import TOGETHER
from Testing.hostile.campaign.row.verifier import VERIFIER
from Testing.hostile.campaign.row.versions import VERSIONS
from Testing.hostile.campaign.trial import Trial

ROWS: tuple[Trial, ...] = (
    IMAGES, READERS, DICOM, GEOMETRY, NON_FINITE, METAMORPHIC, MUTANTS, VERSIONS, ATTACKS, VERIFIER, KILL, RESUME, LOSS,
    DISK, MEMORY, CANCEL, TOGETHER, SOAK, SOCKETS,
)  # fmt: skip
TRIALS: dict[str, Trial] = {row.name: row for row in ROWS}


def trial(name: str) -> Trial:
    """The row of a name."""
    return TRIALS[name]
