"""A task of a published repository → bins, checked against what was published."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Int64, Shaped

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.draft import Draft
from pipeline.digest import digest_file
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.errors import DamagedArtifact, HubError, UnknownName
from pipeline.hub.columns import IMAGES, ParquetColumn, columns
from pipeline.hub.connection import Hub
from pipeline.hub.description import read_description
from pipeline.hub.download import download_files
from pipeline.hub.names import DESCRIPTION, NEWDATA, SUBSET, Listed, listed_tasks, plain_name
from pipeline.hub.repository import DatasetRepository, Snapshot
from pipeline.machine.files import read_json, write_json
from pipeline.machine.progress import progress
from pipeline.regent.bins import SHAPES, STATISTICS, folder_suffix, write_bin, write_lookup
from pipeline.regent.chain import PER_STATE
from pipeline.regent.statistics import distance_statistics
from pipeline.storage.contract import blocks

FETCHED_FORMAT = 1
"""Of bins that were fetched; it differs from that of the chain, because bins here only copy what was published."""
RECORD = "fetch.json"
ARRIVED = "arrived"
"""Folder of a draft that holds what was downloaded; it outlives a kill."""


@dataclass(frozen=True)
class PublishedTask:
    """One task in a repository, as of one commit. `facts` is its description, where it has one."""

    repository: DatasetRepository
    snapshot: Snapshot
    files: Listed
    facts: Mapping[str, Any] | None


def offered(domain: Domain, hub: Hub) -> list[str]:
    """The domain's tasks that the repository has, in the domain's order. Raises HubError where it has none."""
    there = listed_tasks(DatasetRepository(hub).require().files)
    names = [task for task in domain.tasks if f"{domain.name}-{task}" in there]
    if not names:
        raise HubError(f"{hub.repo} at {hub.address} has no task of {domain.name}. {_has(there)}")
    return names


def find_task(repository: DatasetRepository, name: str) -> PublishedTask:
    """The task called `metaworld-assembly` in a repository. Raises UnknownName where it is not there."""
    snapshot = repository.require()
    there = listed_tasks(snapshot.files)
    if name not in there:
        raise UnknownName(f"{repository.hub.repo} has no {name}_{SUBSET} and no {name}_{NEWDATA}. {_has(there)}")
    files = there[name]
    files.check_names(repository.hub.repo)
    files.check_complete()
    path = files.description
    facts = read_description(repository.read(snapshot, path), path) if path else None
    return PublishedTask(repository, snapshot, files, facts)


def _has(there: Mapping[str, Listed]) -> str:
    return f"Its tasks: {', '.join(there) or 'none'}."


def spec_of(domain: Domain, task: str, wanted: PublishedTask, suffix: str) -> Spec:
    """The files' checksums are the identity, not the commit: what others add to the repository changes nothing here."""
    if suffix:
        plain_name(suffix, "the description")
    parameters = {
        "repo_id": wanted.repository.hub.repo,
        "files": {path: wanted.snapshot.files[path].checksum for path in wanted.files.paths},
        "suffix": suffix,
    }
    return Spec(domain.name, task, "bins", FETCHED_FORMAT, parameters)


def write_bins(wanted: PublishedTask, spec: Spec, draft: Draft) -> None:
    """Download a task's files, and write its bins from them into the draft."""
    arrived = draft.path / ARRIVED
    paths = wanted.files.paths
    with progress("fetch", spec.label, "bytes", sum(wanted.snapshot.files[path].size for path in paths)) as advance:
        download_files(wanted.repository, wanted.snapshot, paths, arrived, advance)
    folder = draft.folder(f"{wanted.files.name}{spec.parameters['suffix']}")
    shapes = _unpack(wanted, spec, arrived, folder, draft)
    if wanted.facts is None:
        _complete(folder, shapes, str(spec.parameters["suffix"]), draft)
    else:
        _copy_extras(wanted, arrived, folder, draft)
        _compare(wanted, folder)
    hub = wanted.repository.hub
    record = {"repo_id": hub.repo, "hub": hub.address, "revision": hub.branch, "commit": wanted.snapshot.commit}
    write_json(draft.path / RECORD, record)
    shutil.rmtree(arrived)


def _unpack(wanted: PublishedTask, spec: Spec, arrived: Path, folder: Path, draft: Draft) -> dict[str, list[int]]:
    """Every column as a bin file; returns their shapes."""
    found: list[ParquetColumn] = []
    for shards in wanted.files.shards.values():
        found += columns([arrived / shard for shard in shards])
    with progress("unpack", spec.label, "files", len(found)) as advance:
        for column in found:
            key = plain_name(column.name, f"{wanted.repository.hub.repo}")
            _bin(draft, folder, key, column.blocks(), column.shape, column.dtype)
            advance(1)
            if column.stored != column.dtype:
                draft.warnings.append(f"{key} is {column.stored} in the repository, {column.dtype} here.")
    shapes = {column.name: list(column.shape) for column in found}
    rows = [shape[0] for name, shape in shapes.items() if name not in PER_STATE]
    draft.counts |= {"states": shapes["distances"][0]} if "distances" in shapes else {}
    draft.counts |= {"rows": rows[0]} if rows else {}
    return shapes


