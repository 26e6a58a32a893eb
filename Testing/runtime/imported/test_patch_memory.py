"""What is told of a run beforehand is what the run does: sizes of the image, and maps of a patch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MultiTaskSegLib.runtime.hosting.imported_memory import ImportedRunMemory
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.imported.patch_memory import image_sizes, patch_peak_bytes
from MultiTaskSegLib.runtime.imported.stored_axes import reader_axes, reader_spacing_mm
from MultiTaskSegLib.runtime.nnunet.lean_layer import CHUNK_VALUES
from MultiTaskSegLib.runtime.nnunet.prepared_image import prepared_image
from MultiTaskSegLib.runtime.nnunet.unet_plan import PLAIN, UnetPlan
from Testing.runtime.imported.imported_models import imported, plans_with, seeded
from Testing.runtime.nnunet.checkpoint_bytes import PLANS

TURNED = np.array([[0, 0, -3.0, 0], [1.5, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    "changed", [{}, {"image_reader_writer": "NibabelIOWithReorient", "transpose_forward": [1, 0, 2]}]
)
def test_the_sizes_are_those_of_the_prepared_image(tmp_path: Path, changed: dict[str, Any]) -> None:
    manifest = load_imported(imported(tmp_path, plans={**plans_with(), **PLANS, **changed})).manifest
    plan = manifest.plan.preparation
    voxels = np.zeros((9, 14, 11), np.float32)
    voxels[2:8, 1:14, 3:10] = seeded((6, 13, 7)).numpy()
    volume = Volume(voxels, TURNED, "turned")
    axes = reader_axes(volume, plan.reader)
    prepared = prepared_image([axes.apply(voxels)], reader_spacing_mm(volume, axes, plan.reader), plan)
    sizes = image_sizes(volume, manifest)
    assert sizes.whole == prepared.turned_shape
    assert sizes.cropped == prepared.cropped_shape
    assert sizes.grid == prepared.voxels.shape[1:]


def test_a_patch_takes_input_and_result_of_its_largest_convolution_and_not_many_times_as_much() -> None:
    plan = UnetPlan(PLAIN, (32, 64), ((3, 3, 3),) * 2, ((1, 1, 1), (2, 2, 2)), (2, 2), (2,))
    finest, side_by_side = 4 * 32 * 64**3, 2 * 4 * CHUNK_VALUES
    assert 2 * finest <= patch_peak_bytes(plan, 1, 3, (64, 64, 64)) <= 2.5 * finest + side_by_side
    # Twice as many voxels, twice as much.
    assert patch_peak_bytes(plan, 1, 3, (64, 64, 128)) > 1.6 * patch_peak_bytes(plan, 1, 3, (64, 64, 64))


def test_more_classes_channels_and_voxels_take_more(tmp_path: Path) -> None:
    manifest = load_imported(imported(tmp_path)).manifest
    small, large = (ImportedRunMemory(manifest, Volume(seeded(s).numpy(), np.eye(4))) for s in ((16,) * 3, (60,) * 3))
    for is_on_host in (True, False):
        assert large.at(0).host_bytes(is_on_host) > small.at(0).host_bytes(is_on_host)
    assert large.at(0).card_bytes() == small.at(0).card_bytes()
    assert large.however_small().host_bytes(False) < large.at(0).host_bytes(True)
