"""Detectors on the network's output: predicted volume, uncertainty, and disagreement of several predictions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from trainer.ood.detector.disagreement import FOREGROUND_ENTROPY, PAIRWISE_DISAGREEMENT, SPREAD
from trainer.ood.detector.output_statistics import OutputStatistics
from trainer.ood.detector.sample import Sample


class PredictedVolume:
    """Predicted volume: Vasiliuk et al. 2023, J. Imaging 9(9):191.

    Two-sided percentile of the number of predicted foreground voxels, on the network's grid, among the predictions for
    the training images of the recognised task: 0 at their median, 1 outside their range.

    Deviation: one distribution per task, because the tasks' structures differ by orders of magnitude.
    """

    name = "predicted volume"
    source = "Vasiliuk et al. 2023 (arXiv 2306.13528)"

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """See `Detector`."""
        self._known: dict[str, list[float]] = {}
        for sample in training:
            volumes = [a.outputs[sample.task].foreground for a in sample.attempts if sample.task in a.outputs]
            self._known.setdefault(sample.task, []).extend(volumes)

    def score(self, sample: Sample) -> float:
        """See `Detector`. Ties count half; a task without training images scores 1."""
        known = self._known.get(sample.recognised)
        if not known:
            return 1.0
        volume = _output(sample).foreground
        smaller, larger = sum(v < volume for v in known), sum(v > volume for v in known)
        return abs(smaller - larger) / len(known)


class OutputMeasure:
    """A mean over the voxels of the recognised task's output; needs no training images.

    Args:
        name, source: see `Detector`.
        measure: of the output.
    """

    def __init__(self, name: str, source: str, measure: Callable[[OutputStatistics], float]) -> None:
        self.name, self.source, self._measure = name, source, measure

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """Nothing to learn."""

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return self._measure(_output(sample))


def _output(sample: Sample) -> OutputStatistics:
    return sample.recognised_attempt.outputs[sample.recognised]


def entropy_whole(output: OutputStatistics) -> float:
    """Mean predictive entropy of all voxels."""
    return output.entropy / output.voxels


def entropy_foreground(output: OutputStatistics) -> float:
    """Mean predictive entropy of the predicted foreground; 0 if there is none, as in Vasiliuk et al. 2023."""
    return output.entropy_foreground / output.foreground if output.foreground else 0.0


def entropy_boundary(output: OutputStatistics) -> float:
    """Mean predictive entropy of the predicted foreground's rim; 0 if there is none.

    The paper's ring around the true surface is not available for a foreign image.
    """
    return output.entropy_boundary / output.boundary if output.boundary else 0.0


def doubt_whole(output: OutputStatistics) -> float:
    """Mean of 1 - the largest probability over all voxels."""
    return output.doubt / output.voxels


def doubt_foreground(output: OutputStatistics) -> float:
    """Mean of 1 - the largest probability over the predicted foreground; 0 if there is none."""
    return output.doubt_foreground / output.foreground if output.foreground else 0.0


def energy_whole(output: OutputStatistics) -> float:
    """Mean free energy of all voxels."""
    return output.energy / output.voxels


def energy_foreground(output: OutputStatistics) -> float:
    """Mean free energy of the predicted foreground; of all voxels if there is none, since no energy is neutral."""
    return output.energy_foreground / output.foreground if output.foreground else energy_whole(output)


def output_detectors() -> list[PredictedVolume | OutputMeasure]:
    """Predicted volume and the means over one prediction.

    Sources give voxel-wise or image-wise scores; the mean over voxels is the usual way to one number per image. They
    are not standardised per task.
    """
    entropy, msp = "Mehrtash et al. 2020; Vasiliuk et al. 2023", "Hendrycks & Gimpel 2017 (arXiv 1610.02136)"
    energy = "Liu et al. 2020 (arXiv 2010.03759)"
    return [
        PredictedVolume(),
        OutputMeasure("entropy, whole image", entropy, entropy_whole),
        OutputMeasure("entropy, foreground", entropy, entropy_foreground),
        OutputMeasure("entropy, boundary", "after Karimi & Gholipour, IEEE TAI 2023", entropy_boundary),
        OutputMeasure("MSP, whole image", msp, doubt_whole),
        OutputMeasure("MSP, foreground", msp, doubt_foreground),
        OutputMeasure("energy, whole image", energy, energy_whole),
        OutputMeasure("energy, foreground", energy, energy_foreground),
    ]


class Disagreement:
    """One number of `disagreement_of` for several predictions of the recognised task; needs no training images.

    Args:
        name, source: see `Detector`.
        way: key of `Sample.disagreement`.
        place: index of the number.
    """

    def __init__(self, name: str, source: str, way: str, place: int) -> None:
        self.name, self.source, self._way, self._place = name, source, way, place

    def fit(self, training: Sequence[Sample], held_out: Sequence[Sample]) -> None:
        """Nothing to learn."""

    def score(self, sample: Sample) -> float:
        """See `Detector`."""
        return float(sample.disagreement[self._way][self._place])


WAYS = {
    "mc_dropout": ("MC dropout", "Gal & Ghahramani 2016, injected as in Ledda et al. 2023"),
    "ensemble": ("ensemble", "Lakshminarayanan et al. 2017"),
}


def disagreement_detectors(ways: Collection[str]) -> list[Disagreement]:
    """Mean standard deviation (Vasiliuk et al. 2023), pairwise Dice (Zenk et al. 2025) and entropy for each way.

    Args:
        ways: keys of `Sample.disagreement`; unknown ones are left alone.
    """
    result = []
    for way, (title, source) in WAYS.items():
        if way in ways:
            pairwise = f"{source}; Zenk et al. 2025 (arXiv 2406.03323)"
            result.append(Disagreement(f"{title}, standard deviation", source, way, SPREAD))
            result.append(Disagreement(f"{title}, pairwise Dice", pairwise, way, PAIRWISE_DISAGREEMENT))
            result.append(Disagreement(f"{title}, entropy", source, way, FOREGROUND_ENTROPY))
    return result
