"""Whether episodes that came from an export of ours are still those that were exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MADE_FROM = "made_from"
"""In the parameters of a source: what an export says of its origin; a list where it holds several tasks."""

HELD = "held"
"""In there: the digest of the episodes that the export holds."""


def changed_since_export(parameters: Mapping[str, Any], label: str, digest: str, count: int, whole: bool) -> str:
    """What to say of a dataset that came from an export, where its episodes are not those of it; else nothing.

    Args:
        parameters: of the dataset.
        label: `domain/task`.
        digest, count: of its episodes. Fewer than were exported are not compared, unless they are the whole source.
    """
    origin = _origin(parameters, label)
    exported = origin.get("episodes")
    if HELD not in origin or not isinstance(exported, int) or (count < exported and not whole):
        return ""
    if (count, digest) == (exported, origin[HELD]):
        return ""
    names = (origin.get(name) for name in ("domain", "task", "dataset"))
    return (
        f"The data were changed since they were exported: these {count:,} episodes are not the {exported:,} of "
        f"{'/'.join(map(str, names))}. What {MADE_FROM} says was true of those."
    )


def _origin(parameters: Mapping[str, Any], label: str) -> Mapping[str, Any]:
    """What an export said of a task; empty where none did."""
    source = parameters.get("source")
    known = source.get(MADE_FROM) if isinstance(source, Mapping) else None
    entries = [each for each in (known if isinstance(known, list) else [known]) if isinstance(each, Mapping)]
    of_task = [each for each in entries if f"{each.get('domain')}/{each.get('task')}" == label]
    found = entries if len(entries) == 1 else of_task
    return found[0] if found else {}
