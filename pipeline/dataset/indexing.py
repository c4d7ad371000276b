"""Making, keeping and opening the index of a dataset."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.artifacts.artifact import MANIFEST, PARTS, Artifact, Manifest, Part
from pipeline.artifacts.beside import INDEX, hidden_places
from pipeline.artifacts.derived import REFERENCES, referred_to
from pipeline.artifacts.store import artifact_in_place
from pipeline.artifacts.whole import Files, changed_in
from pipeline.dataset.index import INDEX_VERSION, ONCE, READ, DatasetIndex, check_of
from pipeline.dataset.parts import ENDS
from pipeline.dataset.sections import SectionArrays, Sections, read_sections, write_sections
from pipeline.dataset.shares import NUMBER, OWNER, shares_of
from pipeline.digest import DIGEST_BYTES, digest_file
from pipeline.episode import SUMMARY
from pipeline.errors import DamagedArtifact
from pipeline.machine.progress import progress
from pipeline.storage.choice import open_arrays
from pipeline.wording import few, how_many

TAIL = re.compile(rb'"checksum":\s*"([0-9a-f]{64})"\s*\}\s*$')
"""The end of a manifest: its checksum is the last key."""

TAIL_BYTES = 4096

LONG = 500
"""So many parts take so long to read that it is shown how far that is."""

LATER = ("file_sizes", "file_digests")
"""Long arrays that are checked where they are used, by `part_checks`."""

MARKERS = ("zarr.json", "shapes.json", "episodes/zarr.json")

log = logging.getLogger(__name__)

NO_EPISODE: SectionArrays = {
    "return": np.zeros(0, np.float64),
    **{name: np.zeros(0, dtype) for name, dtype in SUMMARY.items()},
    "digest": np.zeros((0, DIGEST_BYTES), np.uint8),
}

Tables = dict[str, list[tuple[str, int, str]]]
"""Name, size and checksum of the files of each part."""


def manifest_identity(folder: Path) -> str:
    """The checksum of a folder's manifest, of which only the end is read; of an older one, that of its file.

    Raises DamagedArtifact where there is none.
    """
    path = folder / MANIFEST
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            tail = file.read()
        found = TAIL.search(tail)
        return found[1].decode() if found else f"file {digest_file(path)}"
    except OSError as error:
        raise DamagedArtifact(f"{path} cannot be read: {error}") from error


def opened_index(folder: Path) -> DatasetIndex:
    """The index of the dataset in a folder of a workspace; made where it is not there.

    Raises DamagedArtifact where the dataset's manifest, or what a new index is made of, is not what it was.
    """
    folder = folder.absolute()
    return _kept(folder, manifest_identity(folder)) or _made_and_kept(artifact_in_place(folder))


def index_of(artifact: Artifact) -> DatasetIndex:
    """The index of a dataset as its manifest was when that was read. Raises as `opened_index`."""
    identity = artifact.manifest.checksum or manifest_identity(artifact.path)
    return _kept(artifact.path, identity) or _made_and_kept(artifact, identity)


def kept_index(folder: Path) -> DatasetIndex | None:
    """The index of a folder's dataset where it lies there, whole and of its manifest."""
    folder = folder.absolute()
    return _kept(folder, manifest_identity(folder))


def keep_index(artifact: Artifact, written: Mapping[str, SectionArrays] = MappingProxyType({})) -> None:
    """Make the index of a dataset that was just made or has grown; its episodes are not checked again.

    `written` are the arrays `READ` of parts by name, as they were written: then they are not read.
    """
    _made_and_kept(artifact, artifact.manifest.checksum, check=False, written=written)


def reopened(folder: Path, identity: str, count: int, likeness: bytes) -> DatasetIndex:
    """The index of a dataset in another process: its first `count` episodes, which must be those that they were."""
    index = opened_index(folder).first(count)
    if index.values["manifest"] != identity and index.likeness() != likeness:
        raise DamagedArtifact(f"{folder} holds other episodes than when it was opened. Open it again.")
    return index


