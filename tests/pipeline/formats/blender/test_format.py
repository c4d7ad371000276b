"""RLHF-Blender's files: what every form keeps, its own rules, and what its server and a browser do with them."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from gymnasium.envs.classic_control import PendulumEnv
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.environment import Gym
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from pipeline.formats.aspects import Aspect
from pipeline.formats.blender.facts import environment_id
from pipeline.formats.blender.format import KEYFRAMES, BlenderFormat
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.provenance import provenance
from pipeline.frames.png import decode_png
from pipeline.frames.store import FRAMES, Frames
from pipeline.frames.video import write_video
from pipeline.policies.random import Random
from tests.blender_server import action_list, cluster_frames, episode_list, series, step_details
from tests.browser import needs_browser
from tests.conftest import collected, made_episode
from tests.contracts.format import Listed, ingested, place_of
from tests.contracts.one_way import OneWayContract, written
from tests.pipeline.frames.test_video import played


class TestBlenderFormat(OneWayContract):
    resumes = True

    def format(self) -> BlenderFormat:
        return BlenderFormat()


@pytest.fixture(scope="module")
def stored(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path]:
    """A store, and the files of `toy/corner` in it."""
    root = tmp_path_factory.mktemp("blender") / "outputs"
    shutil.copytree(drawn, root)
    return (workspace := Workspace(str(root))), place_of(written(BlenderFormat(), workspace))


def pictures(workspace: Workspace, episode: int) -> list[np.ndarray]:
    (frames,) = workspace.of_kind("toy", "corner", FRAMES)
    files = Frames(frames)[episode]
    return [decode_png(files[row]) for row in range(len(files))]


def test_the_server_offers_every_episode_and_shows_what_happened_at_each_step(stored):
    workspace, folder = stored
    dataset = EpisodeDataset.of(workspace.dataset("toy", "corner", "scripted-v1"))
    assert episode_list(folder / "renders") == list(range(len(dataset)))
    for number, episode in enumerate(dataset):
        npz = folder / "episodes" / f"benchmark_{number}.npz"
        rewards = series(folder / "rewards" / f"rewards_{number}.npy")
        assert rewards == [0.0, *episode.steps["reward"][:-1]]
        assert series(folder / "uncertainty" / f"uncertainty_{number}.npy") == [1.0] * episode.rows
        assert action_list(npz) == episode.steps["action"].tolist()
        for step in range(1, episode.rows):
            shown = step_details(npz, step)
            assert shown["action_distribution"] == [0.0]
            assert shown["reward"] == episode.steps["reward"][step - 1]
            assert shown["info"]["distance"] == episode.steps["info/distance"][step - 1]
        assert shown["info"]["is_success"]
        assert step_details(npz, 0)["info"] == {"seed": episode.seed}


def test_a_row_is_the_frame_of_its_number(stored):
    workspace, folder = stored
    for number in range(2):
        drawn = np.stack(pictures(workspace, number)).astype(int)
        video = folder / "renders" / f"{number}.mp4"
        rows = range(len(drawn))
        for shown, row in zip(cluster_frames(video, rows), rows, strict=True):
            distances = np.abs(drawn - shown).mean(axis=(1, 2, 3))
            assert distances[row] == distances.min() < 4
        with av.open(str(video)) as container:
            stream = container.streams.video[0]
            assert (stream.frames, stream.average_rate) == (len(drawn), 24)
            assert stream.codec_context.codec_tag == "avc1"
            assert stream.codec_context.pix_fmt == "yuv420p"


def test_a_thumbnail_is_the_second_last_picture_in_its_own_size(stored):
    workspace, folder = stored
    with Image.open(folder / "thumbnails" / "1.jpg") as image:
        thumbnail = np.asarray(image).astype(int)
    drawn = pictures(workspace, 1)
    assert thumbnail.shape == drawn[0].shape
    distances = [np.abs(thumbnail - each).mean() for each in drawn]
    assert distances[-2] == min(distances) < distances[-1] / 2


@needs_browser
@pytest.mark.browser
def test_a_browser_plays_the_videos(stored, tmp_path: Path):
    workspace, folder = stored
    shutil.copy(folder / "renders" / "0.mp4", tmp_path / "rows.mp4")
    drawn = pictures(workspace, 0)
    told = played(tmp_path, len(drawn))
    assert (told["width"], told["height"]) == drawn[0].shape[1::-1]
    assert told["duration"] == pytest.approx(len(drawn) / 24)
    middles = np.array(told["pixels"], int).reshape(len(drawn), -1, 4)[..., :3]
    expected = np.stack([picture[len(picture) // 2] for picture in drawn])
    assert np.abs(middles - expected).mean(axis=(1, 2)).max() < 6


def test_the_registry_is_told_what_was_played_and_how(stored):
    _, folder = stored
    said = json.loads((folder / "experiment.json").read_text())
    rows = [len(series(folder / "rewards" / f"rewards_{number}.npy")) for number in range(said["episodes"])]
    assert said["rows"] == rows
    assert (said["checkpoint"], said["framework"], said["seed"]) == ("-1", "scripted", 0)
    environment = said["environment"]
    assert (environment["id"], environment["max_steps"]) == ("toy-corner", 60)
    assert environment["action_space"] == {
        "label": "Discrete((5,))",
        "shape": [5],
        "dtype": "int64",
        "labels": {"0": "stay", "1": "up", "2": "down", "3": "left", "4": "right"},
    }
    assert environment["observation_space"]["label"] == "Box((9,))"
    assert said["provenance"]["parameters"]["policy"]["randomness"] == 0.25


class Reporting(PendulumEnv):
    """Tells its simulator's state, as those of MuJoCo may."""

    def reset(self, **settings: Any) -> tuple[np.ndarray, dict[str, Any]]:
        return super().reset(**settings)[0], self._told()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:-1], self._told()

    def _told(self) -> dict[str, Any]:
        return {"qpos": self.state[:1], "qvel": self.state[1:]}


