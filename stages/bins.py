"""Lay out REGENT's bin files: rows of observations, actions and rewards, distances, indices, lookup, statistics."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from beartype import beartype
from numpy.typing import DTypeLike

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.embedding.settings import Embedding
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.bins import SHAPES, STATISTICS, context_indices, row_blocks, write_bin, write_lookup
from pipeline.regent.chain import BinsParts
from pipeline.regent.columns import BinsColumns, row_arrays, row_warnings
from pipeline.regent.context import CONTEXT
from pipeline.regent.recipe import Inputs, regent_inputs
from pipeline.regent.settings import RetrievalSettings
from pipeline.regent.tokens import Tokenizer
from pipeline.regent.upstream_json import write_retrieved
from pipeline.search.metric import UNITS
from pipeline.sources.jat.maps import REGENT, mission_maps, row_maps, write_maps
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import ReadableArray, blocks

FACTS = StageFacts()


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
    parts = BinsParts.find(inputs, BinsColumns(images, upstream_json, tokenizer), workspace)
    return workspace.build(parts.spec, lambda draft: _write(parts, draft), force)


def _write(parts: BinsParts, draft: Draft) -> None:
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


def _write_json(parts: BinsParts, draft: Draft) -> None:
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
