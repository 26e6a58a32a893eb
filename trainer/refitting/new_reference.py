"""The reference of a model fitted anew, whether it was trained here or imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.imported.imported_file import is_imported
from MultiTaskSegLib.runtime.model.manifest import OodInfo
from MultiTaskSegLib.runtime.ood.signature import Variant
from trainer.refitting.imported_refit import refit_imported
from trainer.refitting.spectral_refit import refit_reference


def fit_new_reference(
    model: Path,
    directories: Sequence[Path],
    output: Path,
    *,
    variant: Variant,
    layers: tuple[str, ...],
    held_out: Sequence[str],
) -> OodInfo:
    """Fit the reference and write the model with it; arguments as of `refit_imported`.

    Raises:
        UsageError: cases to hold out are named for a model that knows whom it has not seen.
        MtsError: as `refit_reference` and `refit_imported`.
    """
    if is_imported(model):
        imported = refit_imported(model, directories, output, variant=variant, layers=layers, held_out=held_out)
        assert imported.ood is not None
        return imported.ood
    if held_out:
        raise UsageError("a model that was trained here knows whom it has not seen", remedy="Leave --held-out out")
    return refit_reference(model, directories, output, variant=variant, layers=layers).ood
