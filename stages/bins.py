"""Lay out REGENT's bin files: rows of observations, actions and rewards, distances, indices, lookup, statistics."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from beartype import beartype
from jaxtyping import Int32, Shaped
from numpy.typing import DTypeLike

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.draft import Draft
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.workspace import Workspace
from pipeline.machine.files import write_json
from pipeline.machine.progress import progress
from pipeline.regent.bins import SHAPES, STATISTICS, context_indices, row_blocks, write_bin, write_lookup
from pipeline.regent.chain import Chain
from pipeline.regent.context import CONTEXT
from pipeline.regent.limits import check_rows
from pipeline.regent.recipe import Recipe
from pipeline.regent.upstream_json import write_retrieved
from pipeline.search.metric import UNITS
from pipeline.sources.jat.maps import REGENT, mission_maps, row_maps, write_maps
from pipeline.storage.contract import ReadableArray, blocks

FACTS = StageFacts()


@beartype
def run(*, recipe: Recipe, workspace: Workspace, force: bool) -> Artifact:
    """The folder `{domain}-{task}-{demos}demos/` with `*.bin`, `shapes.json`, `dist_stats.json` and the lookup.

    Raises InvalidInput for an action or reward that float32 or int32 cannot hold.
    """
    chain = Chain.of(recipe, workspace)
    spec = chain.spec("bins")
    if force or not workspace.get(spec):
        check_rows(chain)
    return workspace.build(spec, lambda draft: _write(chain, str(spec.parameters["suffix"]), draft), force)


def _write(chain: Chain, suffix: str, draft: Draft) -> None:
    plan, layout = chain.plan, chain.layout
    neighbours, distances = chain.require("retrieval"), chain.require("distances")
    folder = draft.folder(f"{chain.name}{suffix}")
    arrays = chain.row_arrays()
    shapes: dict[str, list[int]] = {}
    with progress("bins", chain.label, "files", len(arrays) + 2) as advance:
        for array in arrays:
            shape = (len(plan.rows), layout.width, *array.shape)
            values = row_blocks(array, layout, plan.rows)
            _file(draft, folder, array.key, values, shape, array.dtype, shapes, "as stored")
            advance(1)
        measured = distances.open()["distances"]
        unit = UNITS[chain.recipe.retrieval.metric]
        _file(draft, folder, "distances", blocks(measured), measured.shape, "<f4", shapes, unit)
        advance(1)
        found = neighbours.open()["neighbours"]
        shape = (plan.queries, CONTEXT, 2)
        _file(draft, folder, "indices", _indices(found, chain), shape, "<i4", shapes, "row, column")
        advance(1)
    shutil.copyfile(distances.path / STATISTICS, folder / STATISTICS)
    write_lookup(folder, suffix, plan.rows)
    write_json(folder / SHAPES, shapes)  # last: upstream's readers take a folder with it as complete
    draft.counts |= {"states": plan.queries, "rows": len(plan.rows)}
    draft.warnings += chain.observed.warnings()
    if chain.recipe.upstream_json:
        _write_json(chain, found, draft)


def _write_json(chain: Chain, neighbours: ReadableArray, draft: Draft) -> None:
    """`dataset_jat_regent/<domain>-<task>/`: retrieved indices, and the maps that upstream's code commits."""
    folder = draft.folder(REGENT) / chain.name
    folder.mkdir()
    network = f"_emb_{chain.observed.network}" if chain.observed.network else ""
    name = f"retrieved_indices_{chain.recipe.demos}demos{network}.json"
    write_retrieved(folder / name, blocks(neighbours, 4_096), chain.plan.rows, chain.layout)
    maps = row_maps(chain.dataset.lengths, chain.layout.width)
    if chain.plan.by_mission:
        maps |= mission_maps(chain.dataset.lengths, chain.dataset.texts("mission"), chain.layout.width)
    write_maps(folder, maps)


def _indices(neighbours: ReadableArray, chain: Chain) -> Iterator[Int32[np.ndarray, "n 20 2"]]:
    start = 0
    for block in blocks(neighbours, 65_536):
        yield context_indices(block, chain.plan.states[start : start + len(block)], chain.layout)
        start += len(block)


def _file(
    draft: Draft,
    folder: Path,
    key: str,
    parts: Iterable[Shaped[np.ndarray, "rows ..."]],
    shape: tuple[int, ...],
    dtype: DTypeLike,
    shapes: dict[str, list[int]],
    unit: str,
) -> None:
    draft.content(key, write_bin(folder, key, parts, shape, dtype))
    draft.listed(key, shape, dtype, unit)
    shapes[key] = list(shape)
