"""Detectors on the singular values of feature maps, all computed by the code that the product ships."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from MultiTaskSegLib.runtime.ood.reference import ReferenceImage, SpectralReference
from MultiTaskSegLib.runtime.ood.signature import MULTILAYER_FLOOR, WHITENED_STAGES, Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import GRAM_FLOOR, LayerSpectrum
from trainer.ood.detector.features import INPUT_LAYER, ImageFeatures
from trainer.ood.detector.sample import Sample
from trainer.reference.spectral_reference import fit_reference

FARTHEST = 1e6
"""Score of an image that cannot be compared with any known one at all."""

SHIPPED = "whitened, encoder and image"
"""Name of the detector that released models come with."""

PAPER = "Karimi & Gholipour, IEEE TAI 2023"


class SpectralDetector:
    """Distance of an image's signature to the nearest training image's, see `SpectralReference`.

    An image is compared under each of its preprocessing profiles with training images of that profile's tasks, and the
    smallest result counts. Scores depend on training images alone: the limit and the p-values of the shipped
    reference, which held-out images give, are not used here.

    Singular values come from Gram matrices, which leave them good to about 1e-8 of the largest.

    Args:
        name, source: see `Detector`.
        spec: the signature.
        per_task: whether distances are in units of the typical distance within the task, as in the product, or as
            they are, as in the paper, which knows no tasks.
    """

    def __init__(self, name: str, source: str, spec: SignatureSpec, *, per_task: bool = True) -> None:
        self.name, self.source, self.spec, self._per_task = name, source, spec, per_task
        self._reference: SpectralReference | None = None
        self._widths: tuple[int, ...] = ()

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`. Training images with fewer channels than most (thin ones, at the layer ``input``) sit out.

        Raises:
            ModelError: a task has fewer than two groups.
        """
        spectra = [self._spectra(_own_attempt(sample)) for sample in training]
        self._widths = Counter(_widths(layers) for layers in spectra).most_common(1)[0][0]
        whole = [pair for pair in zip(training, spectra, strict=True) if _widths(pair[1]) == self._widths]
        tasks = sorted({sample.task for sample, _ in whole})
        known = [ReferenceImage(tasks.index(s.task), s.group, False, layers) for s, layers in whole]
        # The reference wants held-out images for its limit, which no score depends on: any known image will do.
        first = [next(image for image in known if image.task == t) for t in range(len(tasks))]
        stand_ins = [replace(image, held_out=True) for image in first]
        self._reference = fit_reference(self.spec, tasks, [*known, *stand_ins])

    def score(self, sample: Sample) -> float:
        """Smallest distance over the attempts; `FARTHEST` where nothing can be compared."""
        return min((self._distance(attempt) for attempt in sample.attempts), default=FARTHEST)

    def _distance(self, attempt: ImageFeatures) -> float:
        assert self._reference is not None, "fit comes first"
        reference, spectra = self._reference, self._spectra(attempt)
        among = [name for name in reference.task_names if name in attempt.outputs]
        if not among or _widths(spectra) != self._widths:
            return FARTHEST
        if self._per_task:
            return reference.judge(spectra, among=among).score
        units = np.mean([np.log(reference.scales[block]) for block in self.spec.blocks], axis=0)
        distances = np.exp(reference.log_scores(self.spec.vectors(spectra)) + units)
        return float(min(d for d, name in zip(distances, reference.task_names, strict=True) if name in among))

    def _spectra(self, attempt: ImageFeatures) -> Observed:
        return attempt.observed(self.spec.layers)


def _own_attempt(sample: Sample) -> ImageFeatures:
    return next(attempt for attempt in sample.attempts if sample.task in attempt.outputs)


def _widths(observed: Observed) -> tuple[int, ...]:
    return tuple(len(layer.singular_values) for layer in observed.values() if isinstance(layer, LayerSpectrum))


def paper_detector(layer: str, place: str, *, per_task: bool = False) -> SpectralDetector:
    """The published method on one feature map: nearest neighbour of log(s) scaled to unit length.

    Deviations: full resolution instead of a quarter; all of the image instead of windows chosen by the ground truth;
    singular values below 1e-6 of the largest are raised to it, because Gram matrices do not resolve them.

    Args:
        layer: the paper's code takes the last decoder stage, its comments the deepest map.
        place: what the table calls the layer.
        per_task: in units of the typical distance within the task, which the paper does not do.
    """
    name = f"paper per task, {place}" if per_task else f"paper, {place}"
    return SpectralDetector(name, PAPER, SignatureSpec("paper", (layer,), GRAM_FLOOR), per_task=per_task)


def spectral_detectors(layer_names: tuple[str, ...]) -> list[SpectralDetector]:
    """The paper's method on both layers it names, several layers at once, and whitened signatures.

    ``multilayer``: Lambert et al. 2023 average the paper's distance over layers; here log(s / sqrt(N)), which does not
    depend on the image's size, distances in units of the task, geometric mean over layers, and without the defect of
    their published code (the logarithm of a matrix with -23 off its diagonal). ``whitened``: this project's own; with
    the texture, layout and shading of the image it is the variant ``composite``, which ships.
    """
    encoder = tuple(name for name in layer_names if name.startswith("encoder"))
    places = {layer_names[-1]: "last decoder stage", encoder[-1]: "deepest"}
    papers = [paper_detector(n, place, per_task=per_task) for per_task in (False, True) for n, place in places.items()]
    whitened = SignatureSpec("whitened", layer_names, MULTILAYER_FLOOR)
    own = "this project"
    has_decoder = len(encoder) < len(layer_names)
    return [
        *papers,
        SpectralDetector(
            "multilayer",
            "Lambert et al. 2023 (arXiv 2307.15647), changed",
            SignatureSpec("multilayer", layer_names, MULTILAYER_FLOOR),
        ),
        *([SpectralDetector("whitened, all layers", own, whitened)] if has_decoder else []),
        SpectralDetector("whitened, encoder only", own, SignatureSpec("whitened", encoder, MULTILAYER_FLOOR)),
        SpectralDetector(
            SHIPPED,
            own,
            SignatureSpec("composite", encoder[:WHITENED_STAGES], MULTILAYER_FLOOR),
        ),
    ]


def stage_detectors(layer_names: tuple[str, ...]) -> list[SpectralDetector]:
    """The variant that ships with other stages of the encoder, the image's own part always among them: the fewer stages
    there are, the more that part counts.

    Instance normalisation takes level and contrast out of the maps of imported networks, so that the best choice for
    networks of our own need not be theirs.

    Args:
        layer_names: of the encoder's maps.
    """
    chosen = {
        "all stages": layer_names,
        "first stage": layer_names[:1],
        "first two stages": layer_names[:2],
        "deepest stage": layer_names[-1:],
    }
    return [
        SpectralDetector(
            f"whitened, {name} and image", "this project", SignatureSpec("composite", own, MULTILAYER_FLOOR)
        )
        for name, own in chosen.items()
    ]


def input_spectrum_control() -> SpectralDetector:
    """The whitened signature of the image's own 3 x 3 x 3 (2-D: 5 x 5) neighbourhoods: what it tells without a network.

    Images thinner than a neighbourhood have fewer components and get `FARTHEST`.
    """
    spec = SignatureSpec("whitened", (INPUT_LAYER,), MULTILAYER_FLOOR)
    return SpectralDetector("control: input neighbourhoods", "control", spec)


def image_control() -> SpectralDetector:
    """The image's part of the variant ``composite`` alone: what texture, layout and shading tell without a network."""
    return SpectralDetector("control: image statistics", "control", SignatureSpec("composite", (), MULTILAYER_FLOOR))
