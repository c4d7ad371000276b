"""The log: a dataset that a running program appends its finished episodes to, whatever kills it."""

from __future__ import annotations

import atexit
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.claim import claim
from pipeline.dataset.grow import Noticed, commit
from pipeline.dataset.journal import JOURNAL, Journal
from pipeline.dataset.parts import PART_BYTES
from pipeline.dataset.plain import PlainEpisode, PlainRows
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, LostLease, NotStoredYet
from pipeline.live.recovery import recover_parts, take_finished
from pipeline.live.settings import Unfinished, draft_identity, log_spec, require_same_settings
from pipeline.machine.lease import LEASE_SECONDS
from pipeline.machine.provenance import Stopwatch
from pipeline.wording import how_many, reason_of

log = logging.getLogger(__name__)

UNFINISHED = ("drop", "keep")

LOST_IN_A_ROW = 20
"""After so many episodes that could not be recorded, and none between them that could, recording stops."""

LOST_LISTED = 20
"""So many of the episodes that could not be recorded are listed in the manifest; the program's log has all."""

COMMIT_SHARE = 0.02
"""Automatic commits take at most about this share of the time."""


class EpisodeLog:
    """Appends episodes to the dataset `<root>/artifacts/<domain>/<task>/episodes/<dataset>`, now and in later sessions.

    An episode survives a kill once `append` has returned; an unfinished episode is lost with the process. Readers see
    an episode after the next commit. The log commits after its first episode; then, at most every `commit_s` seconds,
    when a part is full or the open part has doubled; and at `close`, which runs at the end of a `with` block and at the
    end of the program. A process that was killed leaves a draft; the next one that opens the log takes it over with
    every finished episode.

    One process at a time holds a log, under a lease. Its threads may share it.

    Args:
        root: a workspace, or the folder that holds one (`outputs`).
        domain, task, dataset: where the dataset belongs; each names a folder.
        facts: JSON facts that say how the episodes come about: agent, seed, environment, versions. They are the
            dataset's identity: it continues under the same facts only.
        storage: `zarr` or `bin`, where `root` is a folder.
        unfinished: what becomes of an episode that a reset or the end cuts off: `drop` says in the program's log how
            many steps went, `keep` stores it as truncated, with `end_reason` `budget`.
        commit_s: least seconds between automatic commits; infinity leaves them, after the first, to the caller.
        wait_s: how long to wait for another process that holds the log. A holder that died on this machine is noticed
            at once, one on another machine within the default.

    Attributes:
        path: the dataset's folder.
        stopped: whether recording has stopped because of faults; what was wrapped goes on without it.

    Raises:
        IdentityMismatch: the dataset, or an unfinished draft of it, has other facts; the message names the difference.
        InUse: another process holds the log.
        InvalidInput: a name, a fact or an option cannot be used, or the dataset lies in the other storage.
    """

    part_bytes = PART_BYTES

    def __init__(
        self,
        root: str | Path | Workspace,
        *,
        domain: str,
        task: str,
        dataset: str,
        facts: Mapping[str, Any] | None = None,
        storage: str = "zarr",
        unfinished: str = "drop",
        commit_s: float = 60.0,
        wait_s: float = LEASE_SECONDS + 10.0,
    ) -> None:
        if unfinished not in UNFINISHED:
            raise InvalidInput(f"unfinished={unfinished} is none of {', '.join(UNFINISHED)}.")
        self.unfinished = unfinished
        self._workspace = root if isinstance(root, Workspace) else Workspace(str(root), storage)
        self._spec = log_spec(domain, task, dataset, facts or {})
        self.path = self._workspace.folder(self._spec)
        self._commit_s = commit_s
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._under_way: dict[Unfinished, None] = {}
        self._notes: dict[str, str] = {}
        self._lost = self._lost_in_a_row = 0
        self.stopped = False
        require_same_settings(self._workspace, self._spec)
        with ExitStack() as held:
            self._draft = held.enter_context(claim(self.path, draft_identity(self._spec), wait_s))
            self._begin()
            self._held = held.pop_all()
        self._open = True
        atexit.register(self.close)
        if self._writer.count > self._committed:
            log.info("%s takes over %s of a session that was cut off", self.path, how_many(self._fresh, "episodes"))
            self.commit()

    def __len__(self) -> int:
        """Episodes of the dataset, those of earlier sessions and those not yet committed included."""
        return self._writer.count

    def append(self, episode: Episode | PlainEpisode) -> int:
        """Keep a finished episode and return its number in the dataset. A plain one is known to fit: `takes_plain`.

        Raises:
            InvalidEpisode: its observations or actions have other names, shapes or dtypes than those of the dataset.
            NotStoredYet: the episode is kept, do not append it again; but a part or a commit failed, as on a full disk.
                The next `append` tries the part again. After a commit that failed the log is closed: see there.
            LostLease: another process has taken the log over.
            InvalidInput: the log is closed, or was opened in another process.
        """
        with self._lock:
            self.require_open()
            self._require_journal()
            self._catch_up()
            if isinstance(episode, Episode):
                self._writer.columns.check(episode)
            number = self._writer.count
            digest = self._journal.append(number, episode)
            try:
                self._take(episode, digest)
                if self._due():
                    self.commit()
            except Exception as error:  # zarr's libraries have errors of their own for a full disk
                if isinstance(error, LostLease) or self._writer.count == number:
                    raise
                raise NotStoredYet(
                    f"Episode {number} is kept in {self._draft.path}, but: {reason_of(error)}"
                ) from error
            self._lost_in_a_row = 0
            return number

    def takes_plain(self, rows: PlainRows) -> bool:
        """Whether plain episodes of these rows can be appended: one such episode is there already."""
        return self._writer.columns.knows(rows.signature)

    def commit(self) -> Artifact | None:
        """Make all finished episodes visible at once. Returns the dataset as it then is, None while it is empty.

        When it fails (a full disk, a lost lease), the log closes and its draft stays: opening the log again goes on
        from there.
        """
        with self._lock:
            self.require_open()
            self._catch_up()
            if not self._fresh:
                return self._existing
            begun = time.monotonic()
            try:
                self._publish()
                self._draft.renew()
                self._begin()
            except BaseException:
                self._release()
                raise
            self._pause_s = max(self._commit_s, (time.monotonic() - begun) / COMMIT_SHARE)
            return self._existing

    def close(self) -> Artifact | None:
        """Settle the episodes under way, commit, and let the log go. Returns the dataset, None where it is empty.

        Does nothing where the log is closed, and in a process that inherited it by a fork.
        """
        with self._lock:
            if not self._open or os.getpid() != self._process:
                return None
            try:
                for recording in list(self._under_way):
                    recording.stop()
                self._catch_up()
                if self._fresh:
                    self._publish()
                else:
                    self._publish_notes()
                    self._draft.check()
                    self._journal.close()
                    self._draft.discard()
            finally:
                self._release()
            return self._existing

    def begin(self, recording: Unfinished) -> None:
        """An episode is under way: `recording` is stopped before the log closes, unless it calls `end` first."""
        self.require_open()
        self._under_way[recording] = None

    def end(self, recording: Unfinished) -> None:
        """The episode of `recording` is over."""
        self._under_way.pop(recording, None)

    def note(self, line: str, kind: str = "") -> None:
        """Warn of something once, and write it into the manifest with the next commit.

        Lines of one kind are one and the same thing, however they differ.
        """
        if (kind or line) not in self._notes:
            self._notes[kind or line] = line
            log.warning("%s: %s", self._spec.name, line)

    def lose(self, which: str, error: Exception) -> None:
        """Recording an episode met an error. Where that goes on, recording stops, and says so aloud."""
        with self._lock:
            why, kept = reason_of(error), isinstance(error, NotStoredYet)
            self._lost += not kept
            self._lost_in_a_row += 1
            if kept:
                log.warning("%s: %s: %s", self._spec.name, which, why)
            elif self._lost <= LOST_LISTED:
                self.note(f"{which} was left out: {why}")
            else:
                self.note(f"more than {LOST_LISTED} episodes were left out; the program's own log names each")
                log.warning("%s: %s was left out: %s", self._spec.name, which, why)
            log.debug("%s", which, exc_info=error)
            if isinstance(error, LostLease) or not self._open or self._lost_in_a_row >= LOST_IN_A_ROW:
                self._stop(why)

    def dtypes(self, names: Iterable[str]) -> dict[str, np.dtype[Any]]:
        """Those that the dataset's arrays have, as far as there are any among the names."""
        with self._lock:
            return self._writer.columns.dtypes(names)

    def require_open(self) -> None:
        """Raises InvalidInput where nothing can be appended: a closed log, or one of another process."""
        if os.getpid() != self._process:
            raise InvalidInput(
                f"The log of {self.path} was opened in another process. Wrap the vector environment in the process "
                "that holds the log, or give each worker a log with a dataset of its own."
            )
        if not self._open:
            raise InvalidInput(f"The log of {self.path} is closed. Open it again, or use the environment unwrapped.")

    def _require_journal(self) -> None:
        """Raises LostLease where another process has taken the draft over, FileNotFoundError where it is gone."""
        if not self._journal.is_in_place():
            self._draft.check()
            raise FileNotFoundError(f"The unfinished log {self._draft.path} is gone: somebody has removed or moved it.")

    def _take(self, episode: Episode | PlainEpisode, digest: bytes) -> None:
        """The second half of `append`: what is in the journal gets into the dataset."""
        if isinstance(episode, Episode):
            self._writer.append(episode, digest)
        else:
            self._writer.append_plain(episode, digest)
        if self._writer.packed == self._writer.count:
            self._journal.clear()

    def _catch_up(self) -> None:
        """Finish an `append` that was interrupted between its two halves."""
        if self._journal.last is not None and self._journal.last[0] == self._writer.count:
            self._take(*self._journal.last[1:])

    def _stop(self, why: str) -> None:
        self.stopped = True
        self._under_way.clear()
        in_a_row = f" after {self._lost_in_a_row} episodes in a row" if self._lost_in_a_row > 1 else ""
        self.note(f"recording stopped{in_a_row}: {why}")
        log.error("%s: recording stopped, nothing that comes after is stored. The last fault: %s", self.path, why)

    @property
    def _fresh(self) -> int:
        """Episodes since the last commit."""
        return self._writer.count - self._committed

    def _begin(self) -> None:
        """Go on from what is committed, and from what a killed session left."""
        self._existing = self._workspace.get(self._spec)
        recover_parts(self._draft.path, self.path)
        self._writer = DatasetWriter(self._draft.path, self.path, self._workspace.storage, self.part_bytes)
        self._committed = int(self._existing.manifest.counts["episodes"]) if self._existing else 0
        self._packed = self._writer.packed
        self._stopwatch, self._begun, self._pause_s = Stopwatch(), time.monotonic(), self._commit_s
        if take_finished(self._writer):
            self.note("Episodes were lost to a power cut; those that came after them are kept.")
        self._journal = Journal(self._writer.spill / JOURNAL)

    def _publish(self) -> None:
        """What is finished becomes the dataset; the draft is gone then."""
        self._draft.check()
        self._journal.close()  # some file systems cannot remove a folder in which a file is open
        notes = [*self._notes.values(), *self._writer.notes]
        commit(self._spec, self._writer, self._draft, self._existing, self._stopwatch, Noticed(notes), whole=False)
        self._existing = self._workspace.get(self._spec)
        log.info("%s holds %s", self.path, how_many(len(self), "episodes"))

    def _publish_notes(self) -> None:
        """What was noted since the last commit, where no episode came with it."""
        if self._existing is None:
            return
        manifest = self._existing.manifest
        warnings = list(dict.fromkeys([*manifest.warnings, *self._notes.values()]))
        if warnings != manifest.warnings:
            self._draft.check()
            dataclasses.replace(manifest, warnings=warnings).write(self.path)
            self._existing = self._workspace.get(self._spec)

    def _due(self) -> bool:
        """Whether to commit now.

        Each commit of a part that is not full leaves an old copy for stage=gc. Because the open part must double
        between commits, all these copies together are smaller than one full part.
        """
        if self._committed == 0:
            return True
        if time.monotonic() - self._begun < self._pause_s:
            return False
        return self._writer.packed > self._packed or self._fresh >= self._committed - self._packed

    def _release(self) -> None:
        self._open = False
        self._journal.close()
        self._held.close()
        atexit.unregister(self.close)

    def __reduce__(self) -> NoReturn:
        raise TypeError("An episode log cannot be sent to another process; open one where episodes are recorded.")

    def __enter__(self) -> EpisodeLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EpisodeLog({self.path}, {how_many(len(self), 'episodes')}{'' if self._open else ', closed'})"
