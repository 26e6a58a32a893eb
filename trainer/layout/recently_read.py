"""The volumes that were read last, for cases that are slices of the same one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from MultiTaskSegLib.runtime.image.volume import Volume
from trainer.layout.case import Case, CaseReader, LabelMap

Content = TypeVar("Content")
# Slices of two volumes can be wanted in turn where several threads work on a list of slices.
MOST = 2


class RecentlyRead(Generic[Content]):
    """Keeps what few files held, the last ones that were asked for; may be asked by several threads.

    Args:
        most: how many.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[str, Content] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, read: Callable[[], Content]) -> Content:
        """What is kept under a key; it is read where it is not there. Others wait meanwhile, mostly for the same."""
        with self._lock:
            if key not in self._kept:
                self._kept[key] = read()
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return self._kept[key]

    def forget(self) -> None:
        """Free the memory."""
        with self._lock:
            self._kept.clear()


_IMAGES: RecentlyRead[Volume] = RecentlyRead()
_LABELS: RecentlyRead[LabelMap] = RecentlyRead()


def whole_image(case: Case, reader: CaseReader) -> Volume:
    """The volume that a case is a part of, read once for all its parts. It must not be changed.

    Raises:
        InputError: a file cannot be read.
    """
    key = _key(case, reader)
    return reader.image(case) if key is None else _IMAGES.get(key, lambda: reader.image(case))


def whole_labels(case: Case, reader: CaseReader) -> LabelMap:
    """Its label map, likewise."""
    key = _key(case, reader)
    return reader.labels(case) if key is None else _LABELS.get(key, lambda: reader.labels(case))


def forget_volumes() -> None:
    """Free the memory of what was read last."""
    _IMAGES.forget()
    _LABELS.forget()


def _key(case: Case, reader: CaseReader) -> str | None:
    """The same as long as the files are and are read the same way; None where they are missing, which the reader says
    in words."""
    whole = replace(case, reader=reader)
    try:
        states = [(str(path), path.stat()) for path in whole.files]
    except OSError:
        return None
    return repr([repr(reader), [(p, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for p, s in states]])
