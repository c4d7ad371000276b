"""What a killed session left behind, brought back to where the next one finds it.

`collect` and `ingest` can make a lost episode again; a log cannot. So every moment of a session, also in the middle of
a commit or of this recovery, leaves each finished episode in the journal, in a spilled file, or in a part.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts.artifact import MANIFEST, PARTS, Manifest
from pipeline.dataset.journal import JOURNAL, Journal, read_journal
from pipeline.dataset.parts import remove_part, remove_unfinished, unpack
from pipeline.dataset.spill import SPILL, save_episode, spill_path
from pipeline.dataset.writer import DatasetWriter
from pipeline.storage.choice import open_arrays


def recover_parts(draft: Path, final: Path) -> None:
    """Move every written part that no manifest lists into the draft; some may lie beside the listed parts.

    The last of these parts is split into single episodes: it may not be full, and the writer would load such a part
    into memory and delete it. The episodes of a full part are packed into the same part again.
    """
    remove_unfinished(draft / PARTS)  # being written, or being removed by `_split`
    committed = Manifest.read(final).parts if (final / MANIFEST).is_file() else []
    listed = sum(part.episodes for part in committed)
    reopened = listed - committed[-1].episodes if committed else listed
    last, found = None, _longest(draft, final, reopened, listed) or _longest(draft, final, listed, listed)
    while found is not None:
        last = draft / PARTS / found.name
        if found != last:
            last.parent.mkdir(exist_ok=True)
            found.rename(last)
        found = _longest(draft, final, _span(last)[1], listed)
    if last is not None:
        _split(last, draft / SPILL, listed)


def take_finished(writer: DatasetWriter) -> bool:
    """Append all spilled episodes, then those of the journal. Returns whether a power cut has torn some.

    The episodes after a torn one move up, and so does what keeps them.
    """
    torn = False
    for path in sorted(writer.spill.glob("*" + spill_path(writer.spill, 0).suffix)):
        if int(path.stem) >= writer.count:
            torn |= int(path.stem) > writer.count
            path.rename(spill_path(writer.spill, writer.count))
            writer.append_spilled()
    return _take_journal(writer, writer.spill / JOURNAL) or torn


def _take_journal(writer: DatasetWriter, path: Path) -> bool:
    left = [(number, episode) for number, episode in read_journal(path) if number >= writer.count]
    torn = any(number != place for place, (number, _) in enumerate(left, writer.count))
    if torn:
        path.with_suffix(".tmp").unlink(missing_ok=True)  # of a recovery that was killed in here
        rewritten = Journal(path.with_suffix(".tmp"))
        for place, (_, episode) in enumerate(left, writer.count):
            rewritten.append(place, episode)
        rewritten.close()
        path.with_suffix(".tmp").replace(path)
    for _, episode in left:
        writer.append(episode)
    return torn


def _longest(draft: Path, final: Path, first: int, listed: int) -> Path | None:
    """The part that begins with episode `first` and reaches furthest, if it reaches beyond the `listed` episodes."""
    found = [path for parent in (draft, final) for path in (parent / PARTS).glob(f"{first:06d}-*")]
    return max((path for path in found if _span(path)[1] > listed), key=lambda path: _span(path)[1], default=None)


def _span(part: Path) -> tuple[int, int]:
    """Number of the first episode, and of the first one after the part."""
    first, _, end = part.name.partition("-")
    return int(first), int(end)


def _split(part: Path, spill: Path, listed: int) -> None:
    """Spill the episodes of a part that are not `listed`, and remove the part."""
    spill.mkdir(exist_ok=True)
    for number, episode in enumerate(unpack({n: a[:] for n, a in open_arrays(part).items()}), _span(part)[0]):
        if number >= listed:
            save_episode(spill_path(spill, number), episode)
    remove_part(part)
