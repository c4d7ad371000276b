"""Ingest: JAT rows become episodes, and the bins made of them are JAT's own bytes."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.dataset import EpisodeDataset
from pipeline.domain import Domain, Regent
from pipeline.errors import InvalidInput
from pipeline.sources.jat import JatSource
from pipeline.workspace import Workspace
from stages import ingest
from stages.bins import bins_name
from tests.conftest import derived
from tests.jat_files import make_jat

LENGTHS = [300, 256, 1, 257, 90, 512, 40, 31]


def domain(**changes):
    regent = Regent(row_width=256, demos=4, neighbours=30, states=1200)
    return Domain("mujoco", 1000, 10, dict, ["ant"], dataclasses.replace(regent, **changes))


def ingested(workspace, folder, dataset="scripted-v1", **settings):
    chosen = {"episodes": None, "states": None, "force": False} | settings
    source = JatSource(str(folder))
    return ingest.run(domain=domain(), task="ant", source=source, workspace=workspace, dataset=dataset, **chosen)


@pytest.mark.parametrize("metadata", [True, False])
def test_jat_rows_become_episodes_and_bins_of_the_same_bytes(workspace, tmp_path, metadata):
    jat = make_jat(tmp_path / "jat", LENGTHS, files=3, row_group_rows=2, metadata=metadata)
    dataset = EpisodeDataset.of(ingested(workspace, jat.folder))
    np.testing.assert_array_equal(dataset.lengths, LENGTHS)
    bins = derived(domain(), workspace, task="ant")["bins"]
    folder = bins.path / bins_name(bins)
    shapes = json.loads((folder / "shapes.json").read_text())
    rows = shapes["rewards"][0]
    assert rows == 9  # leading rows of at most 256 steps that hold 1,200 states
    for key, array in jat.regent_arrays().items():
        assert (folder / f"{key}.bin").read_bytes() == array[:rows].tobytes()


def test_what_the_source_lacks_is_flagged(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", [5, 3])
    episode = next(iter(EpisodeDataset.of(ingested(workspace, jat.folder))))
    assert not episode.has_final_observation
    assert not episode.has_final_reward
    assert episode.steps["observation"][-1].sum() == 0


def test_a_prefix_grows_to_the_whole_source(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", LENGTHS)
    ingested(workspace, jat.folder, episodes=3)
    grown = ingested(workspace, jat.folder)
    assert grown.manifest.counts["episodes"] == len(LENGTHS)
    whole = ingested(Workspace(str(tmp_path / "other")), jat.folder)
    assert grown.manifest.digest == whole.manifest.digest


def test_asking_for_more_than_the_source_has_is_an_error(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", [5, 3])
    with pytest.raises(InvalidInput, match="has 2 episodes"):
        ingested(workspace, jat.folder, episodes=3)


def test_inferred_boundaries_are_noted_in_the_manifest(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", [256, 256, 10], metadata=False)
    warnings = ingested(workspace, jat.folder).manifest.warnings
    assert any("taken to end with a full row" in warning for warning in warnings)
