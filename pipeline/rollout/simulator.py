"""Whether a dataset's episodes can be stepped again by the simulator that a command builds."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from pipeline.artifacts.artifact import Artifact
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput
from pipeline.fingerprint import canonical, differences
from pipeline.interfaces import Environment


class OtherSettings(InvalidInput):
    """A dataset that cannot be stepped again by this command's simulator."""


class NoSimulator(InvalidInput):
    """A dataset for which there is no simulator to ask. The message is the reason, without its name."""


def simulator_of(artifact: Artifact, domain: Domain) -> Callable[[], Environment]:
    """What makes the simulator that played a dataset, as `domain` has it.

    Raises NoSimulator for a dataset that none recorded, OtherSettings where the simulator had other settings; another
    version of it is no other setting.
    """
    if "environment" not in artifact.manifest.parameters:
        raise NoSimulator("it was ingested, there is no simulator to ask")
    if artifact.task not in domain.tasks:
        raise NoSimulator("it is of another environment than was named")
    environment = partial(domain.environment, task=artifact.task)
    if lines := _other_settings(artifact, environment()):
        raise OtherSettings(f"{artifact.manifest.task} {artifact.manifest.version}: {'; '.join(lines)}")
    return environment


def _other_settings(artifact: Artifact, environment: Environment) -> list[str]:
    """What differs between the recorded simulator and the one of this command; another version may differ."""
    here = [dict(artifact.manifest.parameters["environment"]), json.loads(canonical(dict(environment.identity())))]
    environment.close()
    for identity in here:
        identity.pop("versions", None)
    return differences(*here)
