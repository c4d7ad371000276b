"""Fetch: a task of a published repository → bins in this workspace, byte for byte those that were published."""

from __future__ import annotations

from beartype import beartype

from pipeline.artifacts.artifact import Artifact
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.hub.connection import Hub
from pipeline.hub.fetch import find_task, guessed_suffix, offered, spec_of, write_bins
from pipeline.hub.repository import DatasetRepository

FACTS = StageFacts(begins=True, tasks=offered)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    embedding: Embedding | None = None,
    hub: Hub,
    force: bool,
) -> Artifact:
    """Bins with the bytes that were published, checked against the published checksums.

    A repository without our descriptions, such as that of REGENT's authors, is read by its parquet files alone: shapes,
    lookup and statistics are then made from them, and a warning says so. Pictures are never brought back.
    `embedding` only names the folder of such bins, as upstream names those of pictures.
    """
    wanted = find_task(DatasetRepository(hub), f"{domain.name}-{task}")
    suffix = str(wanted.facts["bins"]["suffix"]) if wanted.facts else guessed_suffix(domain, embedding)
    spec = spec_of(domain, task, wanted, suffix)
    return workspace.build(spec, lambda draft: write_bins(wanted, spec, draft), force)
