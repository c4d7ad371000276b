"""Splitting: exact sizes, nothing in two parts, nothing but the content and the seed matters."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.splitting import check_parts, parts_of, sizes_of
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from tests.conftest import made_episode
from tests.pipeline.dataset.made import written

HALVES = {"train": 0.5, "test": 0.5}


def episodes(count: int = 24, **facts: object) -> list[Episode]:
    return [
        made_episode(
            np.random.default_rng(number),
            1 + number % 3,
            **({"seed": number // 4, "mission": f"m{number % 5}"} | facts),
        )
        for number in range(count)
    ]


def opened(folder: Path, made: list[Episode], storage: str = "bin", part_bytes: int = 4_000) -> EpisodeDataset:
    return EpisodeDataset(folder, written(folder, made, storage, part_bytes))


@pytest.fixture
def dataset(tmp_path: Path) -> EpisodeDataset:
    return opened(tmp_path / "dataset", episodes())


def test_parts_have_exactly_their_shares_of_the_episodes(dataset: EpisodeDataset):
    assert np.bincount(parts_of(dataset, {"train": 0.9, "test": 0.1}, "episode", 0)).tolist() == [22, 2]
    assert np.bincount(parts_of(dataset, {"a": 0.1, "b": 0.2, "c": 0.7}, "episode", 0)).tolist() == [2, 5, 17]
    assert np.bincount(parts_of(dataset, {"a": 0.99, "b": 0.005, "c": 0.005}, "episode", 0)).tolist() == [22, 1, 1]


@given(st.integers(2, 60), st.lists(st.integers(1, 50), min_size=2, max_size=5))
@settings(max_examples=60)
def test_sizes_are_less_than_one_from_the_shares_and_none_is_zero(count: int, weights: list[int]):
    count = max(count, len(weights))
    shares = [Decimal(each) / sum(weights) for each in weights]
    sizes = sizes_of(count, shares)
    assert sum(sizes) == count
    assert min(sizes) >= 1
    if min(shares) * count >= 1:
        assert all(abs(size - count * share) < 1 for size, share in zip(sizes, shares, strict=True))


def test_a_split_depends_on_the_seed_and_not_on_the_storage(tmp_path: Path):
    ways = [opened(tmp_path / "a", episodes()), opened(tmp_path / "b", episodes(), "zarr", 10**6)]
    first, second = (parts_of(each, HALVES, "episode", 3).tolist() for each in ways)
    assert first == second
    assert "".join(map(str, first)) == "100011100110100101010101"  # in every version of numpy
    assert parts_of(ways[0], HALVES, "episode", 4).tolist() != first


def test_an_episode_falls_into_the_same_part_in_any_order(tmp_path: Path):
    made = episodes()
    one, other = opened(tmp_path / "a", made), opened(tmp_path / "b", made[::-1])
    for by in ("episode", "mission", "seed"):
        assert parts_of(one, HALVES, by, 0).tolist() == parts_of(other, HALVES, by, 0).tolist()[::-1]


@pytest.mark.parametrize("by", ["mission", "seed"])
def test_a_mission_and_a_seed_stay_whole(dataset: EpisodeDataset, by: str):
    parts = parts_of(dataset, {"train": 0.7, "test": 0.3}, by, 1)
    groups = dataset.texts("mission") if by == "mission" else dataset.per_episode("seed").tolist()
    found = [set(parts[[each == group for each in groups]].tolist()) for group in set(groups)]
    assert all(len(each) == 1 for each in found)
    assert np.bincount(parts).tolist() == ([19, 5] if by == "mission" else [16, 8])


@given(
    st.lists(st.integers(0, 6), min_size=4, max_size=30),
    st.integers(0, 9),
    st.sampled_from(["episode", "mission", "seed"]),
)
@settings(max_examples=30)
def test_equal_episodes_are_in_one_part(tmp_path_factory: pytest.TempPathFactory, which: list[int], seed: int, by: str):
    which = [*which, 0, 1, 2]
    made = [made_episode(np.random.default_rng(each), 2, seed=each, mission=f"m{each}") for each in which]
    parts = parts_of(opened(tmp_path_factory.mktemp("equal"), made), {"a": 0.6, "b": 0.3, "c": 0.1}, by, seed)
    assert len({(each, part) for each, part in zip(which, parts.tolist(), strict=True)}) == len(set(which))
    assert set(parts.tolist()) == {0, 1, 2}


def test_single_episodes_make_up_for_equal_ones(tmp_path: Path):
    made = [*episodes(20), *[made_episode(np.random.default_rng(99), 2)] * 5]
    parts = parts_of(opened(tmp_path, made), {"train": 0.8, "test": 0.2}, "episode", 0)
    assert np.bincount(parts).tolist() == [20, 5]
    assert len(set(parts[20:].tolist())) == 1


@pytest.mark.parametrize(
    ("parts", "by", "words"),
    [
        ({"train": 0.9, "test": 0.2}, "episode", "must sum to 1; these sum to 1.1: 0.9 + 0.2."),
        ({"train": 0.3, "test": 0.3}, "episode", "these sum to 0.6"),
        ({"train": 90, "test": 10}, "episode", "The share of train is 90"),
        ({"train": 1.0, "test": 0.0}, "episode", "The share of train is 1.0"),
        ({"train": 1.1, "test": -0.1}, "episode", "The share of train is 1.1"),
        ({"train": "most", "test": 0.1}, "episode", "The share of train is most; it must be a number"),
        ({"train": True, "test": 0.1}, "episode", "The share of train is True"),
        ({"train": float("nan"), "test": 0.1}, "episode", "The share of train is nan"),
        ({"train": 1.0}, "episode", "has two parts or more"),
        ({}, "episode", "has two parts or more"),
        ({"../x": 0.5, "test": 0.5}, "episode", "'../x' cannot end a dataset's name"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: dict[str, float], by: str, words: str):
    with pytest.raises(InvalidInput) as error:
        check_parts(parts, by)
    assert words in str(error.value)


def test_another_way_to_split_is_an_unknown_name():
    with pytest.raises(UnknownName, match="episode, mission, seed"):
        check_parts(HALVES, "task")


def test_fewer_episodes_or_groups_than_parts_are_refused(tmp_path: Path):
    three = {"a": 0.4, "b": 0.3, "c": 0.3}
    two = opened(tmp_path / "two", episodes(2))
    with pytest.raises(InvalidInput, match="into 3 parts by episode: it has 2 episodes"):
        parts_of(two, three, "episode", 0)
    with pytest.raises(InvalidInput, match="it has 2 episodes, with 1 seed"):
        parts_of(two, HALVES, "seed", 0)
    equal = opened(tmp_path / "equal", [episodes(1)[0]] * 4)
    with pytest.raises(InvalidInput, match="it has 4 episodes, of which 1 differ"):
        parts_of(equal, HALVES, "episode", 0)


@pytest.mark.parametrize("by", ["mission", "seed"])
def test_what_no_episode_has_cannot_split_them(tmp_path: Path, by: str):
    dataset = opened(tmp_path, episodes(4, seed=-1, mission=""))
    with pytest.raises(InvalidInput, match=f"cannot be split by {by}: none of its 4 episodes has a {by}"):
        parts_of(dataset, HALVES, by, 0)
