"""Make a virtual environment and install the project into it, by uv where it can be had, else by pip.

python3 tools/install.py VENV EXTRAS      EXTRAS: of pyproject.toml, e.g. all,test

uv resolves and unpacks several times faster than pip, but it does not read pip's configuration. So the configuration
is handed on to it (indexes, find-links, constraints, certificates, proxies), and uv may choose between all indexes as
pip does. Where pip is configured with something that uv has no setting for, and where uv fails, pip installs.

INSTALLER=pip in the environment asks for pip. Only the standard library is imported: nothing is installed yet.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CPU_TORCH = os.environ.get("TORCH_CPU_INDEX", "https://download.pytorch.org/whl/cpu")

# pip's settings that change nothing about what is installed
WITHOUT_EFFECT = set(
    """cache-dir config-file debug default-timeout disable-pip-version-check exists-action format keyring-provider log
    no-cache-dir no-color no-input no-python-version-warning no-warn-conflicts no-warn-script-location progress-bar
    quiet require-virtualenv retries root-user-action timeout upgrade-strategy verbose""".split()  # noqa: SIM905  easier to read
)
# pip's setting -> uv's environment variable, and what lies between several values
VARIABLES = {
    "index-url": ("UV_DEFAULT_INDEX", None),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "constraint": ("UV_CONSTRAINT", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", None),
    "proxy": ("ALL_PROXY", None),
}
SWITCHES = {"no-index": "--no-index", "pre": "--prerelease=allow"}
RANKS = {"global": 0, "install": 1, ":env:": 2}  # where pip's settings are given; the last wins


class NotForUv(Exception):
    """pip is configured with a setting that uv has no equal of."""


def main(venv: Path, extras: str) -> int:
    """Make `venv` where it is missing and install the project with `extras`; the exit status."""
    if sys.version_info < (3, 11):  # noqa: UP036  this file is also started by the Python that is too old
        print(f"Wanted: Python 3.11 or newer. Here: {sys.version.split()[0]}. Try: make setup PYTHON=python3.11")
        return 1
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    settings = pip_settings(pip)
    indexes = [CPU_TORCH] if takes_cpu_torch(settings) else []
    wanted = ["-c", "constraints.txt", "-e", f".[{extras}]"]
    uv = None if os.environ.get("INSTALLER") == "pip" else find_uv(venv, pip)
    if uv is not None and installed_by_uv(uv, python, settings, indexes, wanted):
        return 0
    print(f"installing .[{extras}] with pip", flush=True)
    extra = [word for index in indexes for word in ("--extra-index-url", index)]
    return subprocess.run([*pip, "install", "--quiet", *extra, *wanted], cwd=ROOT, check=False).returncode


def installed_by_uv(uv: str, python: Path, settings: dict[str, str], indexes: list[str], wanted: list[str]) -> bool:
    """Install what is `wanted` with uv; False, with the reason on screen, where it cannot."""
    try:
        command, variables = uv_install(uv, python, settings, indexes)
    except NotForUv as error:
        print(error)
        return False
    print(f"installing {wanted[-1]} with uv", flush=True)
    # what the user set for uv comes before what is taken over from pip
    if subprocess.run([*command, *wanted], cwd=ROOT, env={**variables, **os.environ}, check=False).returncode == 0:
        return True
    print("uv could not install it (the reason is above)")
    return False


def find_uv(venv: Path, pip: list[str]) -> str | None:
    """The uv of this machine, else the one of `venv`, which pip fetches; None where it cannot be had."""
    own = venv / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        subprocess.run([*pip, "install", "--quiet", "--only-binary=uv", "uv"], stderr=subprocess.DEVNULL, check=False)
        found = str(own) if own.exists() else None
    return found


def pip_settings(pip: list[str]) -> dict[str, str]:
    """What pip is configured with, by files and by variables: {"find-links": "/wheels", ...}.

    Ends the program where pip cannot read it, with what pip says.
    """
    loud = {**os.environ, "PIP_QUIET": "0"}  # a quiet pip lists nothing
    listed = subprocess.run([*pip, "config", "list"], env=loud, capture_output=True, text=True, check=False)
    if listed.returncode:
        sys.exit(f"pip cannot read its configuration: {listed.stderr.strip()}")
    by_rank: list[dict[str, str]] = [{} for _ in RANKS]
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        if section in RANKS:
            by_rank[RANKS[section]][key] = ast.literal_eval(value)
    return {key: value for settings in by_rank for key, value in settings.items() if value}


def uv_install(uv: str, python: Path, settings: dict[str, str], indexes: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command by which uv installs what pip would with `settings`, and its environment variables.

    Addresses go into variables: they may hold a password, and everybody can read a command line.
    """
    command = [uv, "pip", "install", "--quiet", "--python", str(python)]
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}  # pip's rule: the best version of all indexes
    for key, value in settings.items():
        if key in VARIABLES:
            name, between = VARIABLES[key]
            variables[name] = value if between is None else between.join(value.split())
        elif key in SWITCHES:
            command += [SWITCHES[key]] if is_on(value) else []
        elif key in ("only-binary", "no-binary"):
            command += [word for name in value.replace(",", " ").split() for word in (f"--{key}", name)]
        elif key not in WITHOUT_EFFECT:
            raise NotForUv(f"pip is configured with {key}, which cannot be handed on to uv")
    if indexes:
        variables["UV_INDEX"] = " ".join([*variables.get("UV_INDEX", "").split(), *indexes])
    return command, variables


def is_on(value: str) -> bool:
    """What pip takes a switch of its configuration for."""
    return value.lower() not in ("0", "false", "no", "off", "f", "n")


def takes_cpu_torch(settings: dict[str, str]) -> bool:
    """Whether PyTorch's own index of CPU builds is asked: no GPU here, no index set, and it answers."""
    has_gpu = Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None
    if has_gpu or not sys.platform.startswith("linux") or "index-url" in settings:
        return False
    if is_on(settings.get("no-index", "no")):
        return False
    try:
        with urllib.request.urlopen(f"{CPU_TORCH.rstrip('/')}/torch/", timeout=5):
            return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
