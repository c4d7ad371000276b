"""JAT in, REGENT's bins out: for Atari and BabyAI the bytes that upstream would write of the same parquet rows."""

import json
from dataclasses import replace
from functools import partial

import datasets
import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.envs.toy import Toy
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.policies.random import Random
from pipeline.regent.chain import bins_name
from pipeline.regent.recipe import Recipe
from pipeline.sources.jat.source import JatSource
from pipeline.storage.choice import open_arrays
from pipeline.views.contexts import Contexts
from stages import bins, distances, embeddings, ingest, parquet, retrieval
from tests.conftest import collected
from tests.jat_files import make_missions, make_screens
from tests.pipeline.embedding.encoders import embedding

LENGTHS = (11, 3, 20, 8, 17)


def domain(name, task, **regent) -> Domain:
    return Domain(name, 60, 20, partial(Toy, max_steps=60), [task], Regent(**regent))


def made(domain, source, workspace, embedding=None, **more):
    """Every stage from the source to parquet; the artifacts by kind."""
    at = {"domain": domain, "task": domain.tasks[0], "workspace": workspace, "dataset": "jat-v1", "episodes": None}
    artifacts = {"episodes": ingest.run(**at, source=source, states=None, force=False)}
    recipe = Recipe(domain, domain.tasks[0], "jat-v1", embedding=embedding, **more)
    if embedding is not None:
        artifacts["embeddings"] = embeddings.run(recipe=recipe, all_states=False, workspace=workspace, force=False)
    for stage in (retrieval, distances, bins, parquet):
        artifacts[stage.__name__.split(".")[-1]] = stage.run(recipe=recipe, workspace=workspace, force=False)
    return artifacts


def read(artifact, name, dtype):
    folder = artifact.path / bins_name(artifact)
    shape = json.loads((folder / "shapes.json").read_text())[name]
    return np.fromfile(folder / f"{name}.bin", dtype).reshape(shape)


ATARI = {"row_width": 8, "demos": 3, "neighbours": 20, "states": 45, "rows_per_demo": 200}


@pytest.mark.parametrize("padding", ["repeat", "zeros"])
def test_atari_gives_the_bytes_of_the_rows_and_an_embedding_for_every_column(tmp_path, padding):
    jat = make_screens(tmp_path / "jat", LENGTHS, width=8, size=(18, 16), padding=padding)
    pong = domain("atari", "pong", **ATARI)
    workspace = Workspace(str(tmp_path / "outputs"))
    artifacts = made(pong, JatSource(str(tmp_path / "jat"), row_width=8), workspace, embedding(), images=True)
    assert bins_name(artifacts["bins"]) == "atari-pong-emb_small_8-3demos"
    rows, wanted = artifacts["bins"].manifest.counts["rows"], jat.regent_arrays()
    assert 0 < rows < len(wanted["rewards"])
    for name, dtype in (("image_observations", "<f4"), ("discrete_actions", "<i4"), ("rewards", "<f4")):
        assert read(artifacts["bins"], name, dtype).tobytes() == wanted[name][:rows].tobytes()
    rule = artifacts["embeddings"].manifest.parameters["preparation"]["padding"]
    assert rule == {"repeat": "first", "zeros": "zero"}[padding]
    vectors = open_arrays(artifacts["embeddings"].arrays)["embeddings"][:]
    found, state = read(artifacts["bins"], "embeddings_small_8", "<f4"), 0
    for row, steps in enumerate(jat.real_steps()[:rows]):
        columns = [state + min(c, steps) % steps for c in range(8)]  # padding repeats the row's first state
        np.testing.assert_array_equal(found[row], vectors[columns])
        state += steps
    assert len(Contexts.of(artifacts["bins"])) == artifacts["bins"].manifest.counts["states"] == state
    assert Contexts.of(artifacts["bins"])[0]["continuous_observations"].shape == (20, 8)


