"""Ingest: JAT rows become episodes, and the bins made of them are JAT's own bytes."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.atari import LEVELS
from pipeline.domains.domain import Domain, Regent
from pipeline.errors import IdentityMismatch, InvalidInput
from pipeline.formats.kabuki import KabukiFormat
from pipeline.regent.chain import bins_name
from pipeline.sources.jat.maps import mission_maps, row_maps, write_maps
from pipeline.sources.jat.source import JatSource
from pipeline.sources.kabuki import KabukiSource
from stages import export, ingest
from tests.conftest import collected, derived
from tests.jat_files import make_jat, make_missions, make_screens, restack
from tests.kabuki_files import kabuki_arrays, write_kabuki
from tests.manifests import as_before

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


def test_quirks_of_the_source_are_in_the_manifest_once_with_their_sentences_among_the_warnings(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", [256, 256, 10], metadata=False)
    ingested(workspace, jat.folder, episodes=1)
    manifest = ingested(workspace, jat.folder).manifest
    (quirk,) = manifest.quirks
    assert (quirk["name"], quirk["count"]) == ("inferred_ends", 2)
    assert "2 of 3 episodes are taken to end with a full row" in quirk["sentence"]
    assert manifest.warnings == [quirk["sentence"]]
    copied = ingested(
        Workspace(str(workspace.root.parent), {"zarr": "bin", "bin": "zarr"}[workspace.storage.name]), jat.folder
    )
    assert copied.manifest.quirks == [quirk]


def test_a_manifest_that_was_written_before_quirks_were_kept_is_read_and_grows(workspace, tmp_path):
    jat = make_jat(tmp_path / "jat", [256, 256, 10], metadata=False)
    as_before(ingested(workspace, jat.folder, episodes=1).path, "quirks")
    assert len(ingested(workspace, jat.folder).manifest.quirks) == 1


def other(workspace, name, task, source, **settings):
    chosen = {"episodes": None, "states": None, "force": False} | settings
    regent = Regent(row_width=32, demos=4, neighbours=30, states=100)
    made = Domain(name, None, 10, dict, [task], regent)
    return ingest.run(domain=made, task=task, source=source, workspace=workspace, dataset="jat-v1", **chosen)


@pytest.mark.parametrize("metadata", [True, False])
def test_atari_rows_become_frames_with_the_rule_that_makes_the_stacks_again(workspace, tmp_path, metadata):
    jat = make_screens(tmp_path / "jat", [70, 5, 64, 33], files=2, metadata=metadata)
    first = other(workspace, "atari", "pong", JatSource(str(jat.folder)), episodes=2)
    artifact = other(workspace, "atari", "pong", JatSource(str(jat.folder)))
    assert (first.manifest.counts["episodes"], artifact.manifest.counts["episodes"]) == (2, 4)
    rule = artifact.manifest.parameters["source"]["frame_stack"]
    assert rule == {"frames": 4, "stored": "frames", "padding": "repeat"}
    rows = []
    for episode in EpisodeDataset.of(artifact):
        stacks = LEVELS[restack(episode.steps["observation"][:-1], rule["frames"], rule["padding"])]
        for start in range(0, len(stacks), 32):
            chunk = stacks[start : start + 32]
            rows.append(np.concatenate([chunk, np.repeat(chunk[:1], 32 - len(chunk), axis=0)]))
    assert np.stack(rows).tobytes() == jat.regent_arrays()["image_observations"].tobytes()


def test_atari_stacks_that_are_kept_are_another_dataset(workspace, tmp_path):
    jat = make_screens(tmp_path / "jat", [40])
    other(workspace, "atari", "pong", JatSource(str(jat.folder)))
    with pytest.raises(IdentityMismatch, match="frame_stack"):
        other(workspace, "atari", "pong", JatSource(str(jat.folder), stacks="keep"))


def test_babyai_rows_become_episodes_with_missions_and_all_their_integers(workspace, tmp_path):
    jat = make_missions(tmp_path / "jat", [300, 4, 256, 9], metadata=False, texts=False)
    jat.write_raw(tmp_path / "raw", empty_at=[2])
    source = JatSource(str(jat.folder), raw=str(tmp_path / "raw"))
    artifact = other(workspace, "babyai", "go-to", source)
    assert "1 episode of length 0 has no rows" in artifact.manifest.warnings[0]
    dataset = EpisodeDataset.of(artifact)
    assert dataset.texts("mission") == [played.mission for played in jat.episodes]
    grids = dataset.state_rows("observation", 0, dataset.states)
    tokens = dataset.state_rows("info/mission_tokens", 0, dataset.states)
    played = [step for episode in jat.episodes for step in episode.observations]
    assert np.concatenate([grids, tokens], axis=1).tolist() == played
    maps = {**row_maps(dataset.lengths, 256), **mission_maps(dataset.lengths, dataset.texts("mission"), 256)}
    write_maps(jat.task_folder, maps)
    again = other(Workspace(str(tmp_path / "again")), "babyai", "go-to", JatSource(str(jat.folder)))
    assert again.manifest.digest == artifact.manifest.digest
    assert again.manifest.parameters == artifact.manifest.parameters


def test_data_without_a_name_are_of_no_task_until_somebody_says_so(tmp_path):
    several = Domain("toy", None, 5, dict, ["corner", "maze", "key"], Regent(32, 5, 20, 100))
    file = write_kabuki(tmp_path / "log.hdf5", kabuki_arrays())
    with pytest.raises(InvalidInput, match=r"(?s)of which task they are, and toy has 3 tasks.*task=corner"):
        ingest.tasks(domain=several, source=KabukiSource(str(file)))
    assert ingest.tasks(domain=domain(), source=KabukiSource(str(file))) is None  # a domain of one task
    (tmp_path / "logs").mkdir()
    for name in ("maze", "key", "other"):
        write_kabuki(tmp_path / "logs" / f"{name}.hdf5", kabuki_arrays())
    assert ingest.tasks(domain=several, source=KabukiSource(str(tmp_path / "logs"))) == ["key", "maze"]


def test_an_export_of_ours_says_of_which_task_it_is(toy, workspace, tmp_path):
    collected(toy, workspace, task="maze", episodes=2)
    common = {"strict": False, "final_observation": None, "link": False, "force": False, "episodes": None}
    file = tmp_path / "some.hdf5"
    export.run(
        domain=toy,
        task="maze",
        workspace=workspace,
        dataset="scripted-v1",
        format=KabukiFormat(),
        out=str(file),
        **common,
    )
    assert ingest.tasks(domain=toy, source=KabukiSource(str(file))) == ["maze"]
