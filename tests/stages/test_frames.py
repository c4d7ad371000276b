"""Frames: every row's own picture, whichever way it came to be there."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.references import References, derive, derived_spec
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.toy import Toy
from pipeline.errors import DamagedArtifact, DigestMismatch, IdentityMismatch, InvalidInput
from pipeline.frames.png import decode_png
from pipeline.frames.store import Frames
from pipeline.interfaces import Transition
from pipeline.policies.random import Random
from pipeline.rollout import frames as rollout_frames
from stages import frames, gc, verify
from tests.conftest import collected
from tests.manifests import edited

COMMON = {"dataset": "scripted-v1", "episodes": None, "workers": 2, "force": False}


def drawn(toy: Domain, workspace: Workspace, **settings: object):
    return frames.run(domain=toy, task="corner", workspace=workspace, **(COMMON | settings))


def found_frames(workspace: Workspace) -> list:
    return workspace.of_kind("toy", "corner", "frames")


def domain_of(environment) -> Domain:
    return Domain("toy", 60, 20, environment, ["corner", "maze", "key"], Regent(8, 5, 20, 150))


def test_each_row_has_the_picture_of_its_state(toy, workspace):
    dataset = collected(toy, workspace, episodes=3)
    pictures = Frames(drawn(toy, workspace))
    environment = Toy("corner", max_steps=60)
    assert len(pictures) == 3
    for episode, files in zip(EpisodeDataset.of(dataset), pictures, strict=True):
        assert len(files) == episode.rows
        environment.reset(episode.seed)
        np.testing.assert_array_equal(decode_png(files[0]), environment.render())
        for row, action in enumerate(episode.steps["action"][:-1], 1):
            environment.step(action)
            np.testing.assert_array_equal(decode_png(files[row]), environment.render())
    assert decode_png(pictures[2][-1]).shape == (144, 144, 3)


def test_lockstep_replay_and_growth_give_one_digest_and_no_change_of_the_dataset(toy, tmp_path):
    made = {}
    for name in ("plain", "lockstep", "replayed", "grown"):
        place = Workspace(str(tmp_path / name))
        steps = [4, 9] if name == "grown" else [9]
        for episodes in steps:
            dataset = collected(toy, place, episodes=episodes, render=name in ("lockstep", "grown"), policy=Random)
        if name == "replayed":
            drawn(toy, place)
        digests = {a.manifest.digest for a in found_frames(place) if a.manifest.counts["episodes"] == 9}
        made[name] = dataset.manifest.digest, digests
    assert len({digest for digest, _ in made.values()}) == 1
    assert made.pop("plain")[1] == set()
    assert len({frozenset(digests) for _, digests in made.values()}) == 1
    assert all(len(digests) == 1 for _, digests in made.values())


def test_pictures_of_the_collection_are_taken_over_without_a_replay(toy, workspace, monkeypatch):
    monkeypatch.setattr("pipeline.rollout.frames.audit", None)  # would fail if anything were replayed
    collected(toy, workspace, episodes=5, render=True)
    (artifact,) = found_frames(workspace)
    assert artifact.manifest.counts["episodes"] == 5
    assert sorted(path.name for path in artifact.path.iterdir()) == ["arrays", "manifest.json"]
    assert [path.name for path in artifact.path.parent.iterdir() if path.is_dir()] == [artifact.path.name]


def test_pictures_of_fewer_episodes_are_taken_over(toy, workspace, monkeypatch):
    collected(toy, workspace, episodes=6)
    drawn(toy, workspace, episodes=4)
    asked = []
    real = rollout_frames.audit
    monkeypatch.setattr(rollout_frames, "audit", lambda *given: asked.append(list(given[3])) or real(*given))
    drawn(toy, workspace)
    assert asked == [[4, 5]]


def test_they_are_found_again_and_force_compares(toy, workspace):
    collected(toy, workspace, episodes=3)
    first = drawn(toy, workspace)
    assert first.built
    assert not drawn(toy, workspace).built
    assert drawn(toy, workspace, force=True).built
    assert drawn(toy, workspace).manifest.digest == first.manifest.digest


def test_verify_reads_every_picture(toy, workspace):
    collected(toy, workspace, episodes=3)
    artifact = drawn(toy, workspace)
    check = partial(verify.run, domain=toy, only=None, workspace=workspace, audit=None, workers=1)
    check()
    edited(artifact.path, digest="0" * 64)
    with pytest.raises(DamagedArtifact, match="do not give the manifest's digest"):
        check()


class Moody(Toy):
    """Pays another reward than it did."""

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return dataclasses.replace(transition, reward=transition.reward + 1)


class Renamed(Toy):
    def identity(self):
        return {**super().identity(), "simulator": "another"}


def test_no_picture_is_made_of_a_state_that_is_not_the_recorded_one(toy, workspace):
    collected(toy, workspace, episodes=3)
    with pytest.raises(DigestMismatch, match=r"Episode 0 of .* replays differently from row 0 on \(reward\)"):
        drawn(domain_of(partial(Moody, max_steps=60)), workspace)
    with pytest.raises(IdentityMismatch, match="not the one that recorded"):
        drawn(domain_of(partial(Renamed, max_steps=60)), workspace)
    assert found_frames(workspace) == []


def test_a_dataset_from_elsewhere_has_nothing_to_replay(toy, workspace):
    artifact = collected(toy, workspace, episodes=2)
    parameters = artifact.manifest.parameters
    edited(artifact.path, parameters={name: each for name, each in parameters.items() if name != "environment"})
    with pytest.raises(InvalidInput, match="nothing to replay"):
        drawn(toy, workspace)


KILLED = """
import os, signal, sys
from pipeline.dataset.workspace import Workspace
from tests.conftest import collected, toy_domain
import pipeline.rollout.frames, stages.collect
if __name__ == "__main__":
    if sys.argv[2] == "write":
        pipeline.rollout.frames._write = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
    else:
        stages.collect.keep_lockstep = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
    collected(toy_domain(), Workspace(sys.argv[1]), episodes=6, render=True)
