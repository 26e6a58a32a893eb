"""Work waits for memory, and what a case needs is known from the header of its image."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MultiTaskSegLib.runtime.image.profile import Intensity, Profile
from trainer.data import memory_room
from trainer.data.memory_ledger import MemoryLedger
from trainer.data.memory_room import MemoryRoom
from trainer.data.preparation_memory import BYTES_PER_VOXEL, preparation_bytes
from trainer.layout.case import Case

INTENSITY = Intensity("percentile", 1.0, 99.0)
COARSE = Profile("coarse", "spacing", INTENSITY, spacing_zyx_mm=(9.0, 9.0, 9.0))


def case_of(path: Path) -> Case:
    return Case("c", path, None, "g")


def write(path: Path, shape: tuple[int, ...]) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.uint8)), str(path))
    return path


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mhd"])
def test_the_header_of_a_large_volume_says_how_many_voxels_it_has(tmp_path: Path, name: str) -> None:
    assert (
        preparation_bytes(case_of(write(tmp_path / name, (160, 200, 200))), COARSE) == BYTES_PER_VOXEL * 160 * 200 * 200
    )


def test_a_volume_may_become_finer_twice_along_every_axis_and_counts_at_least_as_it_is(tmp_path: Path) -> None:
    case = case_of(write(tmp_path / "a.nii.gz", (10, 20, 30)))
    for spacing, factor in ((0.1, 8), (0.5, 8), (0.8, 1.25**3), (1.0, 1), (7.0, 1)):
        profile = Profile("p", "spacing", INTENSITY, spacing_zyx_mm=(spacing,) * 3)
        assert preparation_bytes(case, profile) == BYTES_PER_VOXEL * round(factor * 6000)


def test_which_axis_becomes_which_does_not_matter_for_the_bound(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.zeros((10, 20, 30), np.uint8))
    image.SetSpacing((1.0, 1.0, 4.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    profile = Profile("p", "spacing", INTENSITY, spacing_zyx_mm=(4.0, 1.0, 0.5))
    # At the most: the thick axis onto that of 0.5 mm, twice as fine, the others onto 1 and 4 mm.
    assert preparation_bytes(case_of(tmp_path / "a.nii.gz"), profile) == BYTES_PER_VOXEL * 12000


def test_a_picture_becomes_a_square_at_most(tmp_path: Path) -> None:
    profile = Profile("fit", "fit", INTENSITY, matrix=512)
    assert preparation_bytes(case_of(write(tmp_path / "a.nii.gz", (1, 20, 30))), profile) == BYTES_PER_VOXEL * 512**2


def test_a_folder_of_slices_has_the_voxels_of_one_times_their_number(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for number in range(7):
        write(tmp_path / "series" / f"{number}.dcm", (1, 1000, 1000))
    assert preparation_bytes(case_of(tmp_path / "series"), COARSE) == BYTES_PER_VOXEL * 7_000_000


@pytest.mark.parametrize("content", [b"", b"no image at all"])
def test_a_header_that_cannot_be_read_needs_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert preparation_bytes(case_of(tmp_path / "a.nii.gz"), COARSE) == 0
    (tmp_path / "empty").mkdir()
    assert preparation_bytes(case_of(tmp_path / "empty"), COARSE) == 0


def test_work_goes_on_side_by_side_as_far_as_the_room_reaches_and_the_largest_goes_alone() -> None:
    room, lock = MemoryRoom(100), threading.Lock()
    running: list[int] = []
    seen: list[list[int]] = []

    def work(needed: int) -> None:
        with room.taken(needed):
            with lock:
                running.append(needed)
                seen.append(sorted(running))
            time.sleep(0.01)
            with lock:
                running.remove(needed)

    threads = [threading.Thread(target=work, args=(needed,)) for needed in (60, 30, 30, 250, 40, 60, 10, 90, 250)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)
    assert len(seen) == len(threads)
    assert all(sum(together) <= 100 or len(together) == 1 for together in seen)
    assert max(map(len, seen)) > 1


def test_a_piece_that_fails_gives_its_room_back() -> None:
    room = MemoryRoom(10)
    for _ in range(3):
        with pytest.raises(KeyError), room.taken(10):
            raise KeyError
    with room.taken(10):
        pass


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with 1000 bytes and no other process."""
    monkeypatch.setattr("trainer.data.memory_room.available_bytes", lambda: 1000)
    monkeypatch.setattr("trainer.data.memory_ledger._folder_of_user", lambda: tmp_path / "claims")


@pytest.mark.usefixtures("free")
def test_half_of_the_memory_that_is_free_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with MemoryRoom.of_machine() as room:
        assert room._room_bytes == 500
    monkeypatch.setattr("trainer.data.memory_room.available_bytes", lambda: None)
    with MemoryRoom.of_machine() as room, room.taken(10**12):
        assert room._room_bytes is None


@pytest.mark.usefixtures("free")
def test_several_processes_share_that_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_room, "ASK_EVERY_S", 0.01)
    with MemoryRoom.of_machine() as mine, MemoryRoom.of_machine() as other:
        done = threading.Event()

        def work() -> None:
            with other.taken(300):
                done.set()

        with mine.taken(300):
            with other.taken(150):
                pass
            # What is taken is no longer free, but the half is still that of both.
            monkeypatch.setattr("trainer.data.memory_room.available_bytes", lambda: 700)
            with MemoryRoom.of_machine() as third:
                assert third._room_bytes == 500
            thread = threading.Thread(target=work)
            thread.start()
            assert not done.wait(0.1)
        thread.join(5)
        assert done.is_set()


@pytest.mark.usefixtures("free")
def test_a_process_that_has_nothing_else_to_do_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_room, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(memory_room, "PATIENCE_S", 0.05)
    with MemoryRoom.of_machine() as mine, MemoryRoom.of_machine() as other, mine.taken(400), other.taken(400):
        pass


def test_who_has_ended_counts_no_more(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trainer.data.memory_ledger import MemoryLedger; "
        "own = MemoryLedger(Path(sys.argv[1])); own.claim(70); "
        "sys.stdout.write('told'); sys.stdout.flush(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"told"
        ledger = MemoryLedger(tmp_path)
        ledger.claim(5)
        assert ledger.others_bytes() == 70
        process.kill()
        process.wait(10)
        assert ledger.others_bytes() == 0
    ledger.close()
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_everybody_is_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = MemoryLedger(tmp_path / "file")
    ledger.claim(5)
    assert ledger.others_bytes() == 0
    ledger.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
def test_claims_in_a_folder_of_another_user_count_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = MemoryLedger(tmp_path), MemoryLedger(tmp_path)
    other.claim(70)
    assert mine.others_bytes() == 70
    monkeypatch.setattr("trainer.data.memory_ledger.os.getuid", lambda: -1)
    assert mine.others_bytes() == 0
    other.close()