@pytest.fixture(scope="module")
def swinging(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Workspace]:
    """Two random episodes of an environment with real actions that tells its simulator's state."""
    make = partial(Gym, env_id="Reporting-v0", entry_point=f"{__name__}:Reporting", max_steps=6)
    domain = Domain("gym", 6, 2, make, ["reporting-v0"], Regent(32, 5, 20, 9))
    workspace = Workspace(str(tmp_path_factory.mktemp("swinging") / "outputs"))
    random = {"policy": Random, "dataset": "random-v1", "episodes": 2}
    collected(domain, workspace, "reporting-v0", **random, render=True)
    settings = {"task": "reporting-v0", "dataset": "random-v1"}
    return written(BlenderFormat(checkpoint=0), workspace, domain, **settings), workspace


def test_real_actions_have_the_bounds_of_their_environment(swinging):
    folder = place_of(swinging[0])
    told = json.loads((folder / "experiment.json").read_text())
    assert (told["checkpoint"], told["framework"], told["environment"]["id"]) == ("0", "Random", "Reporting-v0")
    assert told["environment"]["action_space"] == {
        "label": "Box((1,))",
        "shape": [1],
        "dtype": "float32",
        "labels": {"0": 0},
        "low": [-2.0],
        "high": [2.0],
    }
    npz = folder / "episodes" / "benchmark_1.npz"
    assert all(isinstance(action, float) for action in action_list(npz)), "an action of one number is that number"
    info = step_details(npz, 3)["info"]
    assert (info.pop("value"), info.pop("entropy"), sorted(info)) == (1.0, 1.0, ["qpos", "qvel"])


def test_a_demonstration_can_begin_at_every_row_whose_state_was_reported(swinging):
    artifact, workspace = swinging
    folder, dataset = place_of(artifact), EpisodeDataset.of(workspace.dataset("gym", "reporting-v0", "random-v1"))
    for number, episode in enumerate(dataset):
        states = np.load(folder / "env_states" / f"env_states_{number}.npy", allow_pickle=True)
        assert states.shape == (episode.rows, 1)
        for row in range(episode.rows):
            cosine = np.cos(states[row][0]["state"]["qpos"][0])
            assert cosine == pytest.approx(episode.steps["observation"][row, 0], abs=1e-6)
            assert states[row][0]["elapsed_steps"] == row
    assert json.loads((folder / "experiment.json").read_text())["env_states"]
    assert list(wrong_export(artifact, workspace)) == []


