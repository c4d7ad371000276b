"""Pickles of plain values: numbers, texts, lists, mappings and arrays of numbers. Anything else is refused by its name.

Nothing that a pickle names is imported or called. NumPy's own functions are not called either: a pickle may hand them a
type that calls itself an object's and holds numbers, which would then be taken for addresses in memory.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.machine.pickles import check_pickle

_KIND = re.compile(r"[<>=|]?([biufcSUO])(\d{1,6})")
_ORDERS = ("<", ">", "=", "|")


class NeedsCode(Exception):
    """A pickle of more than plain values; its text is the name of what it wants to be called."""


def read_plain(data: bytes) -> Any:
    """The value of a pickle.

    Raises NeedsCode for anything but plain values, and any other error for a damaged pickle.
    """
    check_pickle(data)
    value = _Reader(io.BytesIO(data)).load()
    _require_bounded([value], len(data))
    return value


def load_any(data: bytes) -> Any:
    """The value of a pickle that is trusted: whatever it names is called."""
    return pickle.loads(data)


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (plain := stand_in(module, name)) is None:
            raise NeedsCode(f"{module}.{name}"[:80])
        return plain

    def persistent_load(self, pid: Any) -> Any:
        raise NeedsCode("what lies in another file")


class _Type:
    """A dtype of numbers, texts or objects, which nothing in the pickle changes but in the order of its bytes."""

    def __init__(self, code: str, *_: Any) -> None:
        found = _KIND.fullmatch(code)
        if found is None:
            raise NeedsCode(f"numpy.dtype({code!r})"[:80])
        self.holds_objects = found[1] == "O"
        self.dtype = np.dtype(object) if self.holds_objects else np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order, *parts = state[1:5]
        if order not in _ORDERS or any(part is not None for part in parts):
            raise NeedsCode("numpy.dtype of several parts")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array that is filled when its state comes."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, data = state
        if shape != () or type(kind) is not _Type or type(data) is not list or not kind.holds_objects or len(data) != 1:
            _check(shape, kind, data)  # nearly all are one dict
        _set_state(self, (1, shape, kind.dtype, by_column is True, data))


_set_state: Any = np.ndarray.__setstate__


def _reconstruct(*_: Any) -> np.ndarray:
    return _Array(0, np.uint8)


def _frombuffer(data: Any, kind: _Type, shape: tuple[int, ...], order: str) -> np.ndarray:
    _check(shape, kind, data)
    return np.frombuffer(data, kind.dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(kind: _Type, data: Any = None) -> Any:
    if type(kind) is not _Type or kind.holds_objects:
        raise NeedsCode("numpy.object_")
    return _number(kind.dtype, data)


_number: Any = np.float32(0).__reduce__()[0]
"""NumPy's own function, under the name that it has in this version; it compares the sizes."""


def _encode(text: str, encoding: str = "latin1") -> bytes:
    return text.encode("latin1" if encoding in ("latin1", "latin-1") else "ascii")


def _no_bytes(*_: Any) -> bytes:
    """How old pickles write none."""
    return b""


def _check(shape: Any, kind: Any, data: Any) -> None:
    """Raises ValueError where data do not fill an array."""
    if type(kind) is not _Type or type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError("no array")
    if kind.holds_objects is not (type(data) is list):
        raise ValueError("an array of something else")
    if len(data) != math.prod(shape) * (1 if kind.holds_objects else kind.dtype.itemsize):
        raise ValueError("an array whose data are not as many as its shape says")


class _StandIn:
    """Is called in the place of what a pickle names; a state that a pickle gives it would change it for all others."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setstate__(self, _: Any) -> None:
        raise NeedsCode("a changed function")


_STAND_INS: Mapping[tuple[str, str], Any] = {
    ("numpy", "dtype"): _StandIn(_Type),
    ("numpy", "ndarray"): "ndarray",  # named only, never called
    ("numpy.core.multiarray", "_reconstruct"): _StandIn(_reconstruct),
    ("numpy.core.multiarray", "scalar"): _StandIn(_scalar),
    ("numpy.core.numeric", "_frombuffer"): _StandIn(_frombuffer),
    ("_codecs", "encode"): _StandIn(_encode),
    ("__builtin__", "bytes"): _StandIn(_no_bytes),
    ("collections", "OrderedDict"): _StandIn(dict),
}


def stand_in(module: str, name: str) -> Any:
    """What is called in the place of what a pickle names; None where that makes no plain value."""
    return _STAND_INS.get((module.replace("numpy._core", "numpy.core", 1), name))


def _require_bounded(value: Any, size: int) -> None:
    """Raises ValueError for a value that is larger than a pickle of so many bytes: the same list in it very often."""
    waiting, left = [value], size
    while waiting:
        inside = waiting.pop()
        if type(inside) is dict:
            inside = inside.values()
        elif type(inside) is _Array:
            inside = _objects_of(inside)
        left -= len(inside)
        if left < 0:
            raise ValueError("a value that holds itself, or the same one very often")
        if not _HOLDERS.isdisjoint(map(type, inside)):
            waiting += [each for each in inside if type(each) in _HOLDERS]


def _objects_of(array: np.ndarray) -> Sequence[Any]:
    if array.dtype.kind != "O":
        return ()
    return (array.item(),) if array.ndim == 0 else array.ravel().tolist()


_HOLDERS = frozenset([dict, list, tuple, set, frozenset, _Array])
