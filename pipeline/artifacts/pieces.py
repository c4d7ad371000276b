"""Pieces of one artifact: several jobs make them, one joins them. They lie in a folder beside its final place.

    .pieces-NAME/identity.json       what the artifact is to be, and the command that joins them
                 spill/, pictures/   what waits to be packed, as in a draft
                 notes/              what the jobs noticed, and how long they worked
    .pieces-NAME.0-10.lease          a job is making the pieces 0 to 9

Who holds the lease of the final place decides who makes what. A job that makes pieces holds it for a moment, in which
it takes a lease on its own numbers. The job that joins them holds it to the end, and first waits for the others. So no
piece is made by two jobs at once, and an episode, which may take a millisecond, needs no lease of its own.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.claim import IDENTITY, DraftFolder, claim, lease_of
from pipeline.command import Command, again, typed
from pipeline.errors import DamagedArtifact, IdentityMismatch, InUse, InvalidInput
from pipeline.fingerprint import differences
from pipeline.machine.files import read_json, write_json
from pipeline.machine.lease import held
from pipeline.machine.secrets import without_secrets
from pipeline.wording import number_ranges

PIECES = ".pieces-"
SPILL, PICTURES = WAITING = ("spill", "pictures")
"""Folders of a draft for what waits to be packed; among pieces they have the same names."""

NOTES = "notes"
SENTENCES, SECONDS = "sentences", "seconds"
"""Of a file of notes."""

AnyBefore = TypeVar("AnyBefore")


@dataclass(frozen=True)
class PiecesFolder(Generic[AnyBefore]):
    """Where a job makes its pieces, under a lease on their numbers.

    Attributes:
        numbers: of the job's own pieces.
        before: what is in the artifact or in an unfinished draft of it already.
        check: raises LostLease when another job has taken the numbers over.
    """

    path: Path
    numbers: range
    before: AnyBefore
    check: Callable[[], None]

    @property
    def spill(self) -> Path:
        """Where finished work waits."""
        return self.path / SPILL

    def note(self, sentences: Iterable[str]) -> None:
        """Keep what was noticed for the manifest of the artifact."""
        if texts := set(sentences):
            self._keep({SENTENCES: sorted({*self._kept().get(SENTENCES, ()), *texts})})

    def worked(self, seconds: float) -> None:
        """Keep how long the job has worked, which the manifest counts."""
        self._keep({SECONDS: round(self._kept().get(SECONDS, 0.0) + seconds, 3)})

    @property
    def _notes(self) -> Path:
        return self.path / NOTES / f"{self.numbers.start}-{self.numbers.stop}.json"

    def _kept(self) -> dict[str, Any]:
        return read_json(self._notes) if self._notes.is_file() else {}

    def _keep(self, notes: dict[str, Any]) -> None:
        self._notes.parent.mkdir(exist_ok=True)
        write_json(self._notes, self._kept() | notes)


def pieces_of(final: Path) -> Path:
    """Where the pieces of an artifact lie."""
    return final.parent / f"{PIECES}{final.name}"


def shard_numbers(stage: str, asked: str | int | None, force: bool) -> range | None:
    """The numbers of `stage.STAGE.shards=0-9`: range(0, 10); None where nothing is asked for.

    Raises InvalidInput for what is no range of whole numbers, and with `force`.

    >>> shard_numbers("ingest", "10-19", force=False)
    range(10, 20)
    """
    if asked is None:
        return None
    key = f"stage.{stage}.shards"
    ends = re.fullmatch(r"(\d{1,15})(?:-(\d{1,15}))?", str(asked).strip(), re.ASCII)
    if isinstance(asked, bool) or ends is None:
        raise InvalidInput(f"{key}={asked} must be a range of whole numbers such as 0-9, or one number.")
    first, last = int(ends[1]), int(ends[2] or ends[1])
    if last < first:
        raise InvalidInput(f"{key}={asked} ends before it begins. Write {key}={last}-{first}.")
    if force:
        raise InvalidInput(
            f"{key}={asked} makes pieces for later, force=true compares all of an artifact: set one of them.\n"
            f"Pieces: {again(force=None)}"
        )
    return range(first, last + 1)


def shards_word(first: int, last: int) -> str | int:
    """What is typed for the numbers from `first` to `last`: `3-9`, or one number."""
    return f"{first}-{last}" if first < last else first


@contextmanager
def making_pieces(
    final: Path, spec: Spec, numbers: range, stage: str, look: Callable[[DraftFolder], AnyBefore]
) -> Iterator[PiecesFolder[AnyBefore]]:
    """The folder for the pieces `numbers` of what will lie at `final`, when no other job makes any of them.

    `look` is given the artifact's draft, and says what is there already. `stage` is whose pieces they are. Waits
    while another job makes some of the same pieces, or the whole artifact. Raises IdentityMismatch where the folder
    holds pieces that were made with other settings.
    """
    doing = f"making pieces of {final}"
    require_same_pieces(final, spec)
    while True:
        with ExitStack() as own:
            with claim(final, spec.fingerprint) as draft:
                folder = _opened(final, spec, stage)
                gather(draft.path, folder)
                before = look(draft)
                if not draft.resumed:
                    draft.discard()
                others = [path for path, taken in _claims(folder) if _overlap(taken, numbers)]
                if not others:
                    lease = folder.with_name(f"{folder.name}.{numbers.start}-{numbers.stop}.lease")
                    check = own.enter_context(held(lease, doing))
            if not others:
                began, pieces = time.monotonic(), PiecesFolder(folder, numbers, before, check)
                try:
                    yield pieces
                    check()
                finally:
                    if not _holds_nothing(folder):
                        pieces.worked(time.monotonic() - began)
                    own.close()
                    _remove_empty(final, folder)
                return
        _wait_for(others, doing)


def join_pieces(draft: Path, final: Path, spec: Spec) -> Path:
    """The folder in which finished work of `spec` waits: the draft, or that of the pieces where there are some.

    Whoever calls holds the lease of `final`. Waits for all jobs that are making pieces. Raises IdentityMismatch where
    these were made with other settings.
    """
    folder = pieces_of(final)
    if not folder.is_dir() or _is_empty(folder):
        shutil.rmtree(folder, ignore_errors=True)
        return draft
    _require_same(folder, spec)
    _wait_for([path for path, _ in _claims(folder)], f"making pieces of {final}")
    gather(draft, folder)
    return folder


def notes_of(folder: Path) -> tuple[list[str], float]:
    """What the jobs noticed that made the pieces in a folder, and for how many seconds they worked."""
    found = [read_json(path) for path in sorted(folder.glob(f"{NOTES}/*.json"))]
    sentences = dict.fromkeys(sentence for each in found for sentence in each.get(SENTENCES, ()))
    return list(sentences), sum(each.get(SECONDS, 0.0) for each in found)


def forget_notes(final: Path) -> None:
    """Remove the notes of pieces, which stand in a manifest now; what waits for a larger artifact stays."""
    shutil.rmtree(pieces_of(final) / NOTES, ignore_errors=True)


def remove_pieces(final: Path) -> None:
    """Remove the pieces of what lies at `final` now."""
    shutil.rmtree(pieces_of(final), ignore_errors=True)


def leases_of(folder: Path) -> list[Path]:
    """The leases of the jobs that are making pieces for a folder, or died over it. They lie beside it."""
    return [path for path, _ in _claims(folder)]


def pieces_line(stage: str, spec: Spec, unit: str, wanted: Collection[int], there: Collection[int]) -> str:
    """The last line of a job that makes pieces: which are there, which are missing, and the command that joins them."""
    have, missing = set(wanted) & set(there), set(wanted) - set(there)
    lacks = f"{len(missing):,} missing ({_some(missing)})" if missing else "none missing"
    return (
        f"{stage} {spec.label} {spec.version}: {len(have):,} of {len(wanted):,} {unit} there"
        f"{f' ({_some(have)})' if have and missing else ''}, {lacks}. "
        f"{'Join them, and make the rest' if missing else 'Join them'}: {joining(stage)}"
    )


def joining(stage: str) -> str:
    """The command that was typed without shards, which joins the pieces."""
    return again(**{f"stage__{stage}__shards": None}) if typed().words else "the same call without shards"


def not_joined(root: Path) -> Iterator[tuple[str, str]]:
    """Of all pieces in a workspace that wait: `toy/corner episodes scripted-v1`, and the command that joins them."""
    for path in sorted(root.glob(f"*/*/*/{PIECES}*/{IDENTITY}")):
        *_, domain, task, kind, folder, _ = path.parts
        with suppress(DamagedArtifact):
            joins = read_json(path).get("joins", "")
            yield f"{domain}/{task} {kind} {folder.removeprefix(PIECES)}", str(joins)


def gather(draft: Path, folder: Path) -> None:
    """Move finished work that waits in a draft to the pieces; what is there already stays as it is."""
    for name in WAITING:
        if not (draft / name).is_dir():
            continue
        (folder / name).mkdir(exist_ok=True)
        _move_into(draft / name, folder / name)
        shutil.rmtree(draft / name)


def _move_into(source: Path, target: Path) -> None:
    for path in sorted(source.iterdir()):
        there = target / path.name
        if not there.exists():
            path.rename(there)
        elif path.is_dir():
            _move_into(path, there)


def _opened(final: Path, spec: Spec, stage: str) -> Path:
    """The folder of pieces, made where it is not there. Whoever calls holds the lease of `final`."""
    folder = pieces_of(final)
    if _is_empty(folder):
        shutil.rmtree(folder, ignore_errors=True)
    if (folder / IDENTITY).is_file():
        _require_same(folder, spec)
    (folder / SPILL).mkdir(parents=True, exist_ok=True)
    if not (folder / IDENTITY).is_file():
        what = {"fingerprint": spec.fingerprint, "parameters": dict(spec.parameters)}
        write_json(folder / IDENTITY, {**what, "joins": without_secrets(joining(stage))})
    return folder


def _remove_empty(final: Path, folder: Path) -> None:
    """Remove a folder without pieces, if nobody is at work: all were there already, or the first of them failed."""
    if _is_empty(folder):
        with suppress(InUse), held(lease_of(final), f"writing {final}", wait_s=0):
            if _is_empty(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_empty(folder: Path) -> bool:
    """Whether a folder holds no piece, and no job is making one."""
    return _holds_nothing(folder) and not _claims(folder)


def _holds_nothing(folder: Path) -> bool:
    files = (path for name in WAITING for path in (folder / name).rglob("*") if path.is_file())
    return next(files, None) is None


def require_same_pieces(final: Path, spec: Spec) -> None:
    """Before a claim, which would set aside what is unfinished of other settings.

    Raises IdentityMismatch where pieces of the artifact are there that were made with other settings.
    """
    folder = pieces_of(final)
    if folder.is_dir() and not _is_empty(folder):
        _require_same(folder, spec)


def _require_same(folder: Path, spec: Spec) -> None:
    recorded: dict[str, Any] = read_json(folder / IDENTITY) if (folder / IDENTITY).is_file() else {}
    if recorded.get("fingerprint", spec.fingerprint) == spec.fingerprint:
        return
    lines = differences(recorded.get("parameters"), dict(spec.parameters)) or ["their format"]
    raise IdentityMismatch(
        f"Pieces of {spec.version} of {spec.label} are there, made with other settings ({folder}):\n  "
        + "\n  ".join(lines)
        + "\nUse the same settings, or another name, or remove what is unfinished: "
        + Command("gc", settings={"stage.gc.delete": True}).line()
    )


def _claims(folder: Path) -> list[tuple[Path, range]]:
    """The leases beside a folder of pieces, each with the numbers that it is for."""
    found = []
    for path in sorted(folder.parent.glob(f"{folder.name}.*-*.lease")):
        if ends := re.fullmatch(r"\.(\d+)-(\d+)\.lease", path.name.removeprefix(folder.name)):
            found.append((path, range(int(ends[1]), int(ends[2]))))
    return found


def _overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def _wait_for(leases: Iterable[Path], doing: str) -> None:
    for path in leases:
        with held(path, doing):
            pass


def _some(numbers: Collection[int], most: int = 6) -> str:
    """The first ranges of some numbers."""
    ranges = number_ranges(numbers).split(", ")
    return ", ".join(ranges[:most]) + (" and more" if len(ranges) > most else "")