def mend_index(artifact: Artifact) -> bool:
    """Make the index of a dataset again where it says other things than its parts; whether that was so."""
    identity = artifact.manifest.checksum or manifest_identity(artifact.path)
    if (kept := _kept(artifact.path, identity)) is None:
        return False
    made = _made(artifact, identity, check=False, before=None)
    same = kept.values == made.values and kept.arrays.keys() == made.arrays.keys()
    if same and all(np.array_equal(array, made.arrays[name]) for name, array in kept.arrays.items()):
        return False
    _keep(made)
    return True


def _kept(folder: Path, identity: str) -> DatasetIndex | None:
    """The index that is kept, where it is whole and of this manifest, and all that it refers to is as it was."""
    for sections in _kept_sections(folder):
        if sections.values["manifest"] != identity:
            continue
        try:
            return _with_owners(folder, sections)
        except DamagedArtifact:  # a dataset that it refers to is gone or changed: making it anew says so
            continue
    return None


def _with_owners(folder: Path, sections: Sections) -> DatasetIndex | None:
    for name, identity in sections.values["parents"]:
        if manifest_identity(folder.parent / name) != identity:
            return None
    owners = tuple(opened_index(folder.parent / name).first(episodes) for name, episodes in sections.values["owners"])
    return DatasetIndex(folder, sections.values, sections.arrays, owners, len(sections.arrays["ends"]))


def _kept_sections(folder: Path) -> Iterator[Sections]:
    for path in hidden_places(folder, INDEX):
        try:
            found = read_sections(path)
        except (OSError, ValueError) as error:
            log.debug("the index %s cannot be read: %s", path, error)
            continue
        if found is not None and found.values.get("index") == INDEX_VERSION:
            yield found


def _made_and_kept(
    artifact: Artifact,
    identity: str = "",
    check: bool = True,
    written: Mapping[str, SectionArrays] = MappingProxyType({}),
) -> DatasetIndex:
    identity = identity or manifest_identity(artifact.path)
    index = _made(artifact, identity, check, next(_kept_sections(artifact.path), None), written)
    if manifest_identity(artifact.path) == identity:  # otherwise it has grown since: its own index is another
        _keep(index)
    return index


def _keep(index: DatasetIndex) -> None:
    later = {name: array for name, array in index.arrays.items() if name in LATER}
    checked = {name: array for name, array in index.arrays.items() if name not in later}
    for path in hidden_places(index.folder, INDEX):
        try:
            write_sections(path, index.values, checked, later)
            return
        except OSError as error:  # a folder that can only be read, or a full disk: then it is made again each time
            log.debug("the index of %s is not kept at %s: %s", index.folder, path, error)


def _made(
    artifact: Artifact,
    identity: str,
    check: bool,
    before: Sections | None,
    written: Mapping[str, SectionArrays] = MappingProxyType({}),
) -> DatasetIndex:
    manifest = artifact.manifest
    values: dict[str, Any] = {
        "index": INDEX_VERSION,
        "manifest": identity,
        **{key: getattr(manifest, key) for key in ("task", "version", "digest", "counts", "parameters")},
        "arrays": [[each["name"], each["dtype"], list(each["shape"][1:])] for each in manifest.arrays],
        "parents": [],
        "owners": [],
        "files": [],
    }
    values = json.loads(json.dumps(values))  # as it comes back
    if artifact.is_derived:
        return _of_derived(artifact, values, check)
    tables = _file_tables(artifact)
    files = sorted({name for table in tables.values() for name, _, _ in table})
    arrays = _arrays_of_files(tables, files) | _arrays_of_parts(artifact, tables, before, written)
    return DatasetIndex(artifact.path, values | {"files": files}, arrays, (), len(arrays["ends"]))


