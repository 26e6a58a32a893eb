"""The same as ``Testing.bench.cuda`` on the graphics of an Apple processor: ``python -m Testing.bench.mps``."""

from __future__ import annotations

import sys

from Testing.bench.card.card_bench import run_bench


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit status, as of ``Testing.bench.cuda``."""
    return run_bench("mps", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
