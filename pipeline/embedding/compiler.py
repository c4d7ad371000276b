"""Whether torch.compile can work here, found without importing torch."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path


@functools.cache
def missing_tools(device_class: str) -> str:
    """What torch.compile lacks on this machine for `cpu` or `cuda`, in words; nothing where it lacks nothing."""
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        return "Python's header files (such as the package python3-dev)"
    if device_class == "cpu":
        compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
        return "" if shutil.which(compiler) else f"a C++ compiler ({compiler})"
    if importlib.util.find_spec("triton") is None:
        return "the package triton"
    known = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    return "" if any(map(shutil.which, known)) else f"a C compiler ({' or '.join(known)})"
