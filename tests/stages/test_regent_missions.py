"""Retrieval inside missions, on made episodes, against a plain loop written from REGENT's rules."""

import json
from functools import partial

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.regent.chain import bins_name
from pipeline.sources.contract import Source
from pipeline.storage.choice import open_arrays
from stages import ingest
from tests.conftest import derived

WIDTH, DEMOS, STATES, KEPT = 4, 3, 60, 20
MISSIONS = ("go to the box", "open the door", "pick up a ball", "put it down")


class Made(Source):
    """Episodes of small integers, so that many distances are equal, with missions in a drawn order."""

    name = "made"

    def __init__(self, seed: int = 0, count: int = 60) -> None:
        self._seed, self._count = seed, count

    def identity(self, domain, task):
        return {"source": self.name, "seed": self._seed}

    def episodes(self, domain, task, start=0):
        rng = np.random.default_rng(self._seed)
        for number in range(self._count):
            length = int(rng.integers(1, 11))
            episode = Episode(
                steps={
                    "observation": rng.integers(0, 4, (length + 1, 5)).astype(np.uint8),
                    "action": with_last_row("action", rng.integers(0, 7, length)),
                    "reward": with_last_row("reward", rng.normal(size=length)),
                    "discount": with_last_row("discount", np.ones(length)),
                },
                mission="seen twice" if number in (4, 9) else MISSIONS[int(rng.integers(len(MISSIONS)))],
            )
            if number >= start:
                yield episode

    def count(self, domain, task):
        return self._count


def domain(**regent) -> Domain:
    numbers = {"row_width": WIDTH, "demos": DEMOS, "neighbours": KEPT, "states": STATES, "missions": True, **regent}
    return Domain("toy", 60, 20, partial(Toy, max_steps=60), ["corner"], Regent(**numbers))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    workspace = Workspace(str(tmp_path_factory.mktemp("missions")))
    settings = {"domain": domain(), "task": "corner", "workspace": workspace, "dataset": "scripted-v1"}
    artifact = ingest.run(**settings, source=Made(), episodes=None, states=None, force=False)
    return EpisodeDataset.of(artifact), derived(domain(), workspace)


def chosen(dataset):
    """Episodes that query, and the pool of each mission, as plain lists."""
    missions = dataset.texts("mission")
    by_mission = {}
    for number, mission in enumerate(missions):
        by_mission.setdefault(mission, []).append(number)
    turns = {mission: list(found) for mission, found in by_mission.items() if len(found) >= DEMOS}
    pools, queries, total = {}, [], 0
    while total < STATES and any(turns.values()):
        for mission, left in turns.items():
            if not left:
                continue
            batch, turns[mission] = left[:DEMOS], left[DEMOS:]
            pools.setdefault(mission, batch)
            queries += batch
            total += sum(int(dataset.lengths[number]) for number in batch)
            if total >= STATES:
                break
    return sorted(queries), pools


def states_of(dataset, number):
    begin = int(dataset.state_ends[number] - dataset.lengths[number])
    return list(range(begin, int(dataset.state_ends[number])))


def test_every_query_retrieves_the_nearest_of_its_own_mission(built):
    dataset, artifacts = built
    vectors = np.concatenate([episode.steps["observation"][:-1] for episode in dataset]).astype(np.float64)
    missions, (queries, pools) = dataset.texts("mission"), chosen(dataset)
    neighbours = open_arrays(artifacts["retrieval"].arrays)["neighbours"][:]
    measured = open_arrays(artifacts["distances"].arrays)["distances"][:]
    row = 0
    for number in queries:
        candidates = [s for other in pools[missions[number]] if other != number for s in states_of(dataset, other)]
        for state in states_of(dataset, number):
            squared = ((vectors[candidates] - vectors[state]) ** 2).sum(axis=1)
            nearest = [candidates[i] for i in np.argsort(squared, kind="stable")[:KEPT]]
            nearest += [candidates[-1]] * (KEPT - len(nearest))  # a short pool repeats its last candidate
            assert neighbours[row].tolist() == nearest
            context = vectors[[*nearest[:19], state]]
            np.testing.assert_allclose(measured[row], np.linalg.norm(context - vectors[nearest[0]], axis=1), rtol=1e-6)
            row += 1
    assert row == len(neighbours) == artifacts["retrieval"].manifest.counts["states"]
    assert artifacts["retrieval"].manifest.counts["missions"] == len(pools)
    assert set(missions) - set(pools)  # some mission takes no part, so rows are skipped