def test_atari_retrieves_the_nearest_embeddings_of_other_episodes_in_a_pool_cut_by_its_rows(tmp_path):
    make_screens(tmp_path / "jat", LENGTHS, width=8, size=(18, 16))
    pong = domain("atari", "pong", **{**ATARI, "rows_per_demo": 1})
    artifacts = made(
        pong, JatSource(str(tmp_path / "jat"), row_width=8), Workspace(str(tmp_path / "outputs")), embedding()
    )
    vectors = open_arrays(artifacts["embeddings"].arrays)["embeddings"][:].astype(np.float64)
    neighbours = open_arrays(artifacts["retrieval"].arrays)["neighbours"][:]
    measured = open_arrays(artifacts["distances"].arrays)["distances"][:]
    pool = 11 + 3  # three rows: two of the first episode, one of the second
    assert open_arrays(artifacts["retrieval"].arrays)["pool"][:].tolist() == list(range(pool))
    episode = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    for query in range(len(neighbours)):
        candidates = [state for state in range(pool) if episode[state] != episode[query]]
        squared = ((vectors[candidates] - vectors[query]) ** 2).sum(axis=1)
        nearest = [candidates[i] for i in np.argsort(squared, kind="stable")][:20]
        nearest += [candidates[-1]] * (20 - len(nearest))
        assert neighbours[query].tolist() == nearest
        context = vectors[[*nearest[:19], query]]
        np.testing.assert_allclose(measured[query], np.linalg.norm(context - context[0], axis=1), rtol=1e-6)


def test_babyai_keeps_all_212_columns_of_the_rows_that_query(tmp_path):
    lengths = [5, 9, 3, 12, 7, 4, 8, 6, 10, 5, 3, 9] * 2
    jat = make_missions(tmp_path / "jat", lengths, width=8)
    goto = domain("babyai", "go-to", row_width=8, demos=2, neighbours=20, states=40, missions=True)
    artifacts = made(goto, JatSource(str(tmp_path / "jat"), row_width=8), Workspace(str(tmp_path / "outputs")))
    folder = artifacts["bins"].path / "babyai-go-to"
    lookup = [int(row) for row in json.loads((folder / "all_row_idxs_lookup.json").read_text())]
    assert lookup != list(range(len(lookup)))
    wanted = jat.regent_arrays()
    observed = read(artifacts["bins"], "discrete_observations", "<i4")
    assert observed.shape[2] == 212
    assert observed.tobytes() == wanted["discrete_observations"][lookup].tobytes()
    assert read(artifacts["bins"], "discrete_actions", "<i4").tobytes() == wanted["discrete_actions"][lookup].tobytes()
    assert read(artifacts["bins"], "rewards", "<f4").tobytes() == wanted["rewards"][lookup].tobytes()
    missions = EpisodeDataset.of(artifacts["episodes"]).texts("mission")
    states = np.repeat(missions, lengths)
    arrays = open_arrays(artifacts["retrieval"].arrays)
    assert (states[arrays["neighbours"][:]] == states[arrays["queries"][:]][:, None]).all()
    assert not artifacts["bins"].manifest.warnings


def test_pictures_need_an_embedding_and_say_the_command_that_makes_it(tmp_path):
    make_screens(tmp_path / "jat", LENGTHS, width=8, size=(18, 16))
    pong, workspace = domain("atari", "pong", **ATARI), Workspace(str(tmp_path / "outputs"))
    at = {"domain": pong, "task": "pong", "workspace": workspace, "dataset": "jat-v1", "episodes": None}
    ingest.run(**at, source=JatSource(str(tmp_path / "jat"), row_width=8), states=None, force=False)
    asked = Recipe(pong, "pong", "jat-v1")
    with pytest.raises(InvalidInput, match="embedding=resnet18_regent"):
        retrieval.run(recipe=asked, workspace=workspace, force=False)
    with pytest.raises(ArtifactNotFound, match="python run.py stage=embeddings domain=atari task=pong"):
        retrieval.run(recipe=replace(asked, embedding=embedding()), workspace=workspace, force=False)


