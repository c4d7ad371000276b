"""Stands in for packages that are not installed, so that what does not call them runs.

Most modules name such a package in annotations, or for something that a benchmark of the GPU does not do. Here an
import of one that is missing gives our own modules a stand-in; who calls something of it is told which package it is.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

PACKAGES = (
    "PIL", "blake3", "google_crc32c", "h5py", "isal", "jaxtyping", "llvmlite", "numba", "numcodecs", "safetensors",
    "tenacity", "tensorstore", "threadpoolctl", "yaml", "zlib_ng",
)  # fmt: skip
OURS = ("pipeline", "benchmarks")


class MissingPackage(Exception):
    """Something of a package was called that is not installed here."""


class Absent:
    """Something of a package that is not there. It may stand in an annotation."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __getitem__(self, _: object) -> Any:
        return Any

    def __call__(self, *_: object, **__: object) -> Any:
        raise MissingPackage(f"the package {self._name.split('.')[0]}")


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {}) if name.endswith("Error") else Absent(f"{self.__name__}.{name}")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last one that is asked for a module."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in PACKAGES or _asks() not in OURS:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def _asks() -> str:
    """The package of the module that imports."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith((__name__, "importlib.", "_frozen")):
        frame = frame.f_back
    return "" if frame is None else str(frame.f_globals.get("__name__", "")).split(".")[0]


def missing(packages: Sequence[str]) -> list[str]:
    """Those that are not installed, stand-ins or not."""
    others = [each for each in sys.meta_path if not isinstance(each, _Finder)]
    return [name for name in packages if all(each.find_spec(name, None) is None for each in others)]


def stand_in() -> None:
    """From now on our modules can be imported whatever of PACKAGES is there."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
