"""Devices and their free memory: what is listed, what ``auto`` takes, and which names are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from MultiTaskSegLib.runtime.errors import ResourceError, UsageError
from MultiTaskSegLib.runtime.machine import compute_device
from MultiTaskSegLib.runtime.machine.compute_device import compute_devices, find_device, select_device
from MultiTaskSegLib.runtime.machine.host_memory import available_bytes, parse_vm_stat, total_bytes
from MultiTaskSegLib.worker_process import worker_environment

FREE_BYTES = {0: 3_000, 1: 7_000}
RESERVED_BYTES, ALLOCATED_BYTES = 500, 200
LIMIT_BYTES = 50_000_000


@pytest.fixture
def two_cards(monkeypatch):
    """Torch with two CUDA cards, the second with more free memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(FREE_BYTES))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (FREE_BYTES[index], 9_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: RESERVED_BYTES)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda index: ALLOCATED_BYTES)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"Card {index}")


@pytest.fixture
def no_card(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_cards_come_first_and_the_one_with_most_free_memory_before_the_others(two_cards):
    assert [device.name for device in compute_devices()] == ["cuda:1", "cuda:0", "cpu"]


def test_memory_that_torch_holds_in_reserve_counts_as_free(two_cards):
    assert compute_devices()[0].free_bytes == FREE_BYTES[1] + RESERVED_BYTES - ALLOCATED_BYTES


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("auto", "cuda:1"), ("cuda", "cuda:1"), ("cuda:0", "cuda:0"), ("cpu", "cpu")],
)
def test_the_choice_of_the_user_is_found(two_cards, wanted, found):
    assert find_device(wanted).name == found


def test_without_a_card_auto_is_the_cpu(no_card):
    assert find_device("auto").name == "cpu"


@pytest.mark.parametrize("wanted", ["cuda", "cuda:0"])
def test_a_card_that_is_not_there_is_refused_with_advice(no_card, wanted):
    with pytest.raises(ResourceError, match=f"{wanted} is not available.*Use auto or cpu"):
        find_device(wanted)


@pytest.mark.parametrize("wanted", ["tpu", "", "cuda:x", "cpu:1"])
def test_an_unknown_name_is_wrong_use(two_cards, wanted):
    with pytest.raises(UsageError, match="there is no device"):
        find_device(wanted)


def test_a_chosen_card_becomes_the_current_one(two_cards, monkeypatch):
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert [select_device(name) for name in ("cuda:1", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert chosen == [1]


def test_releasing_without_a_card_does_nothing(no_card):
    compute_device.release_card_memory()


def test_releasing_empties_the_reserve_of_a_card(two_cards, monkeypatch):
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    compute_device.release_card_memory()
    assert emptied == [True]


def test_a_card_whose_driver_has_failed_is_no_hindrance_to_going_on_without_it(two_cards, monkeypatch):
    def fail() -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(torch.cuda, "empty_cache", fail)
    compute_device.release_card_memory()


def test_free_memory_is_a_part_of_all_memory():
    assert 0 < available_bytes() <= total_bytes()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets the limit the Linux way")
def test_the_memory_limit_of_a_process_counts():
    code = (
        "import resource\n"
        "from MultiTaskSegLib.runtime.machine.host_memory import available_bytes\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (used + {LIMIT_BYTES},) * 2)\n"
        "print(available_bytes())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=worker_environment(), check=True
    )
    # What Python has freed since it was counted is available, too.
    assert 0 < int(done.stdout) <= LIMIT_BYTES + 1_000_000


def test_words_that_are_not_of_vm_stat_tell_nothing():
    assert parse_vm_stat("command not found") is None


def test_a_card_that_cannot_be_asked_spoils_no_run_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(index: int) -> tuple[int, int]:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", refuse)
    assert find_device("cpu").name == find_device("auto").name == "cpu"
    with pytest.raises(ResourceError, match="not available"):
        find_device("cuda")


def test_apples_gpu_is_listed_last_and_taken_only_where_it_is_asked_for(no_card, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    assert [device.name for device in compute_devices()] == ["cpu", "mps"]
    assert find_device("auto").name == "cpu"
    assert find_device("mps").name == "mps"
    assert compute_device.torch_device("mps").type == "mps"
    assert compute_device.torch_device("auto").type == "cpu"


def test_a_torch_without_convolutions_in_space_there_does_not_offer_it(no_card, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "__version__", "2.2.2")
    assert [device.name for device in compute_devices()] == ["cpu"]
    for find in (find_device, compute_device.torch_device):
        with pytest.raises(ResourceError):
            find("mps")
