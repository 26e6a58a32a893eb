"""Names of cases: such as files can have on any system, and each of them once."""

from __future__ import annotations

from collections.abc import Collection

LONGEST_NAME = 80


def safe_name(name: str) -> str:
    """A name for files of any system.

    >>> safe_name("Head: T1 (2)"), safe_name("...")
    ('Head_T1_2', 'case')
    """
    kept = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in name)
    words = [word for word in kept.split("_") if word]
    return "_".join(words)[:LONGEST_NAME].strip("._-") or "case"


def stem_of(name: str) -> str:
    """A name without the number that tells it from others."""
    stem, _, number = name.rpartition("_")
    return (stem if stem and number.isdigit() else name).casefold()


def free_name(stem: str, taken: Collection[str]) -> str:
    """The name, with a number where it is taken; capitals make no other one, as on some systems.

    >>> free_name("head", ["Head", "head_2"])
    'head_3'
    """
    known = {name.casefold() for name in taken}
    number, name = 1, stem
    while name.casefold() in known:
        number += 1
        name = f"{stem}_{number}"
    return name