def _bin(
    draft: Draft,
    folder: Path,
    key: str,
    blocks: Iterable[Shaped[np.ndarray, "r *shape"]],
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> None:
    draft.content(key, write_bin(folder, key, blocks, shape, dtype))
    draft.listed(key, shape, dtype, "as published")


def _copy_extras(wanted: PublishedTask, arrived: Path, folder: Path, draft: Draft) -> None:
    """What the parquet files leave out: arrays of held-out tasks, then the small files, `shapes.json` last."""
    assert wanted.facts is not None
    arrays = {array["name"]: array for array in wanted.facts["bins"]["arrays"]}
    extras = {plain_name(path.split("/")[-1], path): arrived / path for path in wanted.files.extras}
    extras.pop(DESCRIPTION)
    for name, path in sorted(extras.items(), key=lambda item: item[0] == SHAPES):
        array = arrays.get(name.removesuffix(".bin"))
        if name == SHAPES and IMAGES in arrays:
            write_json(folder / SHAPES, {key: shape for key, shape in read_json(path).items() if key != IMAGES})
            draft.warnings.append(f"{IMAGES}.bin was published and is not brought back; {SHAPES} leaves it out.")
            continue
        if name.endswith(".bin") and array:
            stored = np.memmap(path, np.dtype(array["dtype"]).newbyteorder("<"), "r", shape=tuple(array["shape"]))
            _bin(draft, folder, array["name"], blocks(stored), stored.shape, stored.dtype)
        else:
            shutil.copyfile(path, folder / name)
    draft.counts["rows"] = int(wanted.facts["figures"]["rows"])
    draft.warnings += wanted.facts["warnings"]


def _compare(wanted: PublishedTask, folder: Path) -> None:
    """Raises DamagedArtifact unless every file is, byte for byte, what was published; pictures stay away."""
    assert wanted.facts is not None
    published = wanted.facts["bins"]["files"]
    apart = {f"{IMAGES}.bin", SHAPES} if f"{IMAGES}.bin" in published else set()
    here = {path.name: {"size": path.stat().st_size, "blake3": digest_file(path)} for path in folder.iterdir()}
    names = (published.keys() | here.keys()) - apart
    wrong = sorted(name for name in names if published.get(name) != here.get(name))
    if wrong:
        raise DamagedArtifact(
            f"{', '.join(wrong)} of {wanted.files.name} are not what {wanted.repository.hub.repo} says was published. "
            f"Its files do not belong together: publish the task again."
        )


def _complete(folder: Path, shapes: dict[str, list[int]], suffix: str, draft: Draft) -> None:
    """What a repository without descriptions does not hold, from the arrays themselves."""
    made = []
    if "distances" in shapes:
        distances = np.memmap(folder / "distances.bin", "<f4", "r", shape=tuple(shapes["distances"]))
        statistics = distance_statistics(lambda: blocks(distances))
        facts = {"metric": "l2", "n_states": len(distances), **statistics.to_json()}
        write_json(folder / STATISTICS, facts)
        made.append(STATISTICS)
        draft.counts["p95"] = statistics.p95
    if "indices" in shapes and "rows" in draft.counts:
        indices = np.memmap(folder / "indices.bin", "<i4", "r", shape=tuple(shapes["indices"]))
        lookup = own_rows(blocks(indices))
        if len(lookup) != draft.counts["rows"]:
            raise DamagedArtifact(f"indices.bin goes through {len(lookup)} rows, there are {draft.counts['rows']}.")
        made.append(write_lookup(folder, suffix, lookup))
    write_json(folder / SHAPES, shapes)
    draft.warnings.append(
        f"The repository has no description of this task: {', '.join([SHAPES, *made])} were made from its parquet "
        f"files. Nothing says which bytes the bins had where it was made; the metric is taken to be L2."
    )


def own_rows(parts: Iterable[Int[np.ndarray, "n 20 2"]]) -> Int64[np.ndarray, "rows"]:
    """Dataset rows in the order of the bins: those of the last entries of the indices, which go through them.

    Rows of the bins ascend in dataset rows, and each has at least one state, so each appears.
    """
    found: list[int] = []
    for part in parts:
        rows = part[:, -1, 0]
        fresh = rows[np.flatnonzero(np.diff(rows, prepend=found[-1] if found else -1))]
        found += fresh.tolist()
    if sorted(set(found)) != found:
        raise DamagedArtifact("The last entries of indices.bin do not go through the rows in ascending order.")
    return np.asarray(found, np.int64)


def guessed_suffix(domain: Domain, embedding: Embedding | None) -> str:
    """The end of upstream's folder names where there is no description: `-100demos`, empty for tasks with missions."""
    return folder_suffix(domain.regent.demos, embedding.label if embedding else "", domain.regent.missions)
