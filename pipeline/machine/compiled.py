"""Functions compiled to machine code by numba, which is loaded when the first of them is called."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

log = logging.getLogger(__name__)

_F = TypeVar("_F", bound=Callable[..., Any])

_lock = threading.RLock()


def compiled(**options: Any) -> Callable[[_F], _F]:
    """numba.njit without the GIL and cached on disk, keeping the function's static type.

    A compiled function may call those of its own file only: numba notices a change of the file that a cached function
    stands in, not of the files it calls into.
    """

    def compile_(function: _F) -> _F:
        # A test run that checks shapes wraps every function of the package; numba needs the one below.
        return cast(_F, Kernel(inspect.unwrap(function), options))

    return compile_


def intrinsic(function: Callable[..., Any]) -> Any:
    """numba.extending.intrinsic of the function as it is written: a test run wraps it in checks of its arguments."""
    from numba.extending import intrinsic

    return intrinsic(inspect.unwrap(function))


class Kernel:
    """A function that becomes numba's at its first call, together with the others of its file, which it may call."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._options = options

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._ready(*args, **named)

    @functools.cached_property
    def dispatcher(self) -> Any:
        """What numba makes of the function; it compiles when it is called."""
        return _numba().njit(cache=True, nogil=True, **self._options)(self._function)

    @functools.cached_property
    def _ready(self) -> Any:
        with _lock:
            own = self._function.__globals__
            for name, value in list(own.items()):
                if isinstance(value, Kernel) and value._function.__globals__ is own:
                    own[name] = value.dispatcher
            return self.dispatcher


@functools.cache
def _numba() -> Any:
    """numba, which from now on says so, once, when it has to compile: the next process finds the result on disk."""
    import numba
    from numba.core import event

    class Announcer(event.Listener):
        announced = False

        def on_start(self, _: Any) -> None:
            if not self.announced:
                log.info("compiling, once: the next run finds the machine code in its cache")
                self.announced = True

        def on_end(self, _: Any) -> None:
            pass

    event.register("numba:compile", Announcer())  # type: ignore[no-untyped-call]  # numba has no types
    return numba
