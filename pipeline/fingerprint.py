"""What an artifact was asked to be: a hash of its kind, task, format number, parameters and parents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.digest import short_hash


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text. Rejects NaN, which equals nothing."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint(value: Mapping[str, Any]) -> str:
    """Twelve hexadecimal characters that stand for `value`."""
    return short_hash(canonical(value))


def differences(have: Any, want: Any, where: str = "", words: tuple[str, str] = ("there", "asked")) -> list[str]:
    """One line per leaf that differs between two JSON values: `policy.name: scripted there, random asked`."""
    first, second = words
    return [
        f"{name}: {as_text(a)} {first}, {as_text(b)} {second}" for name, a, b in differing_leaves(have, want, where)
    ]


def differing_leaves(have: Any, want: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """The dotted name of each leaf that differs between two JSON values, with both; `nothing` where one lacks it."""
    if isinstance(have, dict) and isinstance(want, dict):
        found: list[tuple[str, Any, Any]] = []
        for key in sorted(have.keys() | want.keys()):
            inner = f"{where}.{key}" if where else str(key)
            found += differing_leaves(have.get(key, "nothing"), want.get(key, "nothing"), inner)
        return found
    return [] if have == want else [(where, have, want)]


def as_text(value: Any) -> str:
    """A text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
