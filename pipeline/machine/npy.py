"""The header of an .npy file, which says what the bytes after it are."""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns lie together instead of rows, and dtype; the stream then stands at the first byte of data.

    Raises ValueError for what is no header, and for a version that holds no plain array.
    """
    version = npy.read_magic(file)
    if version not in READERS:
        raise ValueError(f"a header of version {version}, which holds no plain array")
    return READERS[version](file)
