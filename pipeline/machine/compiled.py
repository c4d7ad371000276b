"""Functions compiled to machine code by numba."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[_F], _F]:
    """numba.njit without the GIL and cached on disk, keeping the function's static type.

    A compiled function may call those of its own file only: numba notices a change of the file that a cached function
    stands in, not of the files it calls into.
    """

    def compile_(function: _F) -> _F:
        # A test run that checks shapes wraps every function of the package; numba needs the one below.
        return cast(_F, numba.njit(cache=True, nogil=True, **options)(inspect.unwrap(function)))

    return compile_
