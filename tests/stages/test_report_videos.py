"""The videos of a report: which episodes they show, of which pictures, and that a browser plays them."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.prefix import covering
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.envs.toy import Toy
from pipeline.frames.store import FRAMES
from pipeline.policies.random import Random
from pipeline.report import charts
from pipeline.sources.jat.source import JatSource
from stages import frames, gc, ingest, report
from tests.browser import asked, needs_browser
from tests.conftest import collected
from tests.jat_files import make_screens
from tests.pages import DOMAIN, Blind, figures_of, html_of, pictures_of, prepared, settings, text_of

VIDEO = re.compile(r'<video [^>]*poster="([^"]+)" src="([^"]+)" aria-label="Episode (\d+)"')


def filmed(workspace: Workspace, episodes: int, frames_of: int, **more: object) -> Artifact:
    """The report of a dataset whose first episodes have frames."""
    collected(DOMAIN, workspace, "maze", episodes=frames_of, render=True, randomness=0.5)
    collected(DOMAIN, workspace, "maze", episodes=episodes, randomness=0.5)
    prepared(workspace)
    return report.run(**settings(workspace, **more))


@pytest.fixture(scope="module")
def with_videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Artifact]:
    workspace = Workspace(str(tmp_path_factory.mktemp("videos")))
    return workspace, filmed(workspace, 9, 9)


def decoded_frames(path: Path) -> list[np.ndarray]:
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def test_videos_show_the_highest_middle_and_lowest_return(with_videos: tuple[Workspace, Artifact]):
    workspace, made = with_videos
    episodes = list(EpisodeDataset.of(workspace.dataset("toy", "maze", "scripted-v1")))
    returns = [episode.total_reward for episode in episodes]
    told = figures_of(made)["videos"]
    assert [(each["rank"], each["total_reward"]) for each in told] == [
        ("highest", max(returns)),
        ("middle", sorted(returns)[4]),
        ("lowest", min(returns)),
    ]
    html = html_of(made)
    assert [int(number) for _, _, number in VIDEO.findall(html)] == [each["episode"] for each in told]
    for poster, source, number in VIDEO.findall(html):
        episode, toy = episodes[int(number)], Toy("maze", max_steps=60)
        caption = (
            f"return: {charts.number(episode.total_reward)} episode {number}, {episode.length} steps, "
            f"end: {episode.end_reason.replace('_', ' ')}"
        )
        assert caption in text_of(html)
        toy.reset(episode.seed)
        pictures = [toy.render(), *(toy.step(action) and toy.render() for action in episode.steps["action"][:-1])]
        shown = decoded_frames(made.path / "page" / source)
        assert len(shown) == len(pictures) == episode.rows
        for frame, picture in zip(shown, pictures, strict=True):
            assert np.abs(frame - picture).mean() <= 4
        np.testing.assert_array_equal(np.asarray(Image.open(made.path / "page" / poster)), pictures[-2])


def test_videos_are_files_beside_the_page_that_load_when_asked(with_videos: tuple[Workspace, Artifact]):
    _, made = with_videos
    html = html_of(made)
    linked = re.findall(r'(?:src|href|poster)="(?!data:)([^"]+)"', html)
    assert len(linked) == 6
    assert all(link.startswith("videos/") for link in linked)
    assert html.count('preload="none"') == html.count("<video") == 3
    below = sorted(
        path.relative_to(made.path / "page").as_posix() for path in (made.path / "page" / "videos").iterdir()
    )
    assert below == sorted(linked)
    assert {f"page/{link}" for link in linked} <= set(made.manifest.files)
    assert made.manifest.counts["videos"] == 3
    assert made.manifest.warnings == []
    assert "No videos" not in html


def test_a_page_with_videos_is_found_made_again_alike_and_no_garbage(
    with_videos: tuple[Workspace, Artifact], caplog: pytest.LogCaptureFixture
):
    workspace, made = with_videos
    assert not report.run(**settings(workspace)).built
    again = report.run(**settings(workspace, force=True))
    assert again.built
    assert again.manifest.digest == made.manifest.digest
    assert made.parent("frames").version == workspace.of_kind("toy", "maze", "frames")[0].manifest.version
    with caplog.at_level("INFO"):
        gc.run(domain=None, only=None, workspace=workspace, delete=False)
    assert "nothing to remove" in caplog.text


def test_pictures_come_from_the_frames_where_there_are_some(with_videos: tuple[Workspace, Artifact], monkeypatch):
    workspace, made = with_videos
    monkeypatch.setattr("pipeline.report.pictures.replay_frames", None)  # would fail if anything were replayed
    again = report.run(**settings(workspace, replace(DOMAIN, environment=partial(Blind, max_steps=60)), force=True))
    assert again.manifest.counts["pictures"] == made.manifest.counts["pictures"] > 10


def test_once_frames_are_there_the_same_command_makes_the_page_with_videos(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    collected(DOMAIN, workspace, "maze", episodes=3)
    poor = report.run(**settings(workspace))
    frames.run(
        domain=DOMAIN, task="maze", workspace=workspace, dataset="scripted-v1", episodes=None, workers=1, force=False
    )
    better = report.run(**settings(workspace))
    assert better.manifest.version != poor.manifest.version
    assert (poor.manifest.counts["videos"], better.manifest.counts["videos"]) == (0, 3)


def test_frames_of_some_episodes_are_shown_as_what_they_are(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    made = filmed(workspace, 9, 2)
    told = figures_of(made)
    assert told["filmed"] == 2
    assert sorted(each["episode"] for each in told["videos"]) == [0, 1]
    assert [each["rank"] for each in told["videos"]] == ["highest", "lowest"]
    assert "of the first 2 episodes, which have frames" in text_of(html_of(made))


def test_the_fewest_frames_that_cover_what_is_asked_for_are_taken(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    collected(DOMAIN, workspace, "maze", episodes=8)
    given = {"domain": DOMAIN, "task": "maze", "workspace": workspace, "dataset": "scripted-v1", "workers": 1}
    made = {count: frames.run(**given, episodes=count, force=False) for count in (2, 6, 4)}

    def found(asked: int | None) -> Path | None:
        there = covering(workspace, workspace.dataset("toy", "maze", "scripted-v1", asked), FRAMES)
        return there and there.path

    assert [found(asked) for asked in (2, 3, 5, 7, None)] == [made[count].path for count in (2, 4, 6, 6, 6)]
    other = replace(DOMAIN, environment=partial(Toy, max_steps=50))
    collected(other, workspace, "maze", episodes=2, dataset="other-v1")
    assert covering(workspace, workspace.dataset("toy", "maze", "other-v1"), FRAMES) is None


def test_without_pyav_the_page_says_so_and_shows_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workspace = Workspace(str(tmp_path))
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "av", None)
        poor = filmed(workspace, 6, 6)
    line = "PyAV is not installed. Install it: pip install 'repertoire[video]' (or make setup)."
    assert f"No videos: {line}" in text_of(html_of(poor))
    assert poor.manifest.warnings == [f"The page has no videos: {line}"]
    assert (poor.manifest.counts["videos"], poor.manifest.counts["pictures"] > 10) == (0, True)
    assert not (poor.path / "page" / "videos").exists()
    # Once it is there, the same command makes the page with videos, and then finds it with and without.
    rich = report.run(**settings(workspace))
    assert rich.manifest.counts["videos"] == 3
    monkeypatch.setitem(sys.modules, "av", None)
    assert report.run(**settings(workspace)).path == rich.path


PLAY = """
const players = [...document.querySelectorAll("video")], told = [];
if (!players[0].canPlayType('video/mp4; codecs="avc1.640028"')) return null;
for (const player of players) {
  const before = player.readyState, poster = new Image();
  poster.src = player.poster;
  await poster.decode();
  await new Promise((go, fail) => {
    player.addEventListener("error", () => fail(new Error(player.error.message)));
    player.requestVideoFrameCallback(go);
    player.play();
  });
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [player.videoWidth, player.videoHeight];
  context.drawImage(player, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data.filter((_, at) => at % 4 != 3);
  told.push({before, width: player.videoWidth, height: player.videoHeight, duration: player.duration,
    poster: poster.naturalWidth, mean: pixels.reduce((sum, level) => sum + level) / pixels.length});
}
return told;
"""


@needs_browser
@pytest.mark.browser
def test_a_browser_plays_the_videos_of_a_copied_page(with_videos: tuple[Workspace, Artifact], tmp_path: Path):
    _, made = with_videos
    shutil.copytree(made.path / "page", tmp_path / "copy")
    told = asked(tmp_path, tmp_path / "copy" / "index.html", PLAY)
    if told is None:
        pytest.skip("this Chromium was built without H.264")
    lengths = [each["length"] for each in figures_of(made)["videos"]]
    assert [each["before"] for each in told] == [0, 0, 0]  # nothing was loaded before it was asked for
    assert [(each["width"], each["height"], each["poster"]) for each in told] == [(144, 144, 144)] * 3
    assert [each["duration"] for each in told] == pytest.approx([(length + 1) / 24 for length in lengths], abs=1e-3)
    assert all(each["mean"] > 50 for each in told)


def test_the_page_of_a_console_shows_its_frames_and_names_its_actions(tmp_path: Path):
    domain = Domain("atari", 27_000, 5, Atari, ["pong"], Regent(32, 5, 100, 100_000))
    workspace = Workspace(str(tmp_path))
    played = {"policy": Random, "dataset": "random-v1", "episodes": 3, "frames": 90, "render": True}
    collected(domain, workspace, "pong", **played)
    chosen = {"task": "pong", "dataset": "random-v1"}
    made = report.run(**settings(workspace, domain, **chosen))
    told, text = figures_of(made), text_of(html_of(made))
    assert told["search"] is None
    assert "The observations of atari/pong are pictures" in text
    assert "Reason for the end: budget (3)." in text
    episodes = list(EpisodeDataset.of(workspace.dataset("atari", "pong", "random-v1")))
    actions = np.concatenate([episode.steps["action"][:-1] for episode in episodes])
    names = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]
    counts = np.bincount(actions, minlength=6).tolist()
    assert [(each["name"], each["count"]) for each in told["actions"]["choices"]] == list(
        zip(names, counts, strict=True)
    )
    rewards = np.concatenate([episode.steps["reward"][:-1] for episode in episodes])
    assert (told["rewards"]["zeros"], told["rewards"]["entries"]) == (int((rewards == 0).sum()), 90)
    (screens,) = told["ranges"]
    seen = np.concatenate([episode.steps["observation"][:-1] for episode in episodes])
    assert (screens["min"], screens["max"]) == (seen.min(), seen.max())
    assert screens["mean"] == pytest.approx(seen.mean(), rel=1e-8)
    assert screens["constant"] == int((seen.min(0) == seen.max(0)).sum())
    for _, source, number in VIDEO.findall(html_of(made)):
        shown = decoded_frames(made.path / "page" / source)
        assert len(shown) == episodes[int(number)].rows
        assert {frame.shape for frame in shown} == {(210, 160, 3)}
    assert len(pictures_of(html_of(made))) == 10
    assert not report.run(**settings(workspace, domain, **chosen)).built


def test_observations_are_shown_where_no_simulator_made_the_episodes(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    make_screens(tmp_path / "jat", [12, 9, 15], size=(20, 16))
    atari = Domain("atari", 27_000, 5, dict, ["pong"], Regent(32, 5, 100, 100_000))
    asked_for = {"task": "pong", "dataset": "jat-v1"}
    source = JatSource(str(tmp_path / "jat"))
    ingest.run(domain=atari, workspace=workspace, source=source, episodes=None, states=None, force=False, **asked_for)
    made = report.run(**settings(workspace, atari, **asked_for))
    html, episodes = html_of(made), list(EpisodeDataset.of(workspace.dataset("atari", "pong", "jat-v1")))
    assert "the observations themselves, array observation, grey, 16 × 20" in text_of(html)
    assert "read from a source (jat) and cannot be played again" in text_of(html)
    for alt, picture in pictures_of(html):
        episode, step = (int(each) for each in re.search(r"(\d+) at step (\d+)", alt).groups())
        np.testing.assert_array_equal(picture[..., 0], episodes[episode].steps["observation"][step])
    strip = [place["step"] for place in figures_of(made)["strip"]]
    assert strip[-1] == 11  # the source dropped the last observation of 12 steps
    lengths = {int(n): len(decoded_frames(made.path / "page" / source)) for _, source, n in VIDEO.findall(html)}
    assert lengths == {0: 12, 1: 9, 2: 15}
