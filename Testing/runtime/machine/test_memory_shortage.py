"""A lack of memory is known by the words of each library, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from MultiTaskSegLib.runtime.machine.memory_shortage import is_out_of_memory

WORDS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: out of memory",
    "[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory: you tried to allocate 8000 bytes.",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[Errno 12] Cannot allocate memory",
    "Unable to allocate 2.98 GiB for an array with shape (20000, 20000) and data type float64",
]


@pytest.mark.parametrize("words", WORDS)
def test_a_lack_of_memory_is_known_by_the_words_of_its_library(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("words", ["shape mismatch", "no memory of cells", "invalid memory format option", ""])
def test_other_words_are_no_lack_of_memory(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))


def test_python_s_own_memory_error_needs_no_words() -> None:
    assert is_out_of_memory(MemoryError())
