"""The data in a pickle, read without importing or calling what it names."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

from pipeline.machine.pickles import check_pickle
from pipeline.machine.plain_pickle import stand_in

_NUMBERS = {dtype.__name__: dtype for dtype in np.sctypeDict.values()}
"""NumPy's types of numbers by their names, which make numbers and nothing else."""


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


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (plain := stand_in(module, name)) is not None:
            return plain
        if module == "numpy" and name in _NUMBERS:
            return _NUMBERS[name]
        return type(name, (Opaque,), {"__module__": module})