def _file_tables(artifact: Artifact) -> Tables:
    """The files of each part, by its name."""
    tables: Tables = {part.name: [] for part in artifact.manifest.parts}
    for path, record in artifact.manifest.files.items():
        folder, part, name = (*path.split("/", 2), "", "")[:3]
        if folder == PARTS and part in tables:
            tables[part].append((name, record["size"], record["blake3"]))
    return {part: sorted(table) for part, table in tables.items()}


def _arrays_of_files(tables: Tables, files: list[str]) -> SectionArrays:
    numbers = {name: number for number, name in enumerate(files)}
    rows = [row for table in tables.values() for row in table]
    try:
        digests = np.frombuffer(bytes.fromhex("".join(digest for _, _, digest in rows)), np.uint8).reshape(-1, 32)
    except ValueError as error:
        raise DamagedArtifact(f"A manifest lists a checksum that is none: {error}") from error
    return {
        "part_checks": np.frombuffer(b"".join(map(check_of, tables.values())), np.uint8).reshape(-1, 16),
        "file_offsets": np.cumsum([0, *map(len, tables.values())], dtype=np.int64),
        "file_names": np.array([numbers[name] for name, _, _ in rows], np.int32),
        "file_sizes": np.array([size for _, size, _ in rows], np.int64),
        "file_digests": digests,
    }


def _arrays_of_parts(
    artifact: Artifact, tables: Tables, before: Sections | None, written: Mapping[str, SectionArrays]
) -> SectionArrays:
    """Where the episodes lie: as an index of before says of the parts that are still the same, and as those say that
    were just `written`; the others are read.
    """
    parts = artifact.manifest.parts
    known = _known_parts(before)  # by the checksum of their files, which decides what is in them
    checks = [check_of(tables[part.name]) for part in parts]
    for part, check in zip(parts, checks, strict=True):
        if part.name in written:
            known[check] = _of_a_part(written[part.name])
    unread = sum(check not in known for check in checks)
    shown = progress("index", artifact.manifest.task, "parts", unread) if unread > LONG else nullcontext(None)
    with shown as advance:
        for part, check in zip(parts, checks, strict=True):
            if check not in known:
                known[check] = _read_part(artifact, part, tables[part.name])
                if advance:
                    advance(1)
            require_listed(artifact.path / PARTS / part.name, part, known[check][ENDS])
    pieces = [known[check] for check in checks]
    rows = np.cumsum([0, *(part.states + part.episodes for part in parts)], dtype=np.int64)
    ends = [piece[ENDS] + first for piece, first in zip(pieces, rows.tolist(), strict=False)]
    return {
        "part_names": np.array([part.name.encode() for part in parts], np.bytes_),
        "part_firsts": np.cumsum([0, *(part.episodes for part in parts)], dtype=np.int64),
        "part_rows": rows,
        "ends": np.concatenate(ends or [np.zeros(0, np.int64)]),
        **{name: np.concatenate([piece[name] for piece in pieces] or [NO_EPISODE[name]]) for name in ONCE},
    }


def files_of_index(dataset: Manifest) -> Files:
    """The few small files of all parts that an index is made of, as a manifest lists them."""
    return {path: record for path, record in dataset.files.items() if _is_of_index(path.split("/", 2)[-1])}


def _is_of_index(name: str) -> bool:
    return name in MARKERS or name.removesuffix(".bin").startswith(READ)


def _known_parts(before: Sections | None) -> dict[bytes, SectionArrays]:
    """What an earlier index says of each part, by the checksum of its files."""
    if before is None or "part_checks" not in before.arrays:
        return {}
    arrays = before.arrays
    firsts, rows = arrays["part_firsts"].tolist(), arrays["part_rows"].tolist()
    return {
        check.tobytes(): {ENDS: arrays["ends"][first:last] - row, **{name: arrays[name][first:last] for name in ONCE}}
        for check, first, last, row in zip(arrays["part_checks"], firsts[:-1], firsts[1:], rows[:-1], strict=True)
    }


