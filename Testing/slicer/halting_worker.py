"""The real worker, stopped at a chosen place: ``python halting_worker.py ORDERS SCRATCH``.

ORDERS is a JSON file. ``trace``: where to write the names of all functions of this package in the order of their first
call. ``halt_at`` and ``request``: hang at the first call of that function while the request of that number (from 1) is
answered (0: before any); ``mark``: the file that says that it hangs. Functions are named ``FILE.function``. Hanging
without an end is the worst that any step can do.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import FrameType

ORDERS = json.loads(Path(sys.argv[1]).read_text())
START = "start"
HANG_S = 600.0


class Watch:
    """Sees every call of a Python function."""

    def __init__(self) -> None:
        self.request = 0
        self.seen: dict[tuple[int, str], None] = {}

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        """Called by the interpreter."""
        if event != "call" or "MultiTaskSegLib" not in frame.f_code.co_filename:
            return
        name = f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}"
        self.request += name == "worker.handle"
        if (self.request, name) not in self.seen:
            self.seen[self.request, name] = None
            self.reached(name)

    def reached(self, name: str) -> None:
        """Hang when this is the place."""
        if "trace" in ORDERS:
            calls = [[number, called] for number, called in self.seen]
            # Whole at every moment: the parent may end this process while it writes.
            aside = Path(ORDERS["trace"] + ".part")
            aside.write_text(json.dumps(calls))
            aside.replace(ORDERS["trace"])
        if (ORDERS.get("halt_at"), ORDERS.get("request")) == (name, self.request):
            sys.setprofile(None)
            Path(ORDERS["mark"]).touch()
            time.sleep(HANG_S)


def main() -> int:
    """Serve, watched."""
    watch = Watch()
    watch.reached(START)
    from MultiTaskSegLib.runtime import worker

    sys.setprofile(watch)
    return worker.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
