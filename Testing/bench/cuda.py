"""The engine on a CUDA card beside the processor and peers, in at most five minutes: ``python -m Testing.bench.cuda``.

Times are absolute, each engine in its best setting (autocast, windows in batches, no mirroring). What could not be done
is said in words. Exit status: 0 where everything was measured and agrees, 1 where a part could not be done or differs,
3 where there is no card.
"""

from __future__ import annotations

import sys

from Testing.bench.card.card_bench import run_bench


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON; the exit status."""
    return run_bench("cuda", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
