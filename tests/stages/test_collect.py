"""Collect: one digest whatever the workers, storage, growth or failures."""

import dataclasses
import os
import signal
from functools import partial

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.spill import spilled_episodes
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.errors import DamagedArtifact, IdentityMismatch, InvalidInput, TaskFailed
from pipeline.interfaces import Transition
from pipeline.policies.function import Function
from pipeline.policies.random import Random
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import rollout
from pipeline.seeding import episode_rng, episode_seed
from stages import verify
from tests.conftest import collected


class Broken(Toy):
    """Raises in the middle of the episode whose seed is given by the environment variable."""

    def reset(self, seed: int):
        self.broken = seed == int(os.environ["BROKEN_SEED"])
        return super().reset(seed)

    def step(self, action: np.ndarray) -> Transition:
        if self.broken:
            raise ValueError("the simulator gave up")
        return super().step(action)


class Dying(Broken):
    """Is killed by the system in that episode, the first time only."""

    def step(self, action: np.ndarray) -> Transition:
        if self.broken and not os.path.exists(os.environ["BROKEN_ONCE"]):
            open(os.environ["BROKEN_ONCE"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        self.broken = False
        return super().step(action)


class Fixed(Toy):
    """A deterministic game: begins in the same way, whatever the seed."""

    def reset(self, seed: int):
        return super().reset(0)


def wander(observation, generator) -> int:
    """Moves that follow from the observation alone."""
    return int(abs(observation.sum() * 7)) % 4


def domain_of(environment) -> Domain:
    return Domain("toy", 60, 20, environment, ["corner", "maze", "key"], Regent(8, 5, 20, 150))


def test_episodes_are_those_of_a_plain_loop(toy, workspace):
    artifact = collected(toy, workspace, episodes=6, seed=5)
    environment, policy = Toy("corner"), Scripted()
    for index, episode in enumerate(EpisodeDataset.of(artifact)):
        seed, rng = episode_seed(5, "toy", "corner", index), episode_rng(5, "toy", "corner", index)
        assert rollout(environment, policy, seed, rng).digest() == episode.digest()


def test_one_digest_for_one_or_two_workers_and_for_growth_in_steps(toy, tmp_path):
    digests = set()
    for name, workers, steps in (("a", 1, [20]), ("b", 2, [20]), ("c", 2, [3, 11, 20])):
        place = Workspace(str(tmp_path / name), "bin" if name == "b" else "zarr")
        for episodes in steps:
            artifact = collected(toy, place, episodes=episodes, workers=workers, policy=Random)
        digests.add(artifact.manifest.digest)
    assert len(digests) == 1


def test_episodes_that_are_one_are_told_at_the_end(tmp_path, caplog):
    domain, policy = domain_of(partial(Fixed, max_steps=9)), partial(Function, wander, batched=False)
    collected(domain, Workspace(str(tmp_path)), episodes=3, policy=policy)
    assert "toy/corner scripted-v1: 3 episodes are 1: " in caplog.text
    assert "Sticky actions or no-ops make them differ" in caplog.text
    caplog.clear()
    assert not collected(domain, Workspace(str(tmp_path)), episodes=3, policy=policy).built
    collected(domain, Workspace(str(tmp_path)), dataset="noisy-v1", episodes=3, policy=Random)
    assert "episodes are" not in caplog.text


def test_asking_for_less_reads_a_prefix_and_builds_nothing(toy, workspace):
    collected(toy, workspace, episodes=8)
    found = collected(toy, workspace, episodes=3)
    assert not found.built
    assert len(EpisodeDataset.of(found)) == 3


def test_states_gives_the_fewest_whole_episodes_that_hold_them(toy, workspace):
    artifact = collected(toy, workspace, episodes=None, states=60, workers=2)
    lengths = EpisodeDataset.of(artifact).lengths
    assert lengths.sum() >= 60 > lengths[:-1].sum()
    assert artifact.manifest.digest == collected(toy, workspace, episodes=len(lengths)).manifest.digest


def test_other_settings_under_the_same_name_are_refused_and_named(toy, workspace):
    collected(toy, workspace, episodes=2)
    with pytest.raises(IdentityMismatch, match=r"seed: 0 there, 1 asked[\s\S]*dataset=scripted-v2"):
        collected(toy, workspace, episodes=2, seed=1)
    with pytest.raises(IdentityMismatch, match="policy.name: scripted there, random asked"):
        collected(toy, workspace, episodes=2, policy=Random)


def test_the_other_storage_takes_the_episodes_over(toy, tmp_path, monkeypatch):
    first = collected(toy, Workspace(str(tmp_path), "zarr"), episodes=5)
    monkeypatch.setattr("stages.collect.WorkerPool", None)  # would fail if anything were simulated
    second = collected(toy, Workspace(str(tmp_path), "bin"), episodes=5)
    assert second.path != first.path
    assert second.manifest.digest == first.manifest.digest


def test_a_damaged_episode_is_not_taken_over(toy, tmp_path):
    first = collected(toy, Workspace(str(tmp_path), "bin"), episodes=5)
    file = next(first.path.rglob("steps/reward.bin"))
    reward = np.fromfile(file)
    reward[0] += 1
    reward.tofile(file)
    with pytest.raises(DamagedArtifact, match=r"steps/reward\.bin has other bytes than when it was made"):
        collected(toy, Workspace(str(tmp_path), "zarr"), episodes=5)


def test_force_makes_the_episodes_again_and_compares(toy, workspace):
    first = collected(toy, workspace, episodes=5)
    again = collected(toy, workspace, episodes=5, force=True)
    assert again.built
    assert again.path == first.path
    assert sorted(p.name for p in first.path.parent.iterdir() if p.is_dir()) == [first.path.name]


def test_a_failing_episode_is_named_and_finished_ones_survive(toy, workspace, monkeypatch, caplog):
    seed = episode_seed(0, "toy", "corner", 9)
    monkeypatch.setenv("BROKEN_SEED", str(seed))
    with pytest.raises(TaskFailed, match=rf"{seed}[\s\S]*the simulator gave up"):
        collected(domain_of(partial(Broken, max_steps=60)), workspace, episodes=20, workers=1)
    assert spilled_episodes(next(workspace.root.rglob("spill"))) == set(range(9))
    monkeypatch.setenv("BROKEN_SEED", "-1")
    with caplog.at_level("INFO"):
        fixed = collected(domain_of(partial(Broken, max_steps=60)), workspace, episodes=20)
    assert "found 9 new episodes, finished before" in caplog.text
    assert fixed.manifest.digest == collected(toy, Workspace(str(workspace.root / "other"))).manifest.digest


def test_a_killed_worker_is_a_failed_task_and_the_same_command_goes_on(toy, workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("BROKEN_SEED", str(episode_seed(0, "toy", "corner", 6)))
    monkeypatch.setenv("BROKEN_ONCE", str(tmp_path / "once"))
    with pytest.raises(TaskFailed, match="died without a message"):
        collected(domain_of(partial(Dying, max_steps=60)), workspace, episodes=20)
    fixed = collected(domain_of(partial(Dying, max_steps=60)), workspace, episodes=20)
    assert fixed.manifest.digest == collected(toy, Workspace(str(workspace.root / "other"))).manifest.digest


@pytest.mark.parametrize("settings", [{"episodes": 0}, {"episodes": 2, "states": 5}, {"seed": -1}, {"dataset": "../x"}])
def test_impossible_settings_are_refused(toy, workspace, settings):
    with pytest.raises(InvalidInput):
        collected(toy, workspace, **settings)


def test_metaworld_gives_one_digest_for_one_or_two_workers(tmp_path):
    pytest.importorskip("metaworld")
    from pipeline.envs.metaworld import MetaWorld

    environment = partial(MetaWorld, max_steps=60)
    domain = Domain("metaworld", 60, 6, environment, ["soccer"], Regent(256, 100, 100, 100_000))
    digests = {
        collected(
            domain, Workspace(str(tmp_path / str(workers))), "soccer", episodes=6, workers=workers
        ).manifest.digest
        for workers in (1, 2)
    }
    assert len(digests) == 1


def audited(toy, workspace):
    verify.run(domain=toy, only=None, workspace=workspace, audit="replay", workers=1)


def test_an_audit_with_other_settings_is_no_damage_and_says_what_differs(made):
    _, workspace = made
    with pytest.raises(InvalidInput, match=r"scripted-v1: max_steps: 60 there, 50 asked"):
        audited(domain_of(partial(Toy, max_steps=50)), workspace)


def test_a_collected_dataset_replays_exactly(made, caplog):
    toy, workspace = made
    with caplog.at_level("INFO"):
        audited(toy, workspace)
    assert "20 of 20 episodes replay exactly" in caplog.text


def test_the_first_step_at_which_the_simulator_differs_is_named(made):
    _, workspace = made
    with pytest.raises(DamagedArtifact, match=r"episode \d+ replays differently from row [1-9]\d* on: .*reward"):
        audited(domain_of(partial(Generous, max_steps=60)), workspace)


class Generous(Toy):
    """Pays more for every step."""

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return dataclasses.replace(transition, reward=transition.reward + (transition.reward > 0))
