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
    if isinstance(have, dict) and isinstance(want, dict):
        lines: list[str] = []
        for key in sorted(have.keys() | want.keys()):
            inner = f"{where}.{key}" if where else str(key)
            lines += differences(have.get(key, "nothing"), want.get(key, "nothing"), inner, words)
        return lines
    return [] if have == want else [f"{where}: {_text(have)} {words[0]}, {_text(want)} {words[1]}"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
