"""What the processor is called."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")


def processor_name() -> str:
    """In its maker's words where the system tells them, else its family.

    Unlike `platform.processor`, which runs ``uname`` on Linux and macOS, this starts no program.
    """
    try:
        told = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:  # another system, or one that keeps it from its programs
        told = ""
    for line in told.splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return os.environ.get("PROCESSOR_IDENTIFIER") or platform.machine()