def test_what_somebody_changed_is_found(stored, tmp_path: Path):
    workspace, folder = stored
    artifact = written(BlenderFormat(), workspace)
    assert list(wrong_export(artifact, workspace)) == []
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        np.save(folder / "rewards" / "rewards_0.npy", np.zeros(3))
        shutil.copy(folder / "renders" / "3.mp4", folder / "renders" / "1.mp4")
        (folder / "thumbnails" / "2.jpg").write_bytes(b"no picture")
        (folder / "episodes" / "benchmark_3.npz").write_bytes(b"no zip")
        with np.load(folder / "episodes" / "benchmark_2.npz", allow_pickle=True) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["infos"][1]["distance"] += 1
        np.savez(folder / "episodes" / "benchmark_2.npz", **arrays)
        wrong = list(wrong_export(artifact, workspace))
    finally:
        for path, data in kept.items():
            path.write_bytes(data)
    assert wrong[0] == "episode 0: rewards_0.npy differs"
    assert "1.mp4 has" in wrong[1]
    assert wrong[2].startswith("episode 2: infos of benchmark_2.npz differs, 2.jpg cannot be read")
    assert "benchmark_3.npz cannot be read" in wrong[3]
    assert len(wrong) == 4


def test_frames_are_found_one_by_one_far_into_a_long_video(tmp_path: Path):
    """OpenCV, with which the server seeks, finds the frame; and one that stands alone is never far before it."""
    rng = np.random.default_rng(0)
    long = [rng.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(60)]
    write_video(tmp_path / "0.mp4", long, keyframes=KEYFRAMES)
    with av.open(str(tmp_path / "0.mp4")) as container:
        alone = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert np.diff(np.flatnonzero([*alone, True])).max() <= 12
    capture = cv2.VideoCapture(str(tmp_path / "0.mp4"))
    whole = cluster_frames(tmp_path / "0.mp4", range(60))
    for row in (0, 11, 12, 13, 59, 30):
        capture.set(cv2.CAP_PROP_POS_FRAMES, row)
        shown = capture.read()[1][..., ::-1].astype(int)
        assert np.argmin([np.abs(shown - each).mean() for each in whole]) == row


def outgoing(workspace: Workspace, dataset: str) -> Outgoing:
    artifact = workspace.dataset("toy", "corner", dataset)
    episodes = EpisodeDataset.of(artifact)
    return Outgoing("toy", "corner", episodes, provenance(artifact, episodes, {}))


@pytest.mark.parametrize(
    ("domain", "task", "environment", "expected"),
    [
        ("gym", "cartpole-v1", {"id": "CartPole-v1"}, "CartPole-v1"),
        ("gym", "ale-pong-v5", {"id": "ALE/Pong-v5"}, "ALE/Pong-v5"),
        ("babyai", "go-to-local", {"id": "BabyAI-GoToLocal-v0"}, "BabyAI-GoToLocal-v0"),
        ("atari", "bankheist", {}, "BankHeistNoFrameskip-v4"),
        ("atari", "pong", {}, "PongNoFrameskip-v4"),
        ("metaworld", "assembly", {}, "metaworld-assembly-v3"),
        ("dmc", "cartpole-swingup", {"simulator": "dm_control", "id": "cartpole-swingup"}, "dmc-cartpole-swingup"),
        ("toy", "corner", {}, "toy-corner"),
    ],
)
def test_every_domain_has_an_id_without_a_slash_unless_it_is_its_own(domain, task, environment, expected):
    assert environment_id(domain, task, environment) == expected


def test_nested_observations_are_refused_until_one_is_chosen(tmp_path: Path):
    workspace = Workspace(str(tmp_path / "outputs"))
    steps = dict(made_episode(np.random.default_rng(0), 3).steps)
    steps |= {"observation/camera": steps.pop("observation"), "observation/speed": np.zeros((4, 2))}
    ingested(Listed([Episode(steps)]), workspace)
    data = [outgoing(workspace, "listed-v1")]
    with pytest.raises(CannotHold, match=r"format.observation=camera"):
        BlenderFormat().require(data)
    chosen = BlenderFormat(observation="camera")
    chosen.require(data)
    assert Aspect.OBSERVATIONS in set(chosen.lost(data[0]))
    assert chosen.becomes()[Aspect.OBSERVATIONS] == "of nested ones only camera"
    with pytest.raises(UnknownName, match="camera"):
        BlenderFormat(observation="camara").require(data)


@pytest.mark.parametrize("wrong", [{"fps": 0}, {"crf": 60}, {"checkpoint": -2}, {"checkpoint": True}])
def test_settings_that_no_video_and_no_checkpoint_has_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        BlenderFormat(**wrong)
