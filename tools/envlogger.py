"""Make the environment in which source=envlogger reads: .envlogger, or the folder that is named.

python tools/envlogger.py [FOLDER]      ends with 1 and the reason where it cannot be made here
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as if this file had been started
from install import ROOT
from interop import NotHere, environment

PLACE = ROOT / ".envlogger"
IMPORTS = "import envlogger.backends.python.riegeli_dataset_reader, envlogger.proto.storage_pb2"

REASONS = {
    "libgmpxx": "A system library is missing. As root: apt-get install libgmpxx4ldbl   (make system shows all)",
    "GLIBC_": "The package needs a newer C library (glibc) than this machine's: read the log on a newer system",
}
"""What is said of an import that fails, by a word of its error."""


def main(words: list[str]) -> int:
    """Make the environment and see whether envlogger can be imported there; the exit status."""
    place = Path(words[0]).absolute() if words else PLACE
    try:
        python = environment("envlogger", place)
    except NotHere as error:
        print(f"envlogger: {error}.")
        print(
            "It is on PyPI for Python 3.10 and 3.11 on Linux (x86-64). Elsewhere made: source.python=PYTHON names it."
        )
        return 1
    except RuntimeError as error:
        print(f"envlogger: {error}")
        return 1
    done = subprocess.run([python, "-I", "-c", IMPORTS], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [f"ended with status {done.returncode}"]
        hint = next((hint for word, hint in REASONS.items() if word in said[0]), "")
        print(f"envlogger is installed, but cannot be imported: {said[0]}\n{hint}".rstrip())
        return 1
    print(f"envlogger: {os.path.relpath(python, Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
