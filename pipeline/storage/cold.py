"""What lies on the disk and not in memory yet: it is asked for ahead of reading, so that the disk works on all at once.

A page that a copy meets is read from the disk alone, while the copy waits; of some hundred places that a batch is read
from, that is ten times as long as the disk takes for all of them together.
"""

from __future__ import annotations

import mmap
import os
import resource

import numpy as np
from jaxtyping import Int, UInt64

from pipeline.storage.maps import will_need_memory


class Cold:
    """Whether the last reads came from the disk; the next ones are then likely to, too.

    Asking takes a tenth of the time of copying, so what is in memory is not asked for.
    """

    def __init__(self) -> None:
        self.is_cold = True
        self._read = disk_reads()

    def begin(self) -> None:
        """Reading begins."""
        self._read = disk_reads()

    def end(self) -> None:
        """Reading is done."""
        self.is_cold = disk_reads() != self._read


def disk_reads() -> tuple[int, int]:
    """Blocks that this process has read from disks, and pages that it waited for."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_inblock, used.ru_majflt


def will_need_mapped(places: UInt64[np.ndarray, " n"], sizes: Int[np.ndarray, " n"]) -> None:
    """Have the system read runs of bytes of mapped files, without waiting for it."""
    for place, size in zip(places.tolist(), sizes.tolist(), strict=True):
        begin = place - place % mmap.PAGESIZE
        will_need_memory(begin, place + size - begin)


def will_need_file(file: int, offset: int, size: int) -> None:
    """Have the system read some bytes of an open file, without waiting for it."""
    if hasattr(os, "posix_fadvise"):  # macOS has none
        os.posix_fadvise(file, offset, size, os.POSIX_FADV_WILLNEED)
