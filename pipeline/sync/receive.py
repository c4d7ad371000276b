"""An artifact into a store that is a folder: file by file into a draft, under the lease of its name, manifest last.

The draft is that of `pipeline.artifacts.claim`: a killed copy is taken up where it was, and a stage that would make the
same artifact waits.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from pipeline.artifacts.artifact import EPISODES, MANIFEST, PARTS
from pipeline.artifacts.beside import forget, remove
from pipeline.artifacts.claim import DRAFT, IDENTITY, STALE, DraftFolder, claim
from pipeline.artifacts.store import artifact_in_place
from pipeline.artifacts.whole import Files, remember_written
from pipeline.dataset.indexing import keep_index
from pipeline.digest import digest_file
from pipeline.machine.files import files_below, size_of, sync_folder, sync_tree, write_atomic
from pipeline.machine.progress import Advance
from pipeline.remote.download import bring_files
from pipeline.sync.compare import GROW, Step
from pipeline.sync.end import End


def receive(step: Step, source: End, target: End, look_again: Callable[[], Step], advance: Advance) -> Step:
    """Copy an artifact into a folder's store; what was done in the end, for another may have been faster.

    `look_again` compares both ends once more, when the lease is held. `advance` is called with bytes that are there.
    Raises as `bring_files`, and DamagedArtifact and LostLease as `claim`.
    """
    final = target.place(step.artifact)
    with claim(final, _identity(step)) as draft:
        now = look_again()
        if now.files.keys() != step.files.keys() or now.what != step.what:
            if not now.files:
                draft.discard()
                return now
            step = now
        text = step.manifest_text()
        _bring(step.files, step, source, draft, advance)
        if step.what == GROW:
            _add_parts(draft, text)
        else:
            _replace(draft, text)
        _keep_beside(final, step)
    return step


def kept_bytes(step: Step, target: End) -> int:
    """Bytes that an earlier, killed copy has left of an artifact."""
    final = target.place(step.artifact)
    drafts = final.parent.glob(f"{DRAFT}{final.name}-????????") if final.parent.is_dir() else ()
    return min(step.size, sum(map(size_of, drafts)))


def _identity(step: Step) -> str:
    """What a draft is a copy of: it is only continued with the very same files."""
    manifest = step.artifact.manifest
    return f"a copy of {manifest.checksum or manifest.digest}"


def _bring(wanted: Files, step: Step, source: End, draft: DraftFolder, advance: Advance) -> None:
    """Fill the draft with files whose checksums are right: those that came before, and the rest from the source."""
    for path in files_below(draft.path):
        name = path.relative_to(draft.path).as_posix()
        if name not in wanted and name != IDENTITY and not _is_part_of(path, wanted, draft.path):
            path.unlink()
    missing = []
    for name, record in wanted.items():
        path = draft.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not record["size"]:
            path.touch()
        elif path.is_file() and path.stat().st_size == record["size"] and digest_file(path) == record["blake3"]:
            advance(int(record["size"]))
        else:
            path.unlink(missing_ok=True)
            missing.append(name)
    bring_files(source.remote, source.files(step.artifact, missing, draft.path), advance, draft.check)


def _is_part_of(path: Path, wanted: Files, folder: Path) -> bool:
    """Whether a hidden file is the unfinished part of a wanted one, or the note beside it."""
    name = path.name.removeprefix(".").removesuffix(".json").removesuffix(".part")
    return path.name.startswith(".") and (path.parent / name).relative_to(folder).as_posix() in wanted


def _replace(draft: DraftFolder, manifest: bytes) -> None:
    """Let the draft appear in one step. Something else that lies in its place is moved away first."""
    sync_tree(draft.path)
    write_atomic(draft.path / MANIFEST, lambda file: file.write(manifest))
    (draft.path / IDENTITY).unlink()
    old = None
    if draft.final.exists():
        draft.check()
        old = draft.final.with_name(f"{STALE}{draft.final.name}-{uuid.uuid4().hex[:8]}")
        draft.final.rename(old)
        forget(draft.final)
    draft.commit()
    if old is not None:
        remove(old)


def _add_parts(draft: DraftFolder, manifest: bytes) -> None:
    """Add the new parts to the dataset that is there. They belong to it once its manifest says so, which comes last."""
    sync_tree(draft.path)
    draft.check()
    for path in sorted((draft.path / PARTS).iterdir()):
        part = draft.final / PARTS / path.name
        if part.exists():  # a copy that died before the manifest left it
            shutil.rmtree(part)
        path.rename(part)
    sync_folder(draft.final / PARTS)
    write_atomic(draft.final / MANIFEST, lambda file: file.write(manifest))
    draft.discard()


def _keep_beside(final: Path, step: Step) -> None:
    """What readers would have to find out again: that the files are whole, and where episodes lie."""
    made = artifact_in_place(final)
    groups = {group: files for group, files in made.groups().items() if files and set(files) <= set(step.files)}
    remember_written(final, groups)
    if made.manifest.kind == EPISODES and not made.is_derived:
        keep_index(made)
