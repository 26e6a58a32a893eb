"""Recognises that memory ran out, whichever library says so in words of its own, and says it to the user in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MultiTaskSegLib.runtime.errors import InputError, ModelError, MtsError, ResourceError

PHRASES = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "failed to allocate",  # ITK
    "bad_alloc",  # the C++ library
    "bad allocation",  # the same on Windows
    "alloc_failed",  # cuBLAS, cuDNN, cuSPARSE: CUBLAS_STATUS_ALLOC_FAILED
    "allocation_failed",  # cuDNN 9: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "out_of_memory",  # CUDA's driver, oneDNN
    # oneDNN, in words that could mean anything; but the convolutions are the same everywhere, only their memory is not.
    "could not create a primitive",
    "memory allocation still failed",  # OpenBLAS, which then ends the process
    "failed to map segment",  # a library that is loaded under a limit of the address space
)
# Words of CUDA and its libraries, of AMD's (HIP), and our own.
CARD_WORDS = ("cuda", "cublas", "cudnn", "cusparse", "cufft", "hip out", "mps backend", "graphics card")
TOO_LITTLE = "there is not enough memory in this computer for the image"
REMEDY = "Close other programs, or crop the image to the region of interest"
CARD_TOO_LITTLE = "there is not enough memory on the graphics card for the image"
CARD_REMEDY = "Choose the CPU as device, close other programs, or crop the image to the region of interest"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library means that memory ran out, on the card or of the computer."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in PHRASES)


def reason_of(error: Exception) -> MtsError:
    """Why a model could not do what others, or other looks, may still do; a fault of the program is no reason.

    Raises:
        Exception: the fault, which goes on.
    """
    if isinstance(error, (InputError, ModelError, ResourceError)):
        return error.with_traceback(None)
    if is_out_of_memory(error):
        return memory_error(error)
    raise error


def is_card_short(error: BaseException) -> bool:
    """Whether it is the card's memory that ran out: where the main memory beside it did, the CPU would need even more.

    >>> is_card_short(RuntimeError("CUDA out of memory")), is_card_short(MemoryError())
    (True, False)
    """
    text = (error.what if isinstance(error, MtsError) else str(error)).lower()
    return is_out_of_memory(error) and any(word in text for word in CARD_WORDS)


def is_card_broken(error: BaseException) -> bool:
    """Whether a card or its driver failed at something else than memory; the processor can go on without it.

    >>> is_card_broken(RuntimeError("CUDA error: launch failure")), is_card_broken(RuntimeError("CUDA out of memory"))
    (True, False)
    """
    if isinstance(error, MtsError) or not isinstance(error, RuntimeError) or is_out_of_memory(error):
        return False
    text = str(error).lower()
    return any(word in text for word in (*CARD_WORDS, "hip error"))


def memory_error(error: BaseException, file: str | Path | None = None) -> ResourceError:
    """What the user is told when memory ran out, of the card or of the computer, as ``error`` says."""
    what, remedy = (CARD_TOO_LITTLE, CARD_REMEDY) if is_card_short(error) else (TOO_LITTLE, REMEDY)
    return ResourceError(what, file=file, remedy=remedy)


@contextmanager
def memory_checked(file: str | Path | None = None) -> Iterator[None]:
    """Within the block, a lack of memory in any library becomes a typed error; other errors stay what they are.

    Raises:
        ResourceError: memory ran out.
    """
    try:
        yield
    except MtsError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise memory_error(error, file) from error
