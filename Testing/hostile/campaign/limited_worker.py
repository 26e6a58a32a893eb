"""The real worker with little memory: ``python limited_worker.py CAP_BYTES FREE_BYTES TRIED SCRATCH``.

CAP_BYTES is what it can take beyond its loaded libraries (0: no limit), FREE_BYTES what it is told to be free (0: the
truth). TRIED is a file that gets a line for every pass of the network over an image (``pass STEPS``: so many sizes of
parts are there to be tried, each smaller than the one before), for every size that is tried and for every one that is
enough.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from MultiTaskSegLib.runtime import (
    predictor,  # noqa: F401  loaded before the limit, as in a worker that has answered before
    worker,
)
from MultiTaskSegLib.runtime.machine import compute_device
from MultiTaskSegLib.runtime.network.parts import Parts
from MultiTaskSegLib.runtime.prediction.network_pass import NetworkPass

PASS, TRIED, ENOUGH = "pass", "tried", "enough"


def note_what_is_tried(path: Path) -> None:
    """From now on every pass writes what it tries."""
    stream = path.open("w", encoding="ascii", buffering=1)
    step_down = NetworkPass._with_less_memory

    def noted(self: NetworkPass, ladder: Sequence[Parts], run: Callable[..., object]) -> object:
        """As ever."""

        def tried(*of: object) -> object:
            """One size of parts."""
            stream.write(f"{TRIED}\n")
            found = run(*of)
            stream.write(f"{ENOUGH}\n")
            return found

        stream.write(f"{PASS} {len(ladder) - min(self._memory_step, len(ladder) - 1)}\n")
        return step_down(self, ladder, tried)

    NetworkPass._with_less_memory = noted  # type: ignore[method-assign, assignment]


def main() -> int:
    """Serve under the limits."""
    cap_bytes, free_bytes, tried, *rest = sys.argv[1:]
    note_what_is_tried(Path(tried))
    if int(free_bytes):
        compute_device.available_bytes = lambda: int(free_bytes)  # type: ignore[attr-defined]
    if int(cap_bytes):
        used_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + int(cap_bytes),) * 2)
    return worker.main(rest)


if __name__ == "__main__":
    sys.exit(main())
