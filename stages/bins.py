"""Lay out REGENT's bin files: rows of observations, actions and rewards, distances, indices, lookup, statistics."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from beartype import beartype
from numpy.typing import DTypeLike

from pipeline.artifact import Artifact, Spec
from pipeline.bins import (
    RowArray,
    action_key,
    bin_dtype,
    context_indices,
    observation_key,
    row_blocks,
    write_bin,
)
from pipeline.context import CONTEXT
from pipeline.dataset import EpisodeDataset
from pipeline.domain import Domain
from pipeline.files import write_json
from pipeline.progress import progress
from pipeline.storage.arrays import ReadableArray, blocks, open_arrays
from pipeline.workspace import Draft, Workspace
from stages.distances import STATISTICS, distances_spec
from stages.inputs import BINS_FORMAT, Inputs, RetrievalSettings, regent_inputs


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    retrieval: RetrievalSettings,
    force: bool,
) -> Artifact:
    """The folder `{domain}-{task}-{demos}demos/` with `*.bin`, `shapes.json`, `dist_stats.json` and the lookup."""
    inputs = regent_inputs(domain, task, workspace, dataset, episodes, retrieval)
    neighbours = workspace.require(inputs.retrieval, "retrieval")
    distances = workspace.require(distances_spec(inputs, neighbours), "distances")
    spec = _spec(inputs, neighbours, distances)
    return workspace.build(
        spec, lambda draft: _write(inputs, neighbours, distances, str(spec.parameters["suffix"]), draft), force
    )


def find_bins(inputs: Inputs, workspace: Workspace) -> Artifact:
    """The finished bins of these inputs. Raises ArtifactNotFound with the command that makes them."""
    neighbours = workspace.require(inputs.retrieval, "retrieval")
    distances = workspace.require(distances_spec(inputs, neighbours), "distances")
    return workspace.require(_spec(inputs, neighbours, distances), "bins")


def bins_name(artifact: Artifact) -> str:
    """Upstream's folder name: `metaworld-assembly-100demos`."""
    return f"{artifact.domain}-{artifact.task}{artifact.manifest.parameters['suffix']}"


def _spec(inputs: Inputs, neighbours: Artifact, distances: Artifact) -> Spec:
    suffix = f"-{inputs.retrieval.parameters['demos']}demos"
    return inputs.child("bins", BINS_FORMAT, {"suffix": suffix}, neighbours, distances)


def _write(inputs: Inputs, neighbours: Artifact, distances: Artifact, suffix: str, draft: Draft) -> None:
    name = f"{inputs.retrieval.domain}-{inputs.retrieval.task}"
    folder = draft.folder(f"{name}{suffix}")
    rows, layout = inputs.choice.rows, inputs.layout
    shapes: dict[str, list[int]] = {}
    with progress("bins", inputs.retrieval.label, "files", 5) as advance:
        for array in _row_arrays(inputs.dataset):
            shape = (rows, layout.width, *array.shape)
            _file(draft, folder, array.key, row_blocks(array, layout, rows), shape, array.dtype, shapes, "as stored")
            advance(1)
        measured = open_arrays(distances.arrays)["distances"]
        _file(draft, folder, "distances", blocks(measured), measured.shape, "<f4", shapes, "observation units, L2")
        advance(1)
        found = open_arrays(neighbours.arrays)["neighbours"]
        shape = (inputs.choice.queries, CONTEXT, 2)
        _file(draft, folder, "indices", _indices(found, inputs), shape, "<i4", shapes, "row, column")
        advance(1)
    shutil.copyfile(distances.path / STATISTICS, folder / STATISTICS)
    write_json(folder / f"all_row_idxs_lookup{suffix}.json", {str(row): row for row in range(rows)}, indent=None)
    write_json(folder / "shapes.json", shapes)  # last: upstream's readers take a folder with it as complete
    draft.counts |= {"states": inputs.choice.queries, "rows": rows}


def _row_arrays(dataset: EpisodeDataset) -> list[RowArray]:
    def read(name: str) -> RowArray:
        shape, dtype = dataset.spec(name)
        key = {"observation": observation_key(dtype), "reward": "rewards"}.get(name) or action_key(dtype, shape)

        def states(start: int, stop: int) -> np.ndarray:
            return dataset.state_rows(name, start, stop)

        return RowArray(key, shape, bin_dtype(dtype), states, shift=name == "reward")

    return [read("observation"), read("action"), read("reward")]


def _indices(neighbours: ReadableArray, inputs: Inputs) -> Iterator[np.ndarray]:
    start = 0
    for block in blocks(neighbours, 65_536):
        yield context_indices(block, start, inputs.layout)
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
