"""Where a model goes that takes long to make: what another run has written there meanwhile is not replaced."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from MultiTaskSegLib.runtime.errors import ModelError
from MultiTaskSegLib.runtime.machine.result_record import digest_of

UNREADABLE = "unreadable"


@dataclass(frozen=True)
class OutputPlace:
    """A file to be written at the end of the work.

    Attributes:
        path: of the file.
        content: SHA-256 of what lay there when the work began, which was to be replaced; None: nothing.
    """

    path: Path
    content: str | None

    @classmethod
    def of(cls, path: Path) -> OutputPlace:
        """As it is now: to be asked before the model is read that is worked on, which may lie there."""
        return cls(path, _content(path))

    def require_untouched(self) -> None:
        """Refuse to replace another file than the one that lay there. Where it has gone nothing is replaced.

        Raises:
            ModelError: another one lies there now.
        """
        if _content(self.path) not in (None, self.content):
            raise ModelError(
                "another model has taken the place meanwhile; nothing was written",
                file=self.path,
                remedy="Run the command again, or give another output",
            )


def _content(path: Path) -> str | None:
    try:
        return digest_of(path) if path.is_file() else None
    except FileNotFoundError:
        return None
    except OSError:
        return UNREADABLE
