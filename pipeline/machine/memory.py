"""What the C library does with memory that was freed."""

from __future__ import annotations

import ctypes
import platform

KEPT_BYTES = 64 * 2**20
LARGEST_KEPT = 32 * 2**20
"""The most that glibc takes for M_MMAP_THRESHOLD."""

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Have this process keep some of the memory that it frees, instead of giving all of it back to the system at once.

    Compressing takes and frees megabytes for each chunk. Given back and taken again, every page is cleared by the
    system again, which takes as long as compressing frames does. To be called first in a process that is the caller's
    own. Source: mallopt(3). Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
