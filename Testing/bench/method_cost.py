"""What the calls of one method cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def method_cost(owner: type, name: str) -> Iterator[list[float]]:
    """The CPU seconds, of all threads, of every call of a method."""
    used: list[float] = []
    plain: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        """Measure and pass on."""
        started_s = time.process_time()
        result = plain(*arguments)
        used.append(time.process_time() - started_s)
        return result

    setattr(owner, name, timed)
    try:
        yield used
    finally:
        setattr(owner, name, plain)
