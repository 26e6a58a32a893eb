"""Errors of others as errors of ours, so that whoever shows or lists them has one kind to deal with. No torch here."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from MultiTaskSegLib.runtime.errors import MtsError, ResourceError


def typed(error: Exception) -> MtsError:
    """An error of ours as it is; any other in words.

    >>> str(typed(ZeroDivisionError("two\\nlines")))
    'unexpected ZeroDivisionError: two lines.'
    """
    if isinstance(error, MtsError):
        return error
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ResourceError("the disk is full", file=error.filename, remedy="Free some space and try again")
    if isinstance(error, MemoryError):
        return ResourceError(f"there is not enough memory ({text})", remedy="Close other data or programs")
    return ResourceError(f"unexpected {type(error).__name__}: {text}")


@contextmanager
def typed_errors() -> Iterator[None]:
    """Let nothing but errors of ours out of a block, so that a panel can say whatever went wrong.

    Raises:
        MtsError: an error of the block; one of others is in the log with all its details.
    """
    try:
        yield
    except MtsError:
        raise
    except Exception as error:
        logging.exception("MultiTaskSeg")
        raise typed(error) from error
