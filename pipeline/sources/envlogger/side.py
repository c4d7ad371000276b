"""The other Python, in which EnvLogger's own package reads the log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from pipeline.errors import InvalidInput
from pipeline.sources.envlogger.metadata import nested_values
from pipeline.sources.envlogger.stream import BrokenStream, Frame, frames

READER = Path(__file__).with_name("reader.py")

MAKE = "make setup-envlogger"

REASONS = {
    "libgmpxx": "The library libgmpxx is missing: apt-get install libgmpxx4ldbl (make system names all of them).",
    "GLIBC_": f"This release of envlogger needs a newer glibc. envlogger 1.2 runs with an older one: {MAKE}",
    "Descriptors cannot be": f"It needs protobuf < 5: {MAKE}",
    "_ARRAY_API": f"It needs numpy < 2: {MAKE}",
    "No module named": f"Install it there: {MAKE}",
}
"""What is said of an import that fails, by a word of its error."""


def log_metadata(python: Path, log: Path) -> dict[str, Any]:
    """What the log says of itself, as JSON: what its writer added, and `environment_specs`. Raises InvalidInput."""
    with _reading(python, log, "metadata", str(log)) as found:
        return nested_values(column for frame in found for column in frame.once)


def log_frames(python: Path, log: Path, start: int, incomplete: str) -> Generator[Frame, None, None]:
    """The frames `metadata`, those of the episodes from number `start` on, and `end`. Raises InvalidInput."""
    with _reading(python, log, "episodes", str(log), str(start), incomplete) as found:
        yield from found


@contextmanager
def _reading(python: Path, log: Path, *words: str) -> Iterator[Iterator[Frame]]:
    """The frames that the reader sends; it is stopped when the block ends."""
    require_python(python)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [str(python), "-I", "-B", str(READER), *words]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean
        )
    except OSError as error:
        raise InvalidInput(f"source.python={python} cannot be started: {error.strerror}.") from error
    try:
        yield _checked(frames(cast(BinaryIO, process.stdout)), process, python, log)
    finally:
        process.kill()
        process.wait()
        cast(BinaryIO, process.stdout).close()


def _checked(found: Iterator[Frame], process: subprocess.Popen[bytes], python: Path, log: Path) -> Iterator[Frame]:
    try:
        for frame in found:
            if frame.kind == "error":
                raise InvalidInput(_words(frame, python, log))
            yield frame
    except BrokenStream as error:
        status = process.wait()
        how = f"was stopped by signal {-status}" if status < 0 else f"ended with status {status}"
        raise InvalidInput(
            f"{log} cannot be read: the reader {how}, and what it sent cannot be used ({error})."
        ) from error


def require_python(python: Path) -> None:
    """Raises InvalidInput where the side environment is not there."""
    if not python.is_file():
        raise InvalidInput(
            f"source=envlogger reads with EnvLogger's own package, in an environment of its own, and there is no "
            f"{python}.\nMake it, in the folder of this project: {MAKE}\n"
            f"Or name a Python that has envlogger 1.2: source.python=PYTHON"
        )


def _words(frame: Frame, python: Path, log: Path) -> str:
    words = str(frame.head.get("words", ""))
    if frame.head.get("of") != "import":
        return f"{log} cannot be read by EnvLogger's own reader: {words}"
    hint = next((hint for word, hint in REASONS.items() if word in words), f"Make it again: {MAKE}")
    return f"envlogger cannot be imported by {python}: {words}\n{hint}"
