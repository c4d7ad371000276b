"""What an export of ours says of where its episodes came from, as an ingest keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.dataset.origin import HELD, MADE_FROM

KEPT = ("tool", "domain", "task", "dataset", "digest", "episodes", HELD, "parameters", "export")
"""By `held` and `episodes` the ingest sees whether the episodes are still those (`pipeline.dataset.origin`)."""


def made_from(provenance: Mapping[str, Any] | None, whole: bool = True) -> dict[str, Any]:
    """For the identity of a source: digest, policy, seed and simulator that the episodes had in their first store.

    Empty for files that this project did not write. `whole` says that all is read as it was exported: where a setting
    leaves something out, nothing is compared.
    """
    if not provenance:
        return {}
    kept = [name for name in KEPT if name in provenance and (whole or name != HELD)]
    return {MADE_FROM: {name: provenance[name] for name in kept}}
