"""How much may unpack from how little: what says that it is more is damaged, or is there to fill the memory."""

MOST_UNPACKED = 1100
"""Bytes from one packed byte: deflate makes nothing smaller than by a factor of 1,032."""

ALWAYS_UNPACKED = 2**20
"""Bytes that may come from however few."""


def can_unpack(size: int, packed: int) -> bool:
    """Whether so many bytes can come from `packed` ones.

    >>> can_unpack(2**30, 2**20), can_unpack(2**30, 2**10)
    (True, False)
    """
    return size <= max(ALWAYS_UNPACKED, MOST_UNPACKED * packed)