def test_the_arrays_beside_the_neighbours_say_who_retrieves_from_where(built):
    dataset, artifacts = built
    queries, pools = chosen(dataset)
    arrays = {name: array[:] for name, array in open_arrays(artifacts["retrieval"].arrays).items()}
    names = json.loads((artifacts["retrieval"].path / "missions.json").read_text())
    assert names == list(pools)
    assert arrays["queries"].tolist() == [state for number in queries for state in states_of(dataset, number)]
    for name, pool in zip(names, np.split(arrays["pool"], arrays["pool_ends"][:-1]), strict=True):
        assert pool.tolist() == [state for number in pools[name] for state in states_of(dataset, number)]
    missions = dataset.texts("mission")
    owners = [names[owner] for owner in arrays["query_pool"]]
    assert owners == [missions[number] for number in queries for _ in states_of(dataset, number)]


def test_bins_hold_the_rows_that_query_and_the_lookup_finds_them(built):
    dataset, artifacts = built
    queries, _ = chosen(dataset)
    rows, row = [], 0
    for number, length in enumerate(dataset.lengths):
        count = -(-int(length) // WIDTH)
        if number in queries:
            rows += range(row, row + count)
        row += count
    folder = artifacts["bins"].path / bins_name(artifacts["bins"])
    lookup = json.loads(next(folder.glob("all_row_idxs_lookup*.json")).read_text())
    assert lookup == {str(each): place for place, each in enumerate(rows)}
    assert list(lookup.values()) != [int(each) for each in lookup]
    shapes = json.loads((folder / "shapes.json").read_text())
    actions = np.fromfile(folder / "discrete_actions.bin", "<i4").reshape(shapes["discrete_actions"])
    rewards = np.fromfile(folder / "rewards.bin", "<f4").reshape(shapes["rewards"])
    place = 0
    for number in queries:
        episode = dataset[number]
        shifted = [0.0, *episode.steps["reward"][:-2]]
        for start in range(0, episode.length, WIDTH):
            for found, values in ((actions, episode.steps["action"][:-1]), (rewards, np.array(shifted))):
                chunk = list(values[start : min(start + WIDTH, episode.length)])
                wanted = chunk + [chunk[0]] * (WIDTH - len(chunk))
                np.testing.assert_array_equal(found[place], np.array(wanted, found.dtype))
            place += 1
    assert place == len(rows) == len(actions)
    indices = np.fromfile(folder / "indices.bin", "<i4").reshape(shapes["indices"])
    assert set(indices[..., 0].ravel().tolist()) <= set(rows)


def test_a_mission_whose_only_episode_queries_has_nothing_to_retrieve(tmp_path):
    workspace, few = Workspace(str(tmp_path)), domain(demos=1)
    settings = {"domain": few, "task": "corner", "workspace": workspace, "dataset": "scripted-v1"}
    ingest.run(**settings, source=Made(), episodes=None, states=None, force=False)
    with pytest.raises(InvalidInput, match=r"is the whole pool of the mission '.+'[\s\S]*retrieval.demos=2"):
        derived(few, workspace)


def test_a_task_may_ask_for_fewer_episodes_of_a_mission(tmp_path):
    workspace, fewer = Workspace(str(tmp_path)), domain(fewest={"corner": 2}, states=10_000)
    settings = {"domain": fewer, "task": "corner", "workspace": workspace, "dataset": "scripted-v1"}
    ingest.run(**settings, source=Made(), episodes=None, states=None, force=False)
    retrieval = derived(fewer, workspace)["retrieval"]
    assert "seen twice" in json.loads((retrieval.path / "missions.json").read_text())
    assert any("1 missions have fewer than 3 episodes" in warning for warning in retrieval.manifest.warnings)
