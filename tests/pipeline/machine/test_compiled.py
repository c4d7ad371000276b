"""What numba's cache on disk does not notice."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline
from pipeline.machine.compiled import Kernel

ROOT = Path(pipeline.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py") if "import compiled\n" in path.read_text())


def is_compiled(value: object) -> bool:
    """Before a file's first call, and after it, when numba's own objects stand in their places."""
    return isinstance(value, Kernel) or type(value).__module__ == "numba.core.dispatcher" or hasattr(value, "py_func")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_compiled_functions_call_those_of_their_own_file_only(path):
    """A cached caller would keep the old code of a function of another file that has changed."""
    module = importlib.import_module(".".join(path.relative_to(ROOT.parent).with_suffix("").parts))
    own = [f for f in vars(module).values() if is_compiled(f) and f.__module__ == module.__name__]
    assert own
    for function in own:
        code = inspect.unwrap(getattr(function, "py_func", function)).__code__
        called = [vars(module).get(name) for name in code.co_names]
        assert all(f.__module__ == module.__name__ for f in called if is_compiled(f))


def with_path(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT.parent}", "NUMBA_CACHE_DIR": str(folder / "cache")}


def test_the_first_compilation_is_announced_and_the_next_process_finds_its_result(tmp_path):
    (tmp_path / "kernels.py").write_text(
        "import logging, sys\n"
        "from pipeline.machine.compiled import compiled\n"
        "logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)\n"
        "@compiled()\n"
        "def twice(x):\n    return 2 * x\n"
        "@compiled()\n"
        "def fourfold(x):\n    return twice(twice(x))\n"
        "print('numba' in sys.modules)\n"
        "print(fourfold(3), fourfold(1.5), twice(4))\n"
    )
    command = [sys.executable, "-c", "import kernels"]
    first, second = (
        subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, env=with_path(tmp_path)
        ).stdout
        for _ in range(2)
    )
    assert first.splitlines() == [
        "False", "compiling, once: the next run finds the machine code in its cache", "12 6.0 8",
    ]  # fmt: skip
    assert second.splitlines() == ["False", "12 6.0 8"]
