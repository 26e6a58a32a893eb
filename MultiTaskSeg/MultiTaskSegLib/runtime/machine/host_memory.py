"""How much main memory this process may still take. No torch here."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

from MultiTaskSegLib.runtime.machine.control_group import group_memories

VM_STAT_TIMEOUT_S = 2.0


def available_bytes() -> int | None:
    """Main memory that can be taken without swapping, in bytes; None where the system does not tell.

    The smallest of what the machine, each control group (a container, a batch job) and the limit of the process leave.
    """
    if sys.platform == "win32":
        return _windows_status()[1]
    if sys.platform == "darwin":
        return parse_vm_stat(_vm_stat())
    rooms = [parse_meminfo(_read("/proc/meminfo"), "MemAvailable"), _address_space_room()]
    rooms += [memory.room_bytes for memory in group_memories()]
    return min((room for room in rooms if room is not None), default=None)


def total_bytes() -> int | None:
    """Main memory of the machine or of the container, in bytes; None where the system does not tell."""
    if sys.platform == "win32":
        return _windows_status()[0]
    if sys.platform == "darwin":
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    sizes = [parse_meminfo(_read("/proc/meminfo"), "MemTotal")]
    sizes += [memory.limit_bytes for memory in group_memories()]
    return min((size for size in sizes if size is not None), default=None)


def is_address_space_limited() -> bool:
    """Whether addresses are counted (``ulimit -v``, some batch systems), so that also what is reserved, and never used,
    takes of what there is."""
    return _address_space_limit() is not None


def parse_meminfo(text: str, key: str) -> int | None:
    """Bytes of one line of ``/proc/meminfo``.

    >>> parse_meminfo("MemTotal:  16 kB\\nMemAvailable:   8 kB", "MemAvailable")
    8192
    """
    found = re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)
    return None if found is None else 1024 * int(found.group(1))


def parse_vm_stat(text: str) -> int | None:
    """Bytes that macOS can hand out at once, from what its program ``vm_stat`` prints.

    >>> parse_vm_stat('(page size of 4096 bytes)\\nPages free:  2.\\nPages inactive:  3.\\nPages wired down:  9.')
    20480
    """
    size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative):\s+(\d+)\.", text, re.MULTILINE)
    return None if size is None or not pages else int(size.group(1)) * sum(int(count) for count in pages)


def _address_space_room() -> int | None:
    """What ``ulimit -v`` leaves."""
    if sys.platform == "win32":
        return None
    import resource

    limit, pages = _address_space_limit(), _read("/proc/self/statm").split()
    if limit is None or not pages:
        return None
    return max(0, limit - int(pages[0]) * resource.getpagesize())


def _address_space_limit() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _vm_stat() -> str:
    try:
        return subprocess.run(
            ["/usr/bin/vm_stat"], capture_output=True, text=True, check=False, timeout=VM_STAT_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = [
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *((name, ctypes.c_ulonglong) for name in ("total", "free", "page", "free_page", "virtual", "free_virtual")),
        ("extended", ctypes.c_ulonglong),
    ]


def _windows_status() -> tuple[int | None, int | None]:
    """Total and free bytes."""
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    windll = getattr(ctypes, "windll", None)
    if windll is None or not windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None, None
    return int(status.total), int(status.free)
