"""A dataset repository at one moment: which files it holds, how large, with which checksums."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

from pipeline.errors import HubError
from pipeline.hub.connection import MAIN, Hub, plain_errors

DATASET = "dataset"
OTHERS = ("model", "space")


@dataclass(frozen=True)
class StoredFile:
    """One file of a repository.

    Attributes:
        checksum: SHA-256 of the content for large files; for others git's own SHA-1 of it.
        large: kept beside git (LFS or Xet).
    """

    size: int
    checksum: str
    large: bool

    def holds(self, path: Path) -> bool:
        """Whether a local file has this content."""
        if path.stat().st_size != self.size:
            return False
        return self.checksum == (sha256(path) if self.large else git_sha1(path.read_bytes()))


@dataclass(frozen=True)
class Snapshot:
    """A repository's files by path, as of one commit."""

    commit: str
    files: Mapping[str, StoredFile]


@dataclass
class DatasetRepository:
    """Looks at one repository of a hub. Small files that were read are remembered by their checksums."""

    hub: Hub
    _read: dict[str, bytes] = field(default_factory=dict)

    def look(self) -> Snapshot | None:
        """The branch, tag or commit that is asked for, as it is now; None where there is none that the token sees.

        Raises HubError where the hub cannot be reached or the token is refused.
        """
        with plain_errors(self.hub, "Looking at"):
            try:
                return self.hub.with_retries(self._look)
            except (RepositoryNotFoundError, RevisionNotFoundError):
                return None

    def require(self) -> Snapshot:
        """The same. Raises HubError where it is not there, also where the name is that of a model or a space."""
        if (snapshot := self.look()) is None:
            self.check_kind()
            with plain_errors(self.hub, "Looking at"):
                return self._look()  # raises what the hub answers
        return snapshot

    def check_kind(self) -> None:
        """Raises HubError where the name is that of a model or a space."""
        api = self.hub.api()
        for kind in OTHERS:
            with plain_errors(self.hub, "Looking at"):
                try:
                    self.hub.with_retries(partial(api.repo_info, self.hub.repo, repo_type=kind))
                except HfHubHTTPError as error:
                    if error.response.status_code in (401, 403, 404):
                        continue
                    raise
            raise HubError(
                f"{self.hub.repo} at {self.hub.address} is a {kind} repository, not one of data. Choose another name: "
                f"hub.repo_id=OWNER/NAME. (A dataset repository of that name besides: hf repo create {self.hub.repo} "
                f"--repo-type dataset)"
            )

    def create(self) -> None:
        """Make the repository, or the branch, where it is not there yet."""
        api, hub = self.hub.api(), self.hub
        with plain_errors(hub, "Creating"):
            hub.with_retries(lambda: api.create_repo(hub.repo, repo_type=DATASET, private=hub.private, exist_ok=True))
            if hub.branch != MAIN:
                hub.with_retries(
                    lambda: api.create_branch(hub.repo, branch=hub.branch, repo_type=DATASET, exist_ok=True)
                )

    def tag(self, name: str, commit: str) -> None:
        """Let a tag name a commit; one that names another is moved."""
        api, repo = self.hub.api(), self.hub.repo
        with plain_errors(self.hub, f"Setting the tag {name} of"):
            refs = self.hub.with_retries(lambda: api.list_repo_refs(repo, repo_type=DATASET))
            there = {each.name: each.target_commit for each in refs.tags}
            if there.get(name) == commit:
                return
            if name in there:
                self.hub.with_retries(lambda: api.delete_tag(repo, tag=name, repo_type=DATASET))
            self.hub.with_retries(
                lambda: api.create_tag(repo, tag=name, revision=commit, repo_type=DATASET, exist_ok=True)
            )

    def read(self, snapshot: Snapshot, path: str) -> bytes:
        """The content of a small file."""
        stored = snapshot.files[path]
        if stored.checksum not in self._read:
            with plain_errors(self.hub, f"Reading {path} of"):
                content = self._get(path, snapshot.commit)
            found = hashlib.sha256(content).hexdigest() if stored.large else git_sha1(content)
            if found != stored.checksum:
                raise HubError(f"{path} of {self.hub.repo} came damaged. Run the same command again.")
            self._read[stored.checksum] = content
        return self._read[stored.checksum]

    def remember(self, content: bytes) -> None:
        """Spare a later `read` the way to the hub."""
        self._read[git_sha1(content)] = content

    def _look(self) -> Snapshot:
        api = self.hub.api()
        info = api.repo_info(self.hub.repo, repo_type=DATASET, revision=self.hub.branch)
        return Snapshot(str(info.sha), _files(api, self.hub.repo, str(info.sha)))

    def _get(self, path: str, commit: str) -> bytes:
        url = hf_hub_url(self.hub.repo, path, repo_type=DATASET, revision=commit, endpoint=self.hub.endpoint)
        response = http_backoff("GET", url, headers=build_hf_headers(library_name="repertoire"))
        hf_raise_for_status(response)
        return bytes(response.content)


def _files(api: HfApi, repo: str, commit: str) -> dict[str, StoredFile]:
    files = {}
    for entry in api.list_repo_tree(repo, recursive=True, revision=commit, repo_type=DATASET):
        if isinstance(entry, RepoFile):
            checksum = entry.lfs.sha256 if entry.lfs else entry.blob_id
            files[entry.path] = StoredFile(entry.size, checksum, entry.lfs is not None)
    return files


def sha256(path: Path) -> str:
    """SHA-256 of a file as hexadecimal text; reads in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_sha1(content: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
