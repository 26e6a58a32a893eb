"""Recognises that memory ran out: each library says it in words of its own."""

from __future__ import annotations

PHRASES = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of any library means that memory ran out, on the card or of the computer."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(phrase in text for phrase in PHRASES)
