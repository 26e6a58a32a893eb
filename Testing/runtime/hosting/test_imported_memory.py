"""What a run of an imported model is told to take where the image is judged, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from MultiTaskSegLib.runtime.hosting.imported_memory import ImportedRunMemory
from MultiTaskSegLib.runtime.hosting.memory_estimate import waiting_bytes
from MultiTaskSegLib.runtime.image.input_frame import input_frame
from MultiTaskSegLib.runtime.image.preparation import preparing_bytes
from MultiTaskSegLib.runtime.image.volume import Volume
from MultiTaskSegLib.runtime.imported.imported_file import load_imported
from MultiTaskSegLib.runtime.thorough.change import stretched_copies
from Testing.runtime.imported.imported_models import imported


def test_the_verdict_is_a_step_of_its_own_of_models_that_check(tmp_path: Path) -> None:
    manifest = load_imported(imported(tmp_path)).manifest
    shape = (20, 24, 28)
    voxels = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
    volume = Volume(voxels, np.diag([1.0, 1.0, 8.0, 1.0]), "a")
    plain = ImportedRunMemory(manifest, volume).however_small()
    checking = ImportedRunMemory(replace(manifest, ood=cast(Any, object())), volume).however_small()
    assert "verdict" not in {stage.name for stage in plain.stages}
    (verdict,) = [stage for stage in checking.stages if stage.name == "verdict"]
    # Of 8 mm each of the 20 slices becomes 4 on the grid of 2 mm.
    grid = 80 * 24 * 28
    maps = (1 + 4 + 4) * voxels.size
    prepared = preparing_bytes(input_frame(volume, manifest.tasks[0].profile))
    assert prepared >= 4 * grid
    assert verdict.host_bytes == 4 * voxels.size + 4 * grid + maps + prepared


def test_a_thorough_check_has_room_for_the_copy_of_the_image_that_takes_most(tmp_path: Path) -> None:
    manifest = load_imported(imported(tmp_path)).manifest
    volume = Volume(np.random.default_rng(0).normal(100, 10, (40, 48, 56)).astype(np.float32), np.eye(4), "a")
    thorough = ImportedRunMemory(manifest, volume, is_thorough=True).at(0)
    waiting = waiting_bytes(manifest.tasks, volume.voxels.size)
    for copy in stretched_copies(volume):
        needs = {stage.name: stage.host_bytes for stage in ImportedRunMemory(manifest, copy).at(0).stages}
        for stage in thorough.stages:
            more = 0 if stage.name == "writing" else waiting + volume.voxels.nbytes
            assert stage.host_bytes >= needs[stage.name] + more
