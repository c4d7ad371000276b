"""The data in a pickle, read without importing or calling what it names."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from typing import Any

import numpy as np

_NUMBERS = {dtype.__name__ for dtype in np.sctypeDict.values()}

_PLAIN = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),  # how Python 2's byte strings are written
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    *(("numpy", name) for name in _NUMBERS),
}
"""What is really called: it makes arrays, numbers and mappings, and nothing else."""


class Opaque:
    """Stands for an object of a class that was not imported; its attributes are those of the object.

    Attributes:
        made_from: the arguments that the object was made with.
    """

    made_from: tuple[Any, ...] = ()

    def __new__(cls, *arguments: Any, **_: Any) -> Opaque:
        made = super().__new__(cls)
        made.made_from = arguments
        return made

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update(part)

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...


def read_opaque(data: bytes) -> Any:
    """The object of a pickle: numbers, texts, arrays and mappings as they are, all else Opaque.

    Runs no code of the pickle's. Raises pickle.UnpicklingError or another error of a damaged or stranger pickle.
    """
    check_pickle(data)
    return _Reader(io.BytesIO(data)).load()


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


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        old = module.replace("numpy._core", "numpy.core", 1)
        if (old, name) in _PLAIN:
            # numpy 2 moved its insides, and warns under their old names
            return super().find_class(old.replace("numpy.core", _CORE, 1), name)
        return type(name, (Opaque,), {"__module__": module})


_CORE = "numpy._core" if int(np.__version__.split(".")[0]) >= 2 else "numpy.core"
