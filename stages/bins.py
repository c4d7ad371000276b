"""Lay out REGENT's bin files: rows of observations, actions and rewards, distances, indices, lookup, statistics."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from beartype import beartype
from numpy.typing import DTypeLike

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.regent.bins import SHAPES, STATISTICS, context_indices, folder_suffix, row_blocks, write_bin, write_lookup
from pipeline.regent.context import CONTEXT
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.machine.files import write_json
from pipeline.search.metric import UNITS
from pipeline.regent.tokens import Tokenizer
from pipeline.machine.progress import progress
from pipeline.sources.jat.maps import REGENT, mission_maps, row_maps, write_maps
from pipeline.storage.contract import ReadableArray, blocks, open_arrays
from pipeline.regent.upstream_json import write_retrieved
from pipeline.artifacts.workspace import Draft, Workspace
from stages.distances import distances_spec
from pipeline.regent.recipe import BINS_FORMAT, Inputs, regent_inputs
from pipeline.regent.settings import RetrievalSettings
from pipeline.regent.columns import BinsColumns, row_arrays, row_parameters, row_warnings


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    embedding: Embedding | None = None,
    images: bool = False,
    upstream_json: bool = False,
    tokenizer: Tokenizer = Tokenizer(),  # noqa: B008  # frozen
    force: bool,
) -> Artifact:
    """The folder `{domain}-{task}-{demos}demos/` with `*.bin`, `shapes.json`, `dist_stats.json` and the lookup."""
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval, embedding)
    parts = _Parts.find(inputs, BinsColumns(images, upstream_json, tokenizer), workspace)
    return workspace.build(parts.spec, lambda draft: _write(parts, draft), force)


def find_bins(inputs: Inputs, columns: BinsColumns, workspace: Workspace) -> Artifact:
    """The finished bins of these inputs. Raises ArtifactNotFound with the command that makes them."""
    return workspace.require(_Parts.find(inputs, columns, workspace).spec, "bins")


def bins_name(artifact: Artifact) -> str:
    """Upstream's folder name: `metaworld-assembly-100demos`."""
    return f"{artifact.domain}-{artifact.task}{artifact.manifest.parameters['suffix']}"


@dataclass(frozen=True)
class _Parts:
    """What bins are made of."""

    inputs: Inputs
    columns: BinsColumns
    neighbours: Artifact
    distances: Artifact

    @staticmethod
    def find(inputs: Inputs, columns: BinsColumns, workspace: Workspace) -> _Parts:
        neighbours = workspace.require(inputs.retrieval, "retrieval")
        distances = workspace.require(distances_spec(inputs, neighbours), "distances")
        return _Parts(inputs, columns, neighbours, distances)

    @property
    def suffix(self) -> str:
        demos = self.inputs.retrieval.parameters["demos"]
        return folder_suffix(demos, self.inputs.embedding, self.inputs.by_mission)

    @property
    def spec(self) -> Spec:
        more = row_parameters(self.inputs, self.columns)
        return self.inputs.child("bins", BINS_FORMAT, {"suffix": self.suffix, **more}, self.neighbours, self.distances)


def _write(parts: _Parts, draft: Draft) -> None:
    inputs, suffix = parts.inputs, parts.suffix
    folder = draft.folder(f"{inputs.retrieval.domain}-{inputs.retrieval.task}{suffix}")
    rows, layout = inputs.choice.rows, inputs.layout
    arrays = row_arrays(inputs, parts.columns)
    shapes: dict[str, list[int]] = {}
    with progress("bins", inputs.retrieval.label, "files", len(arrays) + 2) as advance:
        for array in arrays:
            shape = (len(rows), layout.width, *array.shape)
            _file(draft, folder, array.key, row_blocks(array, layout, rows), shape, array.dtype, shapes, "as stored")
            advance(1)
        measured = open_arrays(parts.distances.arrays)["distances"]
        _file(draft, folder, "distances", blocks(measured), measured.shape, "<f4", shapes, UNITS[inputs.metric])
        advance(1)
        found = open_arrays(parts.neighbours.arrays)["neighbours"]
        shape = (inputs.choice.queries, CONTEXT, 2)
        _file(draft, folder, "indices", _indices(found, inputs), shape, "<i4", shapes, "row, column")
        advance(1)
    shutil.copyfile(parts.distances.path / STATISTICS, folder / STATISTICS)
    write_lookup(folder, suffix, rows)
    write_json(folder / SHAPES, shapes)  # last: upstream's readers take a folder with it as complete
    draft.counts |= {"states": inputs.choice.queries, "rows": len(rows)}
    draft.warnings += row_warnings(inputs, parts.columns)
    if parts.columns.upstream_json:
        _write_json(parts, draft)


def _write_json(parts: _Parts, draft: Draft) -> None:
    """`dataset_jat_regent/<domain>-<task>/`: retrieved indices, and the maps that upstream's code commits."""
    inputs = parts.inputs
    folder = draft.folder(REGENT) / f"{inputs.retrieval.domain}-{inputs.retrieval.task}"
    folder.mkdir()
    network = f"_emb_{inputs.embedding}" if inputs.embedding else ""
    name = f"retrieved_indices_{inputs.retrieval.parameters['demos']}demos{network}.json"
    found = blocks(open_arrays(parts.neighbours.arrays)["neighbours"], 4_096)
    write_retrieved(folder / name, found, inputs.choice.rows, inputs.layout)
    maps = row_maps(inputs.dataset.lengths, inputs.layout.width)
    if inputs.by_mission:
        maps |= mission_maps(inputs.dataset.lengths, inputs.dataset.texts("mission"), inputs.layout.width)
    write_maps(folder, maps)


def _indices(neighbours: ReadableArray, inputs: Inputs) -> Iterator[np.ndarray]:
    start = 0
    for block in blocks(neighbours, 65_536):
        yield context_indices(block, inputs.choice.states[start : start + len(block)], inputs.layout)
        start += len(block)


def _file(
    draft: Draft,
    folder: Path,
    key: str,
    parts: Iterable[np.ndarray],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    shapes: dict[str, list[int]],
    unit: str,
) -> None:
    draft.content(key, write_bin(folder, key, parts, shape, dtype))
    draft.listed(key, shape, dtype, unit)
    shapes[key] = list(shape)
