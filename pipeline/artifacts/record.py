"""What stands in a manifest: the type of each value, and the checksum that shows that none was changed since."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from pipeline.errors import DamagedArtifact
from pipeline.machine.files import read_json

CHECKSUM = "checksum"

LAYOUT = "manifest"
"""Among the versions: that of the manifest itself. Manifests without it were made before they had a checksum."""

VERSION = "2"

LARGEST = 256 * 2**20
"""Bytes; a manifest of two million files has so many."""


@dataclass(frozen=True)
class Each:
    """A mapping of names to values of one kind."""

    of: Any


@dataclass(frozen=True)
class Optional:
    """A value that earlier manifests, or some entries, do not have."""

    of: Any


NUMBER = (int, float)
ANY = object

KEYS: dict[str, Any] = {
    **dict.fromkeys(("kind", "task", "version", "fingerprint", "digest", "commit", "host", "command"), str),
    "format": int,
    "parents": [{"kind": str, "version": str, "digest": str, "episodes": (int, type(None)), "read": Optional(str)}],
    "parameters": Each(ANY),
    "parts": [
        {**dict.fromkeys(("episodes", "states", "bytes"), int), "name": str, "stuck": Optional(int)}
        | {"facts": Optional(Each((int, str)))}
    ],
    "arrays": [{"name": str, "shape": [int], "dtype": str, "unit": str}],
    "files": Each({"size": int, "blake3": str}),
    "counts": Each(NUMBER),
    "return": Each(NUMBER),
    "versions": Each(str),
    "seconds": NUMBER,
    "peak_memory_bytes": int,
    "warnings": [str],
    "quirks": Optional([Each(ANY)]),
    "facts": Optional(Each(ANY)),
    CHECKSUM: Optional(str),
}
"""The keys of a manifest. A value is a type or a tuple of allowed types, `[the type of each entry]`, `{key: type}`, or
one of the two above.
"""


def with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back, followed by their checksum."""
    plain: dict[str, Any] = json.loads(json.dumps(values))
    return plain | {CHECKSUM: checksum_of(plain)}


def checksum_of(values: Mapping[str, Any]) -> str:
    """BLAKE3 over all values but the checksum, as JSON with sorted keys and no spaces: its layout does not matter."""
    content = {key: value for key, value in values.items() if key != CHECKSUM}
    return blake3(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_record(path: Path) -> dict[str, Any]:
    """The values of a manifest. Raises DamagedArtifact where it is none, or was changed after it was written.

    Manifests that were made before they had a checksum are checked for their types alone.
    """
    if path.is_file() and path.stat().st_size > LARGEST:
        raise DamagedArtifact(f"{path} has {path.stat().st_size:,} bytes: no manifest is so large.")
    values = read_json(path)
    if why := misfit(values, KEYS, "") or _misplaced(values):
        raise DamagedArtifact(f"{path} is no manifest of this program: {why}.")
    if CHECKSUM not in values and LAYOUT in values["versions"]:
        raise DamagedArtifact(f"{path} has lost its checksum: it was changed after it was written.")
    if CHECKSUM in values and values[CHECKSUM] != checksum_of(values):
        raise DamagedArtifact(f"{path} does not give its checksum: it was changed after it was written.")
    return dict(values)


def misfit(value: Any, wanted: Any, where: str) -> str:
    """What of a JSON value is not as wanted, with its place: `files.a.size is a str`; empty where all is.

    >>> misfit({"size": "3"}, {"size": int}, "files.a")
    'files.a.size is a str'
    """
    if isinstance(wanted, Optional):
        return misfit(value, wanted.of, where)
    if isinstance(wanted, Each):
        return _misfits(value, dict, where) or _first(
            misfit(each, wanted.of, f"{where}.{key}") for key, each in value.items()
        )
    if isinstance(wanted, list):
        return _misfits(value, list, where) or _first(
            misfit(each, wanted[0], f"{where}[{number}]") for number, each in enumerate(value)
        )
    if isinstance(wanted, dict):
        return _misfits(value, dict, where) or _misfit_keys(value, wanted, where)
    return _misfits(value, wanted, where)


def _misfit_keys(value: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> str:
    before = f"{where}." if where else ""
    if missing := [key for key, each in wanted.items() if key not in value and not isinstance(each, Optional)]:
        return f"{before}{missing[0]} is missing"
    if unknown := sorted(value.keys() - wanted.keys()):
        return f"{before}{unknown[0]} is not known"
    return _first(misfit(each, wanted[key], f"{before}{key}") for key, each in value.items())


def _misfits(value: Any, wanted: Any, where: str) -> str:
    types = wanted if isinstance(wanted, tuple) else (wanted,)
    if ANY in types or type(value) in types:  # not isinstance: true is no number here
        return ""
    return f"{where or 'it'} is a {type(value).__name__}"


def _first(found: Any) -> str:
    return next(filter(None, found), "")


def _misplaced(values: Mapping[str, Any]) -> str:
    """A task that is not `domain/task`, or a file that does not lie in the artifact's folder."""
    names = values["task"].split("/")
    if len(names) != 2 or not all(names):
        return f"its task is {values['task']!r}"
    inside = (not name.startswith("/") and ".." not in name.split("/") for name in values["files"])  # there are many
    return "" if all(inside) else "it lists files of other folders"
