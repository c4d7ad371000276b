"""Packages that not every installation has: imported when they are needed, with what to install where they are not."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from pipeline.errors import InvalidInput

EXTRAS = {
    "metaworld": {"metaworld": "Meta-World", "mujoco": "MuJoCo"},
    "mujoco": {"mujoco": "MuJoCo"},
    "dmc": {"dm_control": "dm_control", "mujoco": "MuJoCo"},
    "babyai": {"minigrid": "minigrid"},
    "tokenizers": {"tokenizers": "The package tokenizers"},
    "launchers": {"hydra_plugins": "hydra-submitit-launcher", "submitit": "submitit"},
    "ray": {"ray": "Ray"},
    "gcs": {"gcsfs": "gcsfs", "google_crc32c": "google-crc32c"},
    "s3": {"s3fs": "s3fs"},
    "policies": {"stable_baselines3": "Stable-Baselines3", "sb3_contrib": "sb3-contrib"},
    "report": {"jinja2": "jinja2"},
    "video": {"av": "PyAV"},
    "openvino": {"openvino": "OpenVINO"},
    "rlds": {"array_record": "The package array_record"},
}
"""Optional dependency of pyproject.toml -> the modules that it brings, each with its name for people."""

ALONE = ("s3", "ray")
"""Those that `make setup` does not bring."""


def not_installed(extra: str, module: str) -> InvalidInput:
    """The error for a module of an extra that is not there, or for a distribution by its own name."""
    way = "" if extra in ALONE else " (or make setup)"
    return InvalidInput(
        f"{EXTRAS[extra].get(module, module)} is not installed. Install it: pip install 'repertoire[{extra}]'{way}."
    )


def import_extra(extra: str, name: str) -> ModuleType:
    """The module `name`, such as `metaworld.policies`, which an extra brings.

    Raises InvalidInput with what to install where a package of the extra is missing. Other failures of the import go
    through as they are: they are the package's own.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in EXTRAS[extra]:
            raise
        raise not_installed(extra, missing) from error


def extra_versions(extra: str, *distributions: str) -> dict[str, str]:
    """The versions of installed distributions, found without importing any.

    Raises InvalidInput with what to install where one is missing.
    """
    try:
        return {distribution: version(distribution) for distribution in distributions}
    except PackageNotFoundError as error:
        missing = str(error.name).replace("-", "_")
        raise not_installed(extra, missing if missing in EXTRAS[extra] else str(error.name)) from error
