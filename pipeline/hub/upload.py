"""Putting tasks into a repository: what is missing there, and one commit for each task."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from pipeline.errors import InvalidInput
from pipeline.hub.card import repository_card
from pipeline.hub.connection import plain_errors
from pipeline.hub.description import read_description
from pipeline.hub.names import CARD, DESCRIPTION, extras_folder, listed_tasks
from pipeline.hub.repository import DATASET, DatasetRepository, Snapshot, StoredFile, git_sha1, sha256
from pipeline.machine.progress import Advance

log = logging.getLogger(__name__)

MAX_BYTES = 500 * 10**6
"""Of one file; the parquet stage cuts its shards below it."""

LARGEST = 50 * 10**9
"""Bytes of a file that the hub takes at all."""

AT_ONCE = 2000
"""Files of one commit; a task of more takes several, of which the last brings the card."""

TOGETHER = 4
"""Files that are sent at the same time."""


@dataclass(frozen=True)
class Upload:
    """One file, or its content, and its path in the repository. `known` is its SHA-256 where it was read before."""

    path: str
    source: Path | bytes
    known: str | None = None

    @cached_property
    def size(self) -> int:
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @cached_property
    def sha256(self) -> str:
        """Read from the file at first use, once."""
        if self.known:
            return self.known
        return hashlib.sha256(self.source).hexdigest() if isinstance(self.source, bytes) else sha256(self.source)

    def equals(self, stored: StoredFile | None) -> bool:
        """Whether the repository holds this very content."""
        if stored is None or stored.size != self.size:
            return False
        if stored.large:
            return stored.checksum == self.sha256
        return stored.checksum == git_sha1(self.source if isinstance(self.source, bytes) else self.source.read_bytes())


@dataclass(frozen=True)
class Task:
    """All files of one task, and its description, which is one of them."""

    name: str
    uploads: Sequence[Upload]
    description: bytes
    states: int = 0

    def stale(self, files: Iterable[str]) -> list[str]:
        """The paths in a repository that belong to the task and no longer do: an older cut of its shards."""
        there = listed_tasks(files).get(self.name)
        wanted = {upload.path for upload in self.uploads}
        return [path for path in there.paths if path not in wanted] if there else []


@dataclass(frozen=True)
class Change:
    """What publishing a task would do: files to send, files that are there, paths to remove."""

    name: str
    send: Sequence[Upload]
    equal: Sequence[Upload]
    remove: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.send or self.remove)

    @property
    def send_bytes(self) -> int:
        return sum(upload.size for upload in self.send)


Card = Callable[[DatasetRepository, Sequence[Task], Sequence[Change], Snapshot | None], bytes | None]
"""What README.md becomes once the changes have been made for the tasks; None where it stays as it is."""


def task_files(name: str, data: Path, extras: Sequence[Path], description: bytes) -> Task:
    """The files of a task: the shards below `data`, and its small files. Raises InvalidInput for one above 500 MB."""
    shards = sorted(data.glob(f"{name}_*/*.parquet"))
    uploads = [Upload(shard.relative_to(data).as_posix(), shard) for shard in shards]
    uploads += [Upload(f"{extras_folder(name)}/{path.name}", path) for path in extras]
    uploads.append(Upload(f"{extras_folder(name)}/{DESCRIPTION}", description))
    for upload in uploads:
        if upload.size > MAX_BYTES:
            raise InvalidInput(
                f"{upload.path} has {upload.size:,} bytes, more than the {MAX_BYTES:,} of a file on the hub. "
                f"Make the parquet artifact again: its shards are smaller now."
            )
    return Task(name, uploads, description, int(json.loads(description)["figures"]["states"]))


def compare(task: Task, snapshot: Snapshot | None) -> Change:
    """What of the task is missing, the same, or too much in the repository."""
    files: Mapping[str, StoredFile] = snapshot.files if snapshot else {}
    equal = [upload for upload in task.uploads if upload.equals(files.get(upload.path))]
    send = [upload for upload in task.uploads if upload not in equal]
    return Change(task.name, send, equal, task.stale(files))


def changed_card(
    repository: DatasetRepository, tasks: Sequence[Task], changes: Sequence[Change], snapshot: Snapshot | None
) -> bytes | None:
    """The card once `changes` have been made for `tasks`, or None where it stays as it is."""
    files = dict(snapshot.files) if snapshot else {}
    removed = {path for change in changes for path in change.remove}
    there = listed_tasks((files.keys() - removed) | {upload.path for task in tasks for upload in task.uploads})
    described = {task.name: read_description(task.description, task.name) for task in tasks}
    for name, other in there.items():
        if name not in described and snapshot and other.description:
            described[name] = read_description(repository.read(snapshot, other.description), other.description)
    present = repository.read(snapshot, CARD) if snapshot and CARD in files else b""
    in_order = {name: described[name] for name in there if name in described}
    card = repository_card(repository.hub.repo, there, in_order, present.decode()).encode()
    return None if card == present else card


def send_task(
    repository: DatasetRepository, task: Task, advance: Callable[[Upload], object], card: Card = changed_card
) -> str:
    """Bring the repository up to date with one task, in one commit; returns the commit that holds it.

    Files that are there already are not sent, so a step that failed or was killed goes on where it was.
    """
    with plain_errors(repository.hub, f"Publishing {task.name} in"), no_bars():
        return repository.hub.with_retries(lambda: _send(repository, task, advance, card))


def _send(repository: DatasetRepository, task: Task, advance: Callable[[Upload], object], card: Card) -> str:
    snapshot = repository.require()
    change = compare(task, snapshot)
    while len(change.send) > AT_ONCE:
        _commit(repository, snapshot, replace(change, send=change.send[:AT_ONCE], remove=()), advance, None)
        snapshot = repository.require()
        change = compare(task, snapshot)
    text = card(repository, [task], [change], snapshot)
    if not change and text is None:
        return snapshot.commit
    repository.remember(task.description)
    return _commit(repository, snapshot, change, advance, text)


def _commit(
    repository: DatasetRepository,
    snapshot: Snapshot,
    change: Change,
    advance: Callable[[Upload], object],
    card: bytes | None,
) -> str:
    """One commit with the files of a change, and the card where that changes; returns its name."""
    hub, api = repository.hub, repository.hub.api()
    additions = [_addition(upload) for upload in change.send]
    for begin in range(0, len(additions), TOGETHER):
        some = additions[begin : begin + TOGETHER]
        api.preupload_lfs_files(
            hub.repo, some, repo_type=DATASET, revision=hub.branch, num_threads=TOGETHER, free_memory=False
        )
        for upload in change.send[begin : begin + TOGETHER]:
            advance(upload)
    removals = [CommitOperationDelete(path, is_folder=False) for path in change.remove]
    cards = [CommitOperationAdd(CARD, card)] if card is not None else []
    commit = api.create_commit(
        hub.repo,
        [*additions, *cards, *removals],
        commit_message=f"{change.name}: {len(additions)} files" + (f", {len(removals)} removed" if removals else ""),
        repo_type=DATASET,
        revision=hub.branch,
        parent_commit=snapshot.commit,  # someone else's commit in between: look again, the card depends on it
    )
    log.info("publish %s: %d files, commit %s", change.name, len(additions), commit.oid[:12])
    return commit.oid


def _addition(upload: Upload) -> CommitOperationAdd:
    operation = CommitOperationAdd(upload.path, upload.source)
    operation.upload_info.sha256 = bytes.fromhex(upload.sha256)  # known; the client would read the file for it
    return operation


@contextmanager
def no_bars() -> Iterator[None]:
    """Without the client's own progress bars: there is one display."""
    shown = not are_progress_bars_disabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the bars' variable in the environment wins; that is fine
        disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


def counted(advance: Advance) -> Callable[[Upload], None]:
    """Count each file's bytes once, however often a step is repeated."""
    seen: set[str] = set()

    def count(upload: Upload) -> None:
        if upload.path not in seen:
            seen.add(upload.path)
            advance(upload.size)

    return count
