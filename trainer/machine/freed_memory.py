"""Keep freed memory in the process, so that feature maps are not paged in afresh for every operation."""

from __future__ import annotations

from MultiTaskSegLib.runtime.machine.memory_allocator import glibc

# Parameters of mallopt(3) in glibc.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to serve large blocks from its heap and not to hand freed ones back to the system.

    By default each large tensor is mapped anew and zeroed page by page by the kernel, which took a third of the CPU
    time of a training step. It is a setting of the whole process, so only programs call it, never libraries.

    Returns:
        Whether the C library is glibc and took the settings.
    """
    libc = glibc()
    if libc is None:
        return False
    return bool(libc.mallopt(M_MMAP_MAX, 0)) and bool(libc.mallopt(M_TRIM_THRESHOLD, LARGEST_INT))
