"""What numba's cache on disk does not notice."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import pipeline

ROOT = Path(pipeline.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "import compiled\n" in path.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiled_functions_call_those_of_their_own_file_only(path):
    """A cached caller would keep the old code of a function of another file that has changed."""
    module = importlib.import_module(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
    own = [f for f in vars(module).values() if isinstance(f, Dispatcher) and f.__module__ == module.__name__]
    assert own
    for function in own:
        called = [vars(module).get(name) for name in function.py_func.__code__.co_names]
        assert all(f.__module__ == module.__name__ for f in called if isinstance(f, Dispatcher))
