"""A lack of memory is known by the words of each library, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from MultiTaskSegLib.runtime.errors import InputError, ResourceError
from MultiTaskSegLib.runtime.machine.memory_shortage import is_card_short, is_out_of_memory, memory_checked

WORDS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "CUDA error: out of memory",
    "[enforce fail at alloc_cpu.cpp:80] DefaultCPUAllocator: not enough memory: you tried to allocate 8000 bytes.",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
    "[Errno 12] Cannot allocate memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY",
    "Exception thrown in SimpleITK ImageFileReader_Execute: /a.hxx:191:\nITK ERROR: Failed to allocate memory",
    "std::bad_alloc",
    "bad allocation",
    "could not create a primitive",
    "OpenBLAS error: Memory allocation still failed after 10 retries, giving up.",
    "libtorch_cpu.so: failed to map segment from shared object",
    "Unable to allocate 2.98 GiB for an array with shape (20000, 20000) and data type float64",
]


@pytest.mark.parametrize("words", WORDS)
def test_a_lack_of_memory_is_known_by_the_words_of_its_library(words: str) -> None:
    assert is_out_of_memory(RuntimeError(words))


@pytest.mark.parametrize("words", WORDS)
def test_whose_memory_it_was_is_known_and_only_of_a_card_s_the_cpu_is_advised(words: str) -> None:
    is_card = any(word in words for word in ("CUDA", "CUBLAS", "CUDNN"))
    assert is_card_short(RuntimeError(words)) is is_card
    with pytest.raises(ResourceError) as told, memory_checked("scan.nii"):
        raise RuntimeError(words)
    assert ("on the graphics card" in str(told.value)) is is_card
    assert ("Choose the CPU" in str(told.value)) is is_card
    assert is_card_short(told.value) is is_card


@pytest.mark.parametrize("words", ["shape mismatch", "no memory of cells", "invalid memory format option", ""])
def test_other_words_are_no_lack_of_memory(words: str) -> None:
    assert not is_out_of_memory(RuntimeError(words))


def test_python_s_own_memory_error_needs_no_words() -> None:
    assert is_out_of_memory(MemoryError())


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc")])
def test_a_lack_of_memory_becomes_one_error_that_says_what_to_do(error: Exception) -> None:
    words = r"not enough memory.*scan\.nii.*Close other programs"
    with pytest.raises(ResourceError, match=words) as told, memory_checked("scan.nii"):
        raise error
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("no"), InputError("the image is constant"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)) as told, memory_checked():
        raise error
    assert told.value is error
