"""Files of a repository into a folder; each is compared with the checksum that the repository lists."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.errors import DamagedArtifact
from pipeline.hub.connection import plain_errors
from pipeline.hub.repository import DATASET, DatasetRepository, Snapshot
from pipeline.hub.upload import no_bars
from pipeline.machine.progress import Advance

TOGETHER = 4
"""Files that come at the same time."""


def download_files(
    repository: DatasetRepository, snapshot: Snapshot, paths: Sequence[str], folder: Path, advance: Advance
) -> None:
    """Bring `paths` below `folder`, which may hold some of them already; `advance` counts bytes.

    A connection that breaks is taken up where it broke; after a kill, files that were complete are not sent again.

    Raises HubError, and DamagedArtifact for a file that came with other bytes than the repository lists.
    """
    hub, api = repository.hub, repository.hub.api()

    def one(path: str) -> str:
        if not (folder / path).is_file():
            hub.with_retries(
                lambda: api.hf_hub_download(
                    hub.repo, path, repo_type=DATASET, revision=snapshot.commit, local_dir=folder
                )
            )
        return path

    with plain_errors(hub, "Downloading"), no_bars(), ThreadPoolExecutor(TOGETHER) as pool:
        for path in pool.map(one, paths):
            _check(repository, snapshot, path, folder)
            advance(snapshot.files[path].size)


def _check(repository: DatasetRepository, snapshot: Snapshot, path: str, folder: Path) -> None:
    if snapshot.files[path].holds(folder / path):
        return
    (folder / path).unlink()
    raise DamagedArtifact(
        f"{path} of {repository.hub.repo} came with other bytes than the repository lists. It was removed; the "
        f"same command fetches it again."
    )
