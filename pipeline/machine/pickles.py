"""Whether a pickle is one that Python can read within the memory that its bytes promise."""

from __future__ import annotations

import pickle
import pickletools
import re


def check_pickle(data: bytes) -> None:
    """Raises ValueError for a pickle that remembers more objects than it has bytes: Python would make room for them."""
    if not _is_common(data):
        _check_each(data)


def _check_each(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument is not None and argument > len(data):
            raise ValueError(f"a pickle of {len(data):,} bytes has no object {argument:,}")


def _is_common(data: bytes) -> bool:
    """Whether a pickle is one that `_check_each` lets pass, where a glance shows that; a fourth of the time."""
    if len(data) < SHORT:
        return False
    end = 0
    while (at := _COMMON.match(data, end).end()) < len(data):  # type: ignore[union-attr]  # it matches nothing, too
        code = data[at : at + 1]
        if code == pickle.STOP:
            return True
        if (width := _SIZED.get(code)) is None:
            return False
        begin = at + 1 + width
        end = begin + int.from_bytes(data[at + 1 : begin], "little")
        if end > len(data) or (code in _TEXTS and not data[begin:end].isascii()):
            return False
    return False


SHORT = 256
"""Bytes of a pickle in which BINPUT, of which the argument is one byte, may name an object that it does not have."""

_TEXTS = {pickle.SHORT_BINUNICODE: 1, pickle.BINUNICODE: 4, pickle.BINUNICODE8: 8}
_SIZED = {pickle.SHORT_BINBYTES: 1, pickle.BINBYTES: 4, pickle.BINBYTES8: 8, pickle.BYTEARRAY8: 8, **_TEXTS}
"""Opcodes that say how many bytes follow, and in how many bytes they say it."""


def _common() -> re.Pattern[bytes]:
    """Any number of opcodes that need no look: of a fixed size, with a few bytes or ASCII letters, or a plain name."""
    by_width: dict[int, bytes] = {}
    for each in pickletools.opcodes:
        width = each.arg.n if each.arg else 0
        if width >= 0 and each.name not in ("STOP", "LONG_BINPUT"):
            by_width[width] = by_width.get(width, b"") + re.escape(each.code.encode("latin-1"))
    codes = [b"[%b].{%d}" % (codes, width) for width, codes in by_width.items()]
    few = range(16)
    codes += [b"X(?:%b)" % b"|".join(b"%c\0\0\0[\0-\x7f]{%d}" % (count, count) for count in few)]
    codes += [b"\x8c(?:%b)" % b"|".join(b"%c[\0-\x7f]{%d}" % (count, count) for count in few)]
    codes += [b"C(?:%b)" % b"|".join(b"%c.{%d}" % (count, count) for count in few)]
    return re.compile(b"(?:%b)*+" % b"|".join([*codes, rb"c[\w.]*+\n[\w.]*+\n"]), re.DOTALL)


_COMMON = _common()
