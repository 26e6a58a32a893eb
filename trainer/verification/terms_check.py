"""What datasets say about who made them and who may use them: a model that learnt from them carries it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from MultiTaskSegLib.runtime.errors import DatasetError
from MultiTaskSegLib.runtime.model.weights_licence import NON_COMMERCIAL, licences_in
from trainer.data.dataset import Dataset
from trainer.origin.terms import MAY_USE, UNKNOWN_LICENCE, licence_of, training_data
from trainer.verification.defect import Defect

_KEYS = ("licence", "reference", MAY_USE)


def terms_defects(datasets: Sequence[Dataset]) -> list[Defect]:
    """Values of the wrong type, and as warnings what was forgotten and would keep a model from being released."""
    return [defect for dataset in datasets for defect in _of_dataset(dataset)]


def _of_dataset(dataset: Dataset) -> Iterator[Defect]:
    try:
        data, licence = training_data(dataset), licence_of(dataset)
    except DatasetError as error:
        yield Defect(dataset.name, "", str(error.file), error.what, error.remedy)
        return
    absent = [key for key in _KEYS if dataset.info.get(key) in (None, "")]
    # Who says nothing of it has data of his own; who says a part may have forgotten the rest.
    if 0 < len(absent) < len(_KEYS):
        yield _warning(
            dataset,
            f"dataset.json does not say {', '.join(absent)}",
            "Say it if the model is to be passed on: without it no model of these data is released",
        )
    strictest = licences_in(licence)[0]
    if licence != UNKNOWN_LICENCE and data.released_weights_may_use and strictest.strictness >= NON_COMMERCIAL:
        yield _warning(
            dataset,
            f"'{MAY_USE}' is true, but the licence {licence!r} reads as: {strictest.name}",
            "Correct one of them: the weights carry the strictest licence of their data",
        )


def _warning(dataset: Dataset, what: str, remedy: str) -> Defect:
    return Defect(dataset.name, "", str(dataset.directory / "dataset.json"), what, remedy, is_warning=True)
