"""What was made of the last images, so that a check and a segmentation of one image compute nothing twice.

Small things, spectra and verdicts, stay for a while. Encoder maps, which are not small, stay of one image at most,
until its labels have used them up, another image comes, or nobody has come for a while.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from MultiTaskSegLib.runtime.image.volume import Volume

if TYPE_CHECKING:
    from MultiTaskSegLib.runtime.image.input_frame import InputFrame
    from MultiTaskSegLib.runtime.network.network_stream import Kept
    from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
    from MultiTaskSegLib.runtime.ood.verdict import Verdict
    from MultiTaskSegLib.runtime.prediction.candidate import Candidate

# A look takes some 50 kB: spectra, and how the image differs from the nearest task's.
LOOKS = 32
DIGEST_BYTES = 16


@dataclass(frozen=True)
class Look:
    """What one candidate has said of an image.

    Attributes:
        spectra: by layer.
        verdict: among the candidate's own tasks.
        frame: how the image lay on the network's grid.
    """

    spectra: Mapping[str, LayerSpectrum]
    verdict: Verdict
    frame: InputFrame


@dataclass(frozen=True)
class _Maps:
    """Encoder maps that wait, whose they are, and how near the image was, in shares of the limit."""

    image: str
    key: Hashable
    kept: Kept
    share_of_limit: float


class Sights:
    """Looks at the last images by whatever model, and maps of one look."""

    def __init__(self) -> None:
        self._looks: OrderedDict[Hashable, Look] = OrderedDict()
        self._maps: _Maps | None = None

    @property
    def has_maps(self) -> bool:
        """Whether maps take memory."""
        return self._maps is not None

    def turn_to(self, volume: Volume) -> str:
        """The digest of an image that comes next; maps of any other one are let go."""
        image = image_digest(volume)
        if self._maps is not None and self._maps.image != image:
            self._maps = None
        return image

    def of(self, volume: Volume, how: tuple[Hashable, ...]) -> SeenImage:
        """What is known of an image, and what will be.

        Args:
            volume: the image; its voxels count, not its name.
            how: what else the numbers depend on: who computes, and where.
        """
        return SeenImage(self, self.turn_to(volume), how)

    def drop_maps(self) -> None:
        """Give back the memory of the maps."""
        self._maps = None

    def look(self, key: Hashable) -> Look | None:
        """A look that is remembered."""
        return self._looks.get(key)

    def remember(self, key: Hashable, look: Look) -> None:
        """Keep a look in mind, and forget the oldest ones."""
        self._looks[key] = look
        self._looks.move_to_end(key)
        while len(self._looks) > LOOKS:
            self._looks.popitem(last=False)

    def keep(self, image: str, key: Hashable, kept: Kept, share_of_limit: float) -> None:
        """Hold maps, unless those of a nearer look at the same image are held."""
        held = self._maps
        if kept and (held is None or held.image != image or share_of_limit <= held.share_of_limit):
            self._maps = _Maps(image, key, kept, share_of_limit)

    def take(self, key: Hashable) -> Kept:
        """The maps of a look; none where there are none. Nothing is held any longer: labels come from this look."""
        held, self._maps = self._maps, None
        return held.kept if held is not None and held.key == key else {}


class SeenImage:
    """What is remembered of one image.

    Args:
        sights: of the process.
        image: its digest.
        how: see `Sights.of`.
    """

    def __init__(self, sights: Sights, image: str, how: tuple[Hashable, ...]) -> None:
        self._sights, self._image, self._how = sights, image, how

    def look(self, candidate: Candidate) -> Look | None:
        """What the candidate has said of the image before."""
        return self._sights.look(self._key(candidate))

    def remember(self, candidate: Candidate, look: Look) -> None:
        """Keep in mind what it says now."""
        self._sights.remember(self._key(candidate), look)

    def keep(self, candidate: Candidate, kept: Kept, verdict: Verdict) -> None:
        """Hold its encoder maps for labels that may be asked for next."""
        self._sights.keep(self._image, self._key(candidate), kept, verdict.score / verdict.threshold)

    def take(self, candidate: Candidate) -> Kept:
        """The encoder maps that were held; they can be used once."""
        return self._sights.take(self._key(candidate))

    def _key(self, candidate: Candidate) -> Hashable:
        digest, inputs = candidate.model.digest, candidate.tasks[0].inputs
        return (self._image, digest, candidate.profile, tuple(inputs), *self._how)


def image_digest(volume: Volume) -> str:
    """Tells images apart by voxels, place and size, and parts by the whole whose intensities they have."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for image in (volume, volume.whole):
        if image is None:
            continue
        digest.update(repr((image.shape, image.channel_count, image.measured)).encode())
        digest.update(np.ascontiguousarray(image.ijk_to_lps, dtype=np.float64).data)
        for channel in image.channels:
            digest.update(channel.dtype.str.encode())
            digest.update(np.ascontiguousarray(channel).data)
    return digest.hexdigest()