"""


@pytest.mark.parametrize("place", ["collect", "write"])
def test_a_killed_run_goes_on(toy, tmp_path, place: str):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    died = subprocess.run([sys.executable, str(script), str(tmp_path / "a"), place], check=False)
    assert died.returncode == -signal.SIGKILL
    there = Workspace(str(tmp_path / "a"))
    collected(toy, there, episodes=6, render=True)
    undisturbed = Workspace(str(tmp_path / "b"))
    collected(toy, undisturbed, episodes=6, render=True)
    ours, theirs = found_frames(there), found_frames(undisturbed)
    assert [a.manifest.digest for a in ours] == [a.manifest.digest for a in theirs] != []
    gc.run(domain=toy, only=None, workspace=there, delete=True)
    assert sorted(path.name for path in ours[0].path.parent.iterdir() if path.is_dir()) == [ours[0].path.name]


def test_pictures_of_chosen_episodes_are_taken_from_the_datasets_that_have_them(toy, workspace, monkeypatch):
    monkeypatch.setattr("pipeline.rollout.frames.audit", None)  # would fail if anything were replayed
    whole = EpisodeDataset.of(collected(toy, workspace, episodes=5, render=True))
    theirs = Frames(found_frames(workspace)[0])
    for name, parent, numbers in (("some-v1", whole, [1, 3, 4]), ("fewer-v1", None, [0, 2])):
        parent = parent or workspace["toy/corner/some-v1"]
        derive(workspace, derived_spec(name, "select", {}, [parent]), [parent], References.of_one(np.array(numbers)))
    fewer = Frames(drawn(toy, workspace, dataset="fewer-v1"))
    assert [files.png.tobytes() for files in fewer] == [theirs[number].png.tobytes() for number in (1, 4)]
