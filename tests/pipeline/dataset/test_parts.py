"""A part: some episodes as flat arrays, and back."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Manifest, Part
from pipeline.dataset.parts import is_full, pack, runs_of, unpack
from pipeline.errors import InvalidEpisode
from tests.conftest import made_episode
from tests.pipeline.dataset.made import with_infos

INFO = st.dictionaries(st.sampled_from(["a", "b", "c/d"]), st.integers(-5, 5), max_size=3)


@given(st.lists(st.lists(INFO, min_size=1, max_size=5), min_size=1, max_size=5))
def test_episodes_come_back_from_a_part_as_they_were(infos: list[list[dict[str, object]]]):
    episodes = [with_infos(each) for each in infos]
    assert [e.digest() for e in unpack(pack(episodes))] == [e.digest() for e in episodes]


def test_pack_and_unpack_are_inverse(rng):
    episodes = [made_episode(rng, length, mission="é" * length, seed=length) for length in (1, 5, 2)]
    back = unpack(pack(episodes))
    assert [e.digest() for e in back] == [e.digest() for e in episodes]
    np.testing.assert_array_equal(pack(episodes)["episode_ends"], [2, 8, 11])


@given(cut=st.tuples(st.integers(0, 12), st.integers(0, 12)), size=st.sampled_from([1, 200, 1_000, 10_000]))
def test_a_part_is_read_in_runs_of_whole_episodes(cut: tuple[int, int], size: int):
    episodes = [made_episode(np.random.default_rng(n), 1 + n % 5, mission="é" * n, seed=n) for n in range(12)]
    first, last = sorted(cut)
    runs = [unpack(run) for run in runs_of(pack(episodes), first, last, size)]
    assert [e.digest() for run in runs for e in run] == [e.digest() for e in episodes[first:last]]
    nbytes = [sum(array.nbytes for e in run for array in e.steps.values()) for run in runs]
    assert all(len(run) == 1 or total <= size for run, total in zip(runs, nbytes, strict=True))
    assert all(a + b > size for a, b in itertools.pairwise(nbytes))


def test_episodes_of_other_layouts_do_not_share_a_part(rng):
    with pytest.raises(InvalidEpisode, match="Episode 1 of this part has .*\\[4\\].* first has .*\\[3\\]"):
        pack([made_episode(rng, 2), made_episode(rng, 2, width=4)])


def test_a_part_is_listed_with_facts_only_where_a_source_gave_some():
    plain = Part("000000-000003", 3, 7, 100)
    assert json.dumps(plain.as_json()) == '{"name": "000000-000003", "episodes": 3, "states": 7, "bytes": 100}'
    assert list(dataclasses.replace(plain, facts={}).as_json()) == ["name", "episodes", "states", "bytes", "facts"]


def test_a_manifest_gives_its_parts_back(tmp_path):
    parts = [Part("000000-000003", 3, 7, 100), Part("000003-000004", 1, 2, 9, {"checkpoint": "7", "rows": 3})]
    Manifest("episodes", "toy/x", "v", "f", "d", 1, parts=parts).write(tmp_path)
    assert Manifest.read(tmp_path).parts == parts


@pytest.mark.parametrize(("episodes", "size", "full"), [(1, 2**26, True), (4096, 1, True), (4095, 2**26 - 1, False)])
def test_a_part_is_full_by_its_bytes_or_its_episodes(episodes, size, full):
    assert is_full(episodes, size) is full
