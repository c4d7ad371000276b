"""What a log's dataset is: its place, its facts, the refusal to continue it under other facts; and what fills it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.artifacts.artifact import EPISODES, Spec
from pipeline.artifacts.claim import DRAFT, IDENTITY
from pipeline.dataset.grow import EPISODES_FORMAT, same_settings
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput
from pipeline.fingerprint import canonical, differences
from pipeline.machine.files import read_json
from pipeline.machine.secrets import values_without_secrets


@runtime_checkable
class Unfinished(Protocol):
    """A recorder that may be in the middle of an episode."""

    def stop(self) -> None:
        """Give the episode up, or append it as it is."""


def log_spec(domain: str, task: str, dataset: str, facts: Mapping[str, Any]) -> Spec:
    """The identity of a logged dataset; the facts are its only parameter. Raises InvalidInput."""
    for kind, name in (("domain", domain), ("task", task)):
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise InvalidInput(f"{name!r} cannot name a {kind}: use letters, digits, - _ and .")
    try:
        plain = json.loads(canonical(dict(facts)))  # as it will be read back from the manifest
        plain = values_without_secrets(plain)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The facts of a log are compared with those of later sessions: {error}") from error
    return Spec(domain, task, EPISODES, EPISODES_FORMAT, {"facts": plain}, name=check_dataset_name(dataset))


def draft_identity(spec: Spec) -> str:
    """The text in a log's draft: all settings, not only their fingerprint, so that an error can name a difference."""
    return canonical({"format": spec.format, "parameters": spec.parameters})


def require_same_settings(workspace: Workspace, spec: Spec) -> None:
    """Refuse other facts before waiting for the lease or taking over a draft: a draft holds episodes, too.

    Raises:
        IdentityMismatch: the dataset or an unfinished draft of it was logged with other facts.
        InvalidInput: the dataset lies in the other storage.
    """
    if other_storage := same_settings(workspace, spec):
        raise InvalidInput(
            f"The dataset is there in the other storage, {other_storage.path}. Open the log with that storage."
        )
    final = workspace.folder(spec)
    for draft in final.parent.glob(f"{DRAFT}{final.name}-????????"):
        if (have := _logged(draft / IDENTITY)) and (lines := differences(have, json.loads(draft_identity(spec)))):
            raise IdentityMismatch(
                f"An unfinished log of {spec.name} was opened with other settings ({draft}):\n  "
                + "\n  ".join(lines)
                + "\nOpen it with the same settings, or use another dataset name."
            )


def _logged(identity: Path) -> dict[str, Any] | None:
    """What the draft of a log is to hold; None for the draft of a stage, which can make its episodes again."""
    try:
        found = json.loads(read_json(identity))
    except (DamagedArtifact, TypeError, ValueError):
        return None
    return found if isinstance(found, dict) else None
