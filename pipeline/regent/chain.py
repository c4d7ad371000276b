"""The artifacts of the chain: what each is made from, and how to find it."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.dataset.workspace import Workspace
from pipeline.regent.bins import folder_suffix
from pipeline.regent.columns import BinsColumns, row_parameters
from pipeline.regent.recipe import BINS_FORMAT, DISTANCES_FORMAT, PARQUET_FORMAT, Inputs

PER_STATE = ("distances", "indices")


def distances_spec(inputs: Inputs, neighbours: Artifact) -> Spec:
    """The identity of the distances that belong to these neighbours."""
    return inputs.child("distances", DISTANCES_FORMAT, {"metric": inputs.metric}, neighbours)


def find_bins(inputs: Inputs, columns: BinsColumns, workspace: Workspace) -> Artifact:
    """The finished bins of these inputs. Raises ArtifactNotFound with the command that makes them."""
    return workspace.require(BinsParts.find(inputs, columns, workspace).spec, "bins")


def bins_name(artifact: Artifact) -> str:
    """Upstream's folder name: `metaworld-assembly-100demos`."""
    return f"{artifact.domain}-{artifact.task}{artifact.manifest.parameters['suffix']}"


@dataclass(frozen=True)
class BinsParts:
    """What bins are made of."""

    inputs: Inputs
    columns: BinsColumns
    neighbours: Artifact
    distances: Artifact

    @staticmethod
    def find(inputs: Inputs, columns: BinsColumns, workspace: Workspace) -> BinsParts:
        neighbours = workspace.require(inputs.retrieval, "retrieval")
        distances = workspace.require(distances_spec(inputs, neighbours), "distances")
        return BinsParts(inputs, columns, neighbours, distances)

    @property
    def suffix(self) -> str:
        demos = self.inputs.retrieval.parameters["demos"]
        return folder_suffix(demos, self.inputs.embedding, self.inputs.by_mission)

    @property
    def spec(self) -> Spec:
        more = row_parameters(self.inputs, self.columns)
        return self.inputs.child("bins", BINS_FORMAT, {"suffix": self.suffix, **more}, self.neighbours, self.distances)


def find_parquet(
    inputs: Inputs,
    unseen: bool,
    workspace: Workspace,
    columns: BinsColumns = BinsColumns(),  # noqa: B008  # frozen
) -> tuple[Artifact, Artifact]:
    """The finished bins and parquet of these inputs. Raises ArtifactNotFound with the command that makes them."""
    bins = find_bins(inputs, columns, workspace)
    return bins, workspace.require(parquet_spec(inputs, bins, unseen), "parquet")


def parquet_spec(inputs: Inputs, bins: Artifact, unseen: bool) -> Spec:
    """The identity of the parquet that belongs to these bins."""
    return inputs.child("parquet", PARQUET_FORMAT, {"unseen": unseen}, bins)
