"""Plain data out of what a checkpoint describes, as JSON knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MultiTaskSegLib.runtime.errors import ModelError

# Plans of nnU-Net have some thousand values; a list that holds itself twice, twenty times over, has millions.
MAX_VALUES = 200_000
MAX_DEPTH = 40
MAX_LETTERS = 16_000_000


def plain_data(value: Any, name: str | Path) -> Any:
    """A copy that holds only dictionaries, lists, text and numbers; tuples become lists, all else None.

    Args:
        value: of `read_objects`.
        name: how errors call the file.

    Raises:
        ModelError: it is too large or too deep for what it should be.
    """
    return _Copy(name).of(value, 0)


class _Copy:
    def __init__(self, name: str | Path) -> None:
        self._name, self._values, self._letters = name, 0, 0

    def of(self, value: Any, depth: int) -> Any:
        """The copy of a part."""
        self._values += 1
        if isinstance(value, str | dict):
            # One long text may stand in many places.
            self._letters += len(value) if isinstance(value, str) else sum(len(str(key)) for key in value)
        if self._values > MAX_VALUES or depth > MAX_DEPTH or self._letters > MAX_LETTERS:
            raise ModelError("the plans in the checkpoint are too large to be those of a network", file=self._name)
        if isinstance(value, dict):
            return {str(key): self.of(entry, depth + 1) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(entry, depth + 1) for entry in value]
        return value if isinstance(value, str | int | float) else None
