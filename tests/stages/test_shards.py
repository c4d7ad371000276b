"""One large task over several jobs: the same dataset and vectors, whatever the split, whoever died in between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.pieces import pieces_of
from pipeline.campaign.stage import PiecesMade
from pipeline.dataset.amount import Amount
from pipeline.dataset.bundle import Bundle
from pipeline.dataset.grow import Noticed, grow
from pipeline.dataset.sharded import dataset_pieces
from pipeline.dataset.spill import save_bundle, spill_path, spilled_episodes
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.envs.toy import Toy
from pipeline.episode import Episode
from pipeline.errors import IdentityMismatch, InvalidInput
from pipeline.frames.store import FRAMES
from pipeline.policies.random import Random
from pipeline.rollout.rollout import rollout
from pipeline.seeding import episode_rng, episode_seed
from tests.conftest import collected

EPISODES = 14
SPEC = Spec("toy", "corner", "episodes", 1, {"seed": 0}, name="made-v1")
SMALL = {"deadline": None, "max_examples": 3}


class Killed(Exception):
    """A job that ends where it stands."""


@pytest.fixture(scope="module")
def episodes() -> list[Episode]:
    """Some of which a part holds four."""
    simulator, policy = Toy("corner", max_steps=4), Random()
    seeds = [(episode_seed(0, "toy", "corner", n), episode_rng(0, "toy", "corner", n)) for n in range(EPISODES)]
    return [rollout(simulator, policy, seed, rng) for seed, rng in seeds]


@pytest.fixture(scope="module", autouse=True)
def small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.dataset.parts.PART_EPISODES", 4)
        yield


def play(spill: Path, episodes: list[Episode], numbers: list[int], together: int, dies_after: int | None) -> None:
    """Spill episodes as workers do, several in a file; perhaps only the first files."""
    left = sorted(numbers)
    while left:
        if dies_after is not None and dies_after <= 0:
            raise Killed
        run = [n for i, n in enumerate(left[:together]) if n == left[0] + i]
        save_bundle(spill_path(spill, run[0]), Bundle.of([episodes[n] for n in run]))
        left = left[len(run) :]
        dies_after = None if dies_after is None else dies_after - len(run)


def shard(place: Workspace, episodes: list[Episode], first: int, last: int, together: int, dies: int | None) -> None:
    with dataset_pieces(place, SPEC, range(first, last + 1), "collect") as pieces:
        there = {*range(pieces.before.episodes)} | spilled_episodes(pieces.spill)
        play(pieces.spill, episodes, [*({*range(first, last + 1)} - there)], together, dies)


def whole(place: Workspace, episodes: list[Episode], amount: int = EPISODES, dies: int | None = None) -> Artifact:
    def fill(writer: DatasetWriter, asked: Amount) -> Noticed:
        while not asked.met(writer.size):
            if dies is not None and writer.count >= dies:
                raise Killed
            if not writer.append_spilled(asked):
                play(writer.spill, episodes, [writer.count], 1, None)
        return Noticed()

    return grow(place, SPEC, Amount(amount), fill)


dying = st.one_of(st.none(), st.integers(0, 6))
ends = st.integers(0, EPISODES - 1)
shards = st.tuples(st.just("shard"), ends, ends, st.integers(1, 5), dying)
wholes = st.tuples(st.just("whole"), st.integers(1, EPISODES), st.integers(0, EPISODES))
jobs = st.lists(st.one_of(shards, shards, wholes), max_size=6)


@settings(**SMALL)
@given(jobs=jobs)
def test_any_split_of_episodes_and_any_death_give_the_same_dataset(episodes: list[Episode], jobs: list[Any]):
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(folder, "bin")
        for name, *how in jobs:
            try:
                if name == "shard":
                    first, last, together, dies = how
                    shard(place, episodes, min(first, last), max(first, last), together, dies)
                else:
                    whole(place, episodes, *how)
            except Killed:
                pass
        made = whole(place, episodes)
        assert made.manifest.counts["episodes"] == EPISODES
        assert [row.tobytes() for row in _digests(made)] == [episode.digest() for episode in episodes]
        assert [part.episodes for part in made.manifest.parts] == [4, 4, 4, 2]
        assert not pieces_of(made.path).exists()


def _digests(made: Artifact) -> Any:
    from pipeline.dataset.reader import EpisodeDataset

    return EpisodeDataset.of(made).per_episode("digest")


def test_two_that_made_the_same_episodes_leave_each_once(episodes: list[Episode], tmp_path: Path):
    place = Workspace(str(tmp_path))
    with dataset_pieces(place, SPEC, range(8), "collect") as pieces:  # one of them had lost its lease
        for first, last in ((0, 4), (2, 8), (3, 4)):
            save_bundle(spill_path(pieces.spill, first), Bundle.of(episodes[first:last]))
    assert [row.tobytes() for row in _digests(whole(place, episodes))] == [each.digest() for each in episodes]


def test_pieces_that_a_smaller_dataset_does_not_need_wait_for_a_larger_one(episodes: list[Episode], tmp_path: Path):
    place = Workspace(str(tmp_path))
    shard(place, episodes, 0, 9, 3, None)
    made = whole(place, episodes, 5)
    assert spilled_episodes(pieces_of(made.path) / "spill") == {*range(5, 10)}
    whole(place, [*[episodes[0]] * 10, *episodes[10:]])  # would give another dataset if these were made again
    assert [row.tobytes() for row in _digests(whole(place, episodes))] == [each.digest() for each in episodes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from tests.conftest import toy_domain

    return collected(toy_domain(), Workspace(str(tmp_path_factory.mktemp("whole"))), episodes=6, render=True)


def test_jobs_play_their_episodes_and_keep_their_pictures(toy, tmp_path: Path, undisturbed: Artifact):
    workspace = Workspace(str(tmp_path), "bin")
    first = collected(toy, workspace, episodes=6, render=True, shards="2-4")
    assert isinstance(first, PiecesMade)
    assert "3 of 6 episodes there (2-4), 3 missing (0-1, 5). Join them, and make the rest" in first.line
    made = collected(toy, workspace, episodes=6, render=True)
    assert made.manifest.digest == undisturbed.manifest.digest
    (pictures,) = workspace.of_kind("toy", "corner", FRAMES)
    (alone,) = Workspace(str(undisturbed.path.parents[4])).of_kind("toy", "corner", FRAMES)
    assert pictures.manifest.digest == alone.manifest.digest
    assert collected(toy, workspace, episodes=6, shards="0-1") == collected(toy, workspace, episodes=6)
    assert not [path for path in made.path.parent.iterdir() if ".pieces-" in path.name]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"shards": "4-6"}, r"4-6 asks for more than the episodes 0-5[\s\S]*episodes=7[\s\S]*shards=\"4-5\""),
        ({"shards": "0-1", "episodes": None, "states": 50}, "say episodes=N in place of states"),
        ({"shards": "0-1", "force": True}, "force=true compares all"),
        ({"shards": "1-0"}, "ends before it begins"),
    ],
)
def test_shards_of_collect_that_cannot_be_are_refused(toy, tmp_path: Path, asked: dict[str, Any], says: str):
    with pytest.raises(InvalidInput, match=says):
        collected(toy, Workspace(str(tmp_path)), **({"episodes": 6} | asked))
    assert list(tmp_path.iterdir()) == []


def test_jobs_with_other_settings_do_not_share_a_name(toy, episodes: list[Episode], tmp_path: Path):
    place, other = Workspace(str(tmp_path)), Spec("toy", "corner", "episodes", 1, {"seed": 7}, name="scripted-v1")
    with dataset_pieces(place, other, range(2), "collect") as pieces:
        play(pieces.spill, episodes, [0, 1], 2, None)
    for shards in ("2-3", None):
        with pytest.raises(IdentityMismatch, match=r"made with other settings[\s\S]*seed: 7 there, 0 asked"):
            collected(toy, place, episodes=6, shards=shards)
