"""Make side environments for the readers of other projects, whose packages do not go together with the project's own.

python tools/interop.py [NAME ...]      all of tests/interop/requirements/NAME.txt, or those named; into .interop/NAME

A requirements file lists every package with its version. Comments at its top say where it goes:
# python: 3.12         it needs this Python; else the one that runs this file
# beside: project      it also sees the packages of the environment that runs this file, such as torch

What cannot be had here (no such Python, no index) is left out with the reason, and its tests are skipped with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as if this file had been started
from install import CPU_TORCH, ROOT, find_uv, installed_by_uv, pip_settings, takes_cpu_torch

REQUIREMENTS = ROOT / "tests" / "interop" / "requirements"
PLACE = ROOT / ".interop"
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]


class NotHere(Exception):
    """A side environment cannot be had on this machine; the message says why."""


def environment(name: str, place: Path | None = None) -> Path:
    """The Python of a side environment, which is made where it is missing or other than its requirements.

    It lies in `.interop/NAME`, or at another `place`.

    Raises NotHere where this machine lacks what it needs, and RuntimeError where its packages cannot be installed
    although the index answers.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    text = requirements.read_text()
    place = PLACE / name if place is None else place
    python, ready = place / "bin" / "python", place / "ready"
    interpreter = found_python(setting(text, "python"))
    stamp = f"{Path(interpreter).resolve()}\n{Path(sys.prefix).resolve()}\n{text}"
    if ready.exists() and ready.read_text() == stamp:
        return python
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", "--without-pip", str(place)], check=True)
    if setting(text, "beside") == "project":
        (see,) = place.glob("lib/python*/site-packages")
        (see / "project.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    install(python, requirements)
    ready.write_text(stamp)
    return python


def setting(text: str, key: str) -> str | None:
    """What a comment of a requirements file says: `# python: 3.12`."""
    found = re.search(rf"^# {key}: (\S+)", text, re.MULTILINE)
    return found and found[1]


def found_python(version: str | None) -> str:
    """A Python of this version, such as 3.12, else the one that runs; raises NotHere where there is none."""
    if version in (None, f"{sys.version_info.major}.{sys.version_info.minor}"):
        return sys.executable
    for path in candidates(version):
        if subprocess.run([path, "-c", "import venv, ctypes, ssl"], capture_output=True, check=False).returncode == 0:
            return path
    raise NotHere(f"it needs Python {version}, which is not on this machine")


def candidates(version: str) -> Iterator[str]:
    """Where a Python of this version may lie: on the PATH, with pyenv, with uv."""
    if (named := shutil.which(f"python{version}")) is not None:
        yield named
    roots = (Path(os.environ.get("PYENV_ROOT", "~/.pyenv")) / "versions", Path("~/.local/share/uv/python"))
    for root in roots:
        yield from map(str, sorted(root.expanduser().glob(f"*{version}*/bin/python{version}"), reverse=True))


def install(python: Path, requirements: Path) -> None:
    """Install exactly what is listed, by uv where it can be had, else by pip."""
    settings = pip_settings(PIP)
    uv = None if os.environ.get("INSTALLER") == "pip" else find_uv(Path(sys.prefix), PIP)
    indexes = [CPU_TORCH] if takes_cpu_torch(settings) else []
    wanted = ["--no-deps", "-r", os.path.relpath(requirements, ROOT)]
    if uv is not None and installed_by_uv(uv, python, settings, indexes, wanted):
        return
    extra = [word for index in indexes for word in ("--extra-index-url", index)]
    command = [*PIP, "--python", str(python), "install", "--quiet", *extra, *wanted]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    if not index_answers():
        raise NotHere("its packages cannot be fetched: the package index does not answer")
    raise RuntimeError(f"{requirements} cannot be installed:\n{done.stderr.strip()}")


def index_answers() -> bool:
    """Whether pip can fetch anything at all."""
    with tempfile.TemporaryDirectory() as folder:
        small = [*PIP, "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest", folder, "packaging"]
        return subprocess.run(small, capture_output=True, check=False).returncode == 0


def main(names: list[str]) -> int:
    """Make the side environments with these names, or all; the exit status."""
    failed = 0
    for name in names or sorted(path.stem for path in REQUIREMENTS.glob("*.txt")):
        try:
            print(f"{name}: {os.path.relpath(environment(name), ROOT)}", flush=True)
        except NotHere as error:
            print(f"{name}: left out, {error}", flush=True)
        except RuntimeError as error:
            print(f"{name}: {error}", flush=True)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