def _read_part(artifact: Artifact, part: Part, table: list[tuple[str, int, str]]) -> SectionArrays:
    """What the index must know of a part; the files that say so are checked."""
    files: Files = {
        f"{PARTS}/{part.name}/{name}": {"size": size, "blake3": digest}
        for name, size, digest in table
        if _is_of_index(name)
    }
    if found := changed_in(artifact.path, files):
        artifact.require_whole({f"{PARTS}/{part.name}": files})  # raises with what makes the dataset again
        raise DamagedArtifact(f"{artifact.path} is damaged: {few(found)}.")
    stored = open_arrays(artifact.path / PARTS / part.name)
    return _of_a_part({name: np.array(stored[name][:]) for name in READ})  # a map of each part would stay open


def _of_a_part(arrays: SectionArrays) -> SectionArrays:
    """The arrays `READ` of a part by the names that they have in an index."""
    return {ENDS: arrays[ENDS], **{name: arrays[f"episodes/{name}"] for name in ONCE}}


def require_listed(folder: Path, part: Part, ends: Shaped[np.ndarray, " n"]) -> None:
    """Raises DamagedArtifact where a part has other numbers of episodes or states than its manifest lists."""
    if len(ends) != part.episodes or (len(ends) and int(ends[-1]) != part.states + part.episodes):
        raise DamagedArtifact(
            f"{folder} has {how_many(len(ends), 'episodes')}; {part.episodes} with "
            f"{how_many(part.states, 'states')} are listed."
        )


def _of_derived(artifact: Artifact, values: dict[str, Any], check: bool) -> DatasetIndex:
    """The index of a dataset that refers to others: where their owners have its episodes."""
    if check:
        shares_of(artifact)  # raises where an episode is gone, or another one
    references = open_arrays(artifact.path / REFERENCES)
    of, numbers = references[OWNER][:], references[NUMBER][:]
    parents = [index_of(each) for each in referred_to(artifact)]
    owners = list({owner.folder: owner for parent in parents for owner in parent.owners}.values())
    place = {owner.folder: number for number, owner in enumerate(owners)}
    arrays: SectionArrays = {"owner": np.zeros(len(of), np.int32), "first": np.zeros(len(of), np.int64)}
    rows = np.zeros(len(of), np.int64)
    arrays |= {name: np.zeros((len(of), *none.shape[1:]), none.dtype) for name, none in NO_EPISODE.items()}
    for number, parent in enumerate(parents):
        own = np.flatnonzero(of == number)
        owner, arrays["first"][own] = parent.places(numbers[own])
        arrays["owner"][own] = np.array([place[each.folder] for each in parent.owners])[owner]
        rows[own] = parent.lengths[numbers[own]] + 1
        for name in ONCE:
            arrays[name][own] = parent.once(name)[numbers[own]]
    arrays["ends"] = np.cumsum(rows)
    needed = [_needed(owner, arrays["first"][arrays["owner"] == each]) for each, owner in enumerate(owners)]
    values["owners"] = [[owner.folder.name, count] for owner, count in zip(owners, needed, strict=True)]
    above = {name: identity for parent in parents for name, identity in parent.values["parents"]}
    above |= {parent.folder.name: parent.values["manifest"] for parent in parents}
    values["parents"] = [list(each) for each in above.items()]
    used = tuple(replace(owner, count=count) for owner, count in zip(owners, needed, strict=True))
    return DatasetIndex(artifact.path, values, arrays, used, len(of))


def _needed(owner: DatasetIndex, firsts: Shaped[np.ndarray, " k"]) -> int:
    """How many of an owner's episodes are those up to the last that is referred to."""
    return int(np.searchsorted(owner.arrays["ends"], firsts.max(initial=-1), "right")) + 1 if len(firsts) else 0
