"""Functions that run in a side environment, with another project's own packages, and what they read."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
QUIET = {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}


def side_python(name: str) -> Path:
    """The Python of `.interop/NAME`, made at its first use. Skips the test with the reason where it cannot be had."""
    interop = tool()
    try:
        return interop.environment(name)
    except interop.NotHere as error:
        pytest.skip(f"side environment {name}: {error}")


def read_by(name: str, read: Callable[..., Mapping[str, Any]], *args: Any) -> dict[str, np.ndarray]:
    """What a function gives in a side environment: arrays by name.

    `read` is sent as its own text, so it imports what it needs itself and knows nothing around it. `args` are what JSON
    holds, and paths, which arrive as texts. Texts and numbers come back as arrays, too: `str(answer["version"])`.
    """
    return run_by(side_python(name), read, *args)


def run_by(python: Path, read: Callable[..., Mapping[str, Any]], *args: Any) -> dict[str, np.ndarray]:
    """As `read_by`, with this Python. Raises AssertionError with what it printed where the function fails."""
    with tempfile.TemporaryDirectory() as folder:
        script, answer = Path(folder, "script.py"), Path(folder, "answer.npz")
        sent = json.dumps([str(each) if isinstance(each, Path) else each for each in args])
        script.write_text(
            f"from __future__ import annotations\n\n{textwrap.dedent(inspect.getsource(read))}\n\n"
            f"if __name__ == '__main__':\n"
            f"    import json, sys\n    import numpy\n"
            f"    read = {read.__name__}(*json.loads(sys.argv[2]))\n"
            f"    numpy.savez(sys.argv[1], **{{'_' + name: array for name, array in read.items()}})\n"
        )
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(
            [str(python), "-I", str(script), str(answer), sent],
            env=clean | QUIET, cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{python} {read.__name__}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        with np.load(answer, allow_pickle=False) as arrays:
            return {key[1:]: arrays[key] for key in arrays.files}  # savez takes names for its own arguments


def tool() -> Any:
    """tools/interop.py, which is no package."""
    path = ROOT / "tools" / "interop.py"
    if "interop_tool" not in sys.modules:
        spec = importlib.util.spec_from_file_location("interop_tool", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules["interop_tool"] = module
    return sys.modules["interop_tool"]