def test_the_json_files_of_the_original_code_are_written_on_request(tmp_path):
    lengths = [5, 9, 3, 12, 7, 4, 8, 6, 10, 5, 3, 9]
    make_missions(tmp_path / "jat", lengths, width=8)
    goto = domain("babyai", "go-to", row_width=8, demos=2, neighbours=20, states=30, missions=True)
    workspace = Workspace(str(tmp_path / "outputs"))
    artifacts = made(goto, JatSource(str(tmp_path / "jat"), row_width=8), workspace)
    asked = Recipe(goto, "go-to", "jat-v1", upstream_json=True)
    with_json = bins.run(recipe=asked, workspace=workspace, force=False)
    assert parquet.run(recipe=asked, workspace=workspace, force=False).parent("bins").version == with_json.path.name
    folder = with_json.path / "dataset_jat_regent" / "babyai-go-to"
    told = json.loads((folder / "retrieved_indices_2demos.json").read_text())
    indices, state = read(artifacts["bins"], "indices", "<i4"), 0
    rows = json.loads((folder / "rows_tokenized_2_eps.json").read_text())
    assert set(told) <= set(rows)
    steps = {
        row: min(8, lengths[e] - 8 * (int(row) - min(int(r) for r in rows if rows[r] == e))) for row, e in rows.items()
    }
    for row, columns in told.items():
        assert list(columns) == [str(c) for c in range(8)]
        for column in range(8):
            if column < steps[row]:
                assert columns[str(column)][:19] == indices[state, :19].tolist()
                assert indices[state, 19].tolist() == [int(row), column]
                state += 1
            else:
                assert columns[str(column)] == [[0, 0]] * 20
    assert state == len(indices)
    missions = json.loads((folder / "eps_2_text.json").read_text())
    assert missions["0"] == EpisodeDataset.of(artifacts["episodes"]).texts("mission")[0]
    for name in ("discrete_observations", "indices", "distances"):
        left, right = (read(each, name, "<i4") for each in (artifacts["bins"], with_json))
        assert left.tobytes() == right.tobytes()


def test_datasets_loads_every_configuration_of_pictures_and_missions(tmp_path):
    make_screens(tmp_path / "jat", LENGTHS, width=8, size=(18, 16))
    make_missions(tmp_path / "jat", [5, 9, 3, 12, 7, 4, 8, 6], width=8)
    workspace, source = Workspace(str(tmp_path / "outputs")), JatSource(str(tmp_path / "jat"), row_width=8)
    goto = domain("babyai", "go-to", row_width=8, demos=2, neighbours=20, states=30, missions=True)
    for artifacts in (
        made(domain("atari", "pong", **ATARI), source, workspace, embedding(), images=True),
        made(goto, source, workspace),
    ):
        data = artifacts["parquet"].path / "data"
        label = f"{artifacts['parquet'].domain}-{artifacts['parquet'].task}"
        shapes = json.loads((artifacts["bins"].path / bins_name(artifacts["bins"]) / "shapes.json").read_text())
        for config in (f"{label}_subset", f"{label}_newdata"):
            loaded = datasets.load_dataset(str(data), config, split="train", cache_dir=str(tmp_path / "cache"))
            loaded = loaded.with_format("numpy")
            for name in loaded.column_names:
                dtype = "<i4" if name.startswith("discrete") or name == "indices" else "<f4"
                column = np.asarray(loaded[:][name])
                assert list(column.shape) == shapes[name]
                assert column.astype(dtype).tobytes() == read(artifacts["bins"], name, dtype).tobytes()


@pytest.mark.parametrize("full", [False, True])
def test_collected_actions_are_known_among_all_eighteen_whatever_set_they_are_of(tmp_path, full):
    workspace = Workspace(str(tmp_path))
    make = partial(Atari, max_steps=40, full_actions=full)
    pong = Domain("atari", 40, 5, make, ["pong"], Regent(**{**ATARI, "states": 60}))
    collected(pong, workspace, "pong", policy=Random, dataset="random-v1", episodes=2)
    asked = {"recipe": Recipe(pong, "pong", "random-v1", embedding=embedding()), "workspace": workspace, "force": False}
    embeddings.run(**asked, all_states=False)
    for stage in (retrieval, distances):
        stage.run(**asked)
    made = bins.run(**asked)
    episode = EpisodeDataset.of(workspace.dataset("atari", "pong", "random-v1"))[0]
    names = [ACTIONS[number] for number in (range(18) if full else minimal_actions("pong"))]
    wanted = [names[action] for action in episode.steps["action"][:20].tolist()]
    contexts = Contexts.of(made)
    assert [ACTIONS[int(contexts[state]["discrete_actions"][19])] for state in range(20)] == wanted
