"""The reference of a model fitted anew, whether it was trained here or imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MultiTaskSegLib.runtime.errors import UsageError
from MultiTaskSegLib.runtime.imported.imported_file import is_imported
from MultiTaskSegLib.runtime.imported.imported_manifest import ImportedManifest
from MultiTaskSegLib.runtime.model.manifest import Manifest
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
    images_of: Mapping[str, Path],
) -> Manifest | ImportedManifest:
    """Fit the reference and write the model with it; arguments as of `refit_imported` and `refit_reference`.

    Raises:
        UsageError: cases to hold out are named for a model that knows whom it has not seen, or images in place of
            others for an imported one.
        MtsError: as `refit_reference` and `refit_imported`.
    """
    if is_imported(model):
        if images_of:
            raise UsageError("an imported model has no task to replace images of", remedy="Give the images in --data")
        return refit_imported(model, directories, output, variant=variant, layers=layers, held_out=held_out)
    if held_out:
        raise UsageError("a model that was trained here knows whom it has not seen", remedy="Leave --held-out out")
    return refit_reference(model, directories, output, variant=variant, layers=layers, images_of=images_of)
