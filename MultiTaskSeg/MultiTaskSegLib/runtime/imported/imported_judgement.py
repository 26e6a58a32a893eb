"""Is an image like the reference images of an imported model, and where not?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.image.preparation import Prepared, prepare
from MultiTaskSegLib.runtime.image.profile import Profile
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import ImportedModel
from MultiTaskSegLib.runtime.imported.stored_axes import AS_STORED, orientation_letters
from MultiTaskSegLib.runtime.nnunet.preparation_plan import RAS
from MultiTaskSegLib.runtime.ood.cell_features import cell_size, image_cells
from MultiTaskSegLib.runtime.ood.cell_reference import on_image_grid
from MultiTaskSegLib.runtime.ood.reference import SpectralReference
from MultiTaskSegLib.runtime.ood.signature import Observed, SignatureSpec
from MultiTaskSegLib.runtime.ood.spectrum import LayerSpectrum
from MultiTaskSegLib.runtime.ood.verdict import Verdict

ORIENTATIONS = "orientations"
"""In the manifest's ``training``: how many reference images are stored with axes that run to these sides."""


def required_reference(model: ImportedModel) -> SpectralReference:
    """What images are compared with.

    Raises:
        ModelError: the model has none.
    """
    if model.reference is None:
        raise ModelError(
            f"the model {model.manifest.name} has no reference images, so that no image can be checked with it",
            remedy="Add them with 'multitaskseg-trainer reference'",
        )
    return model.reference


def plainly_prepared(volume: Volume, profile: Profile) -> Prepared:
    """An image as its own statistics see it: turned to the body, resampled and scaled.

    Of several channels all; the first alone where the model file is an earlier one, whose reference knows no other.

    Raises:
        InputError: as `prepare`.
    """
    return prepare(volume if profile.channel_count > 1 else replace(volume, further=()), profile)


def observed_of(
    spectra: Mapping[str, LayerSpectrum], prepared: Prepared, spec: SignatureSpec, planar: bool
) -> Observed:
    """What of an image is compared: its spectra, and for some signatures its own statistics."""
    voxels = prepared.voxels
    return {**spectra, **spec.image_part(voxels, planar, 1 if voxels.ndim == 3 else len(voxels))}


def judged(model: ImportedModel, spectra: Mapping[str, LayerSpectrum], volume: Volume, prepared: Prepared) -> Verdict:
    """The verdict on an image, with what there is to know about it.

    Args:
        model: with a reference.
        spectra: of the image, by layer.
        volume: the image.
        prepared: of `plainly_prepared`.
    """
    reference = required_reference(model)
    observed = observed_of(spectra, prepared, reference.spec, model.manifest.architecture.is_planar)
    verdict = reference.judge(observed)
    warnings = (*volume.warnings, *orientation_cautions(model, volume))
    return replace(verdict, warnings=warnings, frame=prepared.frame)


def orientation_cautions(model: ImportedModel, volume: Volume) -> tuple[str, ...]:
    """A sentence on an image whose axes are stored as those of no reference image, where the network depends on it."""
    known = model.manifest.training.get(ORIENTATIONS)
    if model.manifest.plan.preparation.reader == RAS or not isinstance(known, dict) or not known:
        return ()
    letters = orientation_letters(volume, AS_STORED)
    if letters in known:
        return ()
    return (
        f"the image is stored with axes that run to {letters}, the reference images with {', '.join(sorted(known))}: "
        "this network takes axes as they are stored, so that the image may be upside down to it",
    )


def foreign_map(model: ImportedModel, prepared: Prepared) -> NDArray[np.float32]:
    """Where an image is foreign, ``(Z, Y, X)`` on its own grid; see `Predictor.locate`.

    Raises:
        ModelError: the model has no memory of cells.
    """
    if not model.memories:
        raise ModelError(
            f"the model {model.manifest.name} cannot tell where an image is foreign",
            remedy="Fit its reference again with 'multitaskseg-trainer reference'",
        )
    cell = cell_size(model.manifest.architecture)
    rarity = model.memories[0].rarity(image_cells(prepared.voxels, cell))
    return on_image_grid(rarity, cell, prepared)
