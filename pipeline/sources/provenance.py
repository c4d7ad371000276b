"""What an export of ours says of where its episodes came from, as an ingest keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = ("tool", "domain", "task", "dataset", "digest", "parameters", "export")


def made_from(provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """For the identity of a source: digest, policy, seed and simulator that the episodes had in their first store.

    Empty for files that this project did not write.
    """
    if not provenance:
        return {}
    return {"made_from": {name: provenance[name] for name in KEPT if name in provenance}}
