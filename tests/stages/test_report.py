"""The report of a toy task: its figures are recomputed from the episodes, its page is opened in a real browser."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from html import escape, unescape
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.envs.toy import Toy
from pipeline.episode import Episode
from pipeline.errors import ArtifactNotFound, DigestMismatch, InvalidInput, NoRenderer, TaskFailed
from pipeline.interfaces import Transition
from pipeline.policies.random import Random
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from pipeline.report import charts
from pipeline.report.videos import frames_there
from pipeline.rollout.replay import replay_frames
from pipeline.sources.contract import Source
from pipeline.storage.choice import open_arrays
from stages import distances, frames, gc, ingest, report, retrieval
from tests.browser import asked, chromium, needs_browser
from tests.conftest import collected

DOMAIN = Domain(
    name="toy",
    max_steps=60,
    episodes=20,
    environment=partial(Toy, max_steps=60),
    tasks=["corner", "maze", "key"],
    regent=Regent(row_width=8, demos=5, neighbours=20, states=150),
    unseen=["key"],
)
NO_PICTURES = "there is no canvas here & no paint"


class Blind(Toy):
    """Cannot draw."""

    def render(self) -> np.ndarray:
        raise NoRenderer(NO_PICTURES)


class Fatal(Toy):
    """Takes its process down, as a broken driver does."""

    def render(self) -> np.ndarray:
        os._exit(3)


class Drifting(Toy):
    """Gives other observations than the toy although it says that it is the same."""

    def step(self, action: np.ndarray) -> Transition:
        transition = super().step(action)
        return replace(transition, observation=np.asarray(transition.observation) + np.float32(0.25))


class Newer(Toy):
    """A later version of the simulator."""

    def identity(self) -> Mapping[str, object]:
        return {**super().identity(), "version": 99}


class Log(Source):
    """A foreign log: the episodes of a dataset without the means to play them again."""

    name = "old-log"

    def __init__(self, episodes: list[Episode]) -> None:
        self._episodes = [replace(episode, seed=-1) for episode in episodes]

    def identity(self, domain: str, task: str) -> Mapping[str, object]:
        return {"name": self.name}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        return iter(self._episodes[start:])

    def count(self, domain: str, task: str) -> int | None:
        return len(self._episodes)


def settings(workspace: Workspace, domain: Domain = DOMAIN, **more: object) -> dict[str, object]:
    chosen = {"domain": domain, "task": "maze", "workspace": workspace, "dataset": "scripted-v1", "episodes": None}
    return chosen | {"retrieval": RetrievalSettings(), "force": False} | more


def prepared(workspace: Workspace, domain: Domain = DOMAIN, **more: object) -> None:
    """Retrieval and distances."""
    asked = settings(workspace, domain, **more)
    recipe = Recipe(**{name: asked[name] for name in ("domain", "task", "dataset", "episodes", "retrieval")})
    for stage in (retrieval, distances):
        stage.run(recipe=recipe, workspace=workspace, force=False)


def html_of(page: Artifact) -> str:
    return (page.path / "page" / "index.html").read_text()


def text_of(html: str) -> str:
    """What a person reads: no tags, single spaces, thin spaces kept."""
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def facts_of(html: str) -> dict[str, str]:
    pairs = re.findall(r"<dt>([^<]+)</dt>\s*<dd>([^<]+)", html)
    return {name.strip(): value.strip() for name, value in pairs}


def pictures_of(html: str) -> list[tuple[str, np.ndarray]]:
    found = re.findall(r'<img src="data:image/webp;base64,([^"]+)" alt="([^"]+)">', html)
    return [(alt, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))) for data, alt in found]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twenty episodes of `maze`, retrieved and measured."""
    workspace = Workspace(str(tmp_path_factory.mktemp("report")))
    collected(DOMAIN, workspace, "maze")
    prepared(workspace)
    return workspace


@pytest.fixture(scope="module")
def page(workspace: Workspace) -> Artifact:
    return report.run(**settings(workspace))


@pytest.fixture(scope="module")
def episodes(workspace: Workspace) -> list[Episode]:
    return list(EpisodeDataset.of(workspace.dataset("toy", "maze", "scripted-v1")))


def test_the_header_tells_what_the_episodes_hold(page: Artifact, episodes: list[Episode], workspace: Workspace):
    facts, returns = facts_of(html_of(page)), [episode.total_reward for episode in episodes]
    assert facts["episodes"] == "20"
    assert facts["states"] == str(sum(episode.length for episode in episodes))
    assert facts["mean return"] == f"{np.mean(returns):.3f}"
    assert facts["lowest return"] == f"{min(returns):.3f}"
    assert facts["highest return"] == f"{max(returns):.3f}"
    assert facts["success rate"] == f"{100 * np.mean([e.success for e in episodes]):.0f} %"
    assert page.manifest.counts["episodes"] == 20
    dataset = workspace.dataset("toy", "maze", "scripted-v1").manifest
    for told in ("scripted-v1", dataset.digest[:16], dataset.command, f"numpy {np.__version__}"):
        assert told in text_of(html_of(page))


def test_every_distance_is_in_the_histogram_and_p95_is_that_of_all(page: Artifact, workspace: Workspace):
    measured = open_arrays(workspace.of_kind("toy", "maze", "distances")[0].arrays)["distances"][:].astype(np.float64)
    spread = json.loads((page.path / "figures.json").read_text())["search"]["distances"]
    assert measured.shape[1] == 20
    assert sum(spread["counts"]) + spread["beyond"] == measured.size
    own, _ = np.histogram(measured, len(spread["counts"]), (0, spread["upper"]))
    np.testing.assert_array_equal(spread["counts"], own)
    p95 = np.percentile(measured, 95)
    assert facts_of(html_of(page))["p95"] == f"{p95:.4f}"
    assert f">p95 = {p95:.4f}</text>" in html_of(page)


def test_the_neighbours_shown_are_the_nearest_by_brute_force(page: Artifact, episodes: list[Episode]):
    pool = [(number, step) for number in range(5) for step in range(episodes[number].length)]
    lookups = json.loads((page.path / "figures.json").read_text())["search"]["lookups"]
    assert len(lookups) == 4
    assert len({lookup["query"]["episode"] for lookup in lookups}) == 4
    for lookup in lookups:
        at = lookup["query"]
        query = episodes[at["episode"]].steps["observation"][at["step"]].astype(np.float64)
        others = {
            place: float(np.linalg.norm(episodes[place[0]].steps["observation"][place[1]].astype(np.float64) - query))
            for place in pool
            if place[0] != at["episode"]
        }
        assert [match["rank"] for match in lookup["matches"]] == [1, 2, 3, 4, 5]
        shown = [match["distance"] for match in lookup["matches"]]
        np.testing.assert_allclose(shown, sorted(others.values())[:5], rtol=1e-6)
        for match in lookup["matches"]:
            assert match["distance"] == pytest.approx(others[match["episode"], match["step"]])


def test_each_picture_shows_the_state_that_its_caption_names(page: Artifact, episodes: list[Episode]):
    pictures = pictures_of(html_of(page))
    assert len(pictures) == 10 + 4 * 6
    for alt, picture in pictures:
        episode, step = (int(number) for number in re.search(r"[Ee]pisode (\d+),? (?:at )?step (\d+)", alt).groups())
        toy = Toy("maze")
        toy.reset(episodes[episode].seed)
        for action in episodes[episode].steps["action"][:step]:
            toy.step(action)
        np.testing.assert_array_equal(picture, toy.render(), err_msg=alt)


def test_the_strip_shows_the_episode_with_the_median_return_from_first_to_last_row(
    page: Artifact, episodes: list[Episode]
):
    strip = json.loads((page.path / "figures.json").read_text())["strip"]
    returns = sorted(episode.total_reward for episode in episodes)
    shown = episodes[strip[0]["episode"]]
    assert shown.total_reward == returns[9]
    steps = [place["step"] for place in strip]
    assert (steps[0], steps[-1], len(steps)) == (0, shown.length, 10)
    assert max(np.diff(steps)) - min(np.diff(steps)) <= 1


def test_the_page_stands_alone(page: Artifact):
    html = html_of(page)
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert "url(" not in html
    assert "<script" not in html
    assert '<html lang="en">' in html
    assert "<title>toy maze: scripted-v1</title>" in html
    assert all(alt for alt, _ in pictures_of(html))
    assert html.count("<svg") == html.count('role="img" aria-label="') == 5


def test_a_second_run_finds_the_page_and_a_forced_one_has_the_same_digest(page: Artifact, workspace: Workspace):
    assert not report.run(**settings(workspace)).built
    again = report.run(**settings(workspace, force=True))
    assert again.built
    assert again.manifest.digest == page.manifest.digest


def test_without_a_renderer_the_page_says_why_and_shows_the_rest(page: Artifact, workspace: Workspace):
    blind = replace(DOMAIN, environment=partial(Blind, max_steps=60))
    other = Workspace(str(workspace.root.parent), "bin")  # a storage of its own, so that the first page is not found
    without = report.run(**settings(other, blind))
    html = html_of(without)
    assert f"No pictures: {NO_PICTURES}" in re.sub(" +", " ", text_of(html))
    assert "<img" not in html
    assert html.count("<svg") == 5
    assert facts_of(html) == facts_of(html_of(page))
    assert without.manifest.warnings == [f"The page has no pictures: {NO_PICTURES}"]
    assert without.manifest.digest == page.manifest.digest
    # Once a renderer is there, the same command makes the page with pictures.
    assert report.run(**settings(other)).manifest.counts["pictures"] > 20


def test_episodes_from_elsewhere_have_no_pictures(tmp_path: Path, episodes: list[Episode]):
    workspace = Workspace(str(tmp_path))
    common = {"domain": DOMAIN, "task": "maze", "workspace": workspace, "dataset": "log-v1", "episodes": None}
    ingest.run(**common, source=Log(episodes), states=None, force=False)
    prepared(workspace, dataset="log-v1")
    text = text_of(html_of(report.run(**settings(workspace, dataset="log-v1"))))
    assert "No pictures: the episodes were read from a source (old-log)" in text


def test_another_version_of_the_simulator_is_named_instead_of_drawn(workspace: Workspace, tmp_path: Path):
    shutil.copytree(workspace.root, tmp_path / "artifacts", ignore=shutil.ignore_patterns("report"))
    newer = replace(DOMAIN, environment=partial(Newer, max_steps=60))
    text = text_of(html_of(report.run(**settings(Workspace(str(tmp_path)), newer))))
    assert (
        "No pictures: The environment on this machine is not the one that recorded these episodes: version: 1" in text
    )


def test_a_task_that_never_succeeds_is_flagged(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    short = replace(DOMAIN, environment=partial(Toy, max_steps=1))
    dataset = collected(short, workspace, "maze", episodes=6)
    assert dataset.manifest.counts["successes"] == 0
    prepared(workspace, short)
    html = html_of(report.run(**settings(workspace, short)))
    assert facts_of(html)["success rate"] == "0 %"
    assert "This task never succeeds. None of its 6 episodes reached success" in text_of(html)
    # One state a episode and five in the pool: a query has four or five candidates, none is shown twice.
    for lookup in json.loads(next(workspace.root.glob("toy/maze/report/*/figures.json")).read_text())["search"][
        "lookups"
    ]:
        places = [(match["episode"], match["step"]) for match in lookup["matches"]]
        assert len(set(places)) == len(places) in (4, 5)
    assert "queries have fewer than 20 candidates" in text_of(html)


def test_growth_of_the_dataset_gives_another_page(workspace: Workspace, tmp_path: Path, page: Artifact):
    shutil.copytree(workspace.root, tmp_path / "artifacts")
    grown = Workspace(str(tmp_path))
    collected(DOMAIN, grown, "maze", episodes=21)
    new = report.run(**settings(grown))  # the retrieval reads leading episodes only, so it is still there
    assert new.manifest.version != page.manifest.version
    assert facts_of(html_of(new))["episodes"] == "21"


def test_a_missing_input_names_the_stage_that_makes_it(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    collected(DOMAIN, workspace, "maze", episodes=3)
    with pytest.raises(ArtifactNotFound, match="stage=retrieval"):
        report.run(**settings(workspace))


def test_a_replay_that_gives_other_observations_is_an_error(episodes: list[Episode]):
    with pytest.raises(DigestMismatch, match=r"episode 3 .* observation at row 2 .*largest difference 0\.25"):
        replay_frames(partial(Drifting, "maze"), {3: episodes[3]}, {3: [0, 2]})


def test_a_crash_of_the_renderer_is_a_failed_task(episodes: list[Episode]):
    with pytest.raises(TaskFailed, match="died without a message"):
        replay_frames(partial(Fatal, "maze"), {0: episodes[0]}, {0: [0]})


def test_an_environment_that_cannot_be_made_is_a_plain_error(episodes: list[Episode]):
    with pytest.raises(InvalidInput, match="no toy task named mase"):
        replay_frames(partial(Toy, "mase"), {0: episodes[0]}, {0: [0]})


def test_nothing_wanted_starts_no_process():
    assert replay_frames(Fatal, {}, {}) == {}  # type: ignore[arg-type]  # never called


class TestCharts:
    """Numbers and ticks."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0, "0"),
            (1234567, "1\u202f234\u202f567"),
            (-1234.5, "−1\u202f234"),
            (0.078823, "0.07882"),
            (312.04, "312.0"),
            (1.0, "1.000"),
            (0.000012, "1.20 × 10⁻⁵"),
        ],
    )
    def test_numbers_are_grouped_and_rounded(self, value: float, text: str):
        assert charts.number(value) == text

    def test_ticks_are_round_and_inside(self):
        axis = charts.Axis(236.0, 349.0, 0, 113, "return")
        assert axis.ticks() == [(4, "240"), (24, "260"), (44, "280"), (64, "300"), (84, "320"), (104, "340")]

    def test_a_whole_axis_never_cuts_a_step(self):
        axis = charts.Axis(-0.5, 2.5, 0, 300, "episode", whole=True)
        assert [text for _, text in axis.ticks()] == ["0", "1", "2"]

    def test_bars_are_as_high_as_their_counts(self):
        svg = charts.histogram([1, 0, 4], 0, 3, "steps", "episodes", "summary")
        tops = [float(top) for top in re.findall(r"V([\d.]+)H", re.search(r'class="bars" d="([^"]+)', svg).group(1))]
        floor = charts.HEIGHT - charts.BOTTOM
        assert (floor - tops[1]) / (floor - tops[0]) == pytest.approx(4, abs=0.05)

    def test_equal_values_still_have_an_axis(self):
        assert "NaN" not in charts.dots([2.0, 2.0], [True, False], "return", "episode", "summary")
        assert charts.padded(0, 0) == (-1, 1)

    def test_labels_are_escaped(self):
        assert "a &lt; b" in charts.dots([1.0], [True], "a < b", "episode", "summary")


# Put into a copy of the page: what only a browser can know is written where --dump-dom shows it.
PROBE = """<script>addEventListener("load", () => { document.body.dataset.probe = JSON.stringify({
  images: document.images.length, broken: [...document.images].filter(image => !image.naturalWidth).length,
  width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth,
  outside: [...document.querySelectorAll("main *")].filter(x => x.getBoundingClientRect().right > innerWidth).length,
  dark: matchMedia("(prefers-color-scheme: dark)").matches, paper: getComputedStyle(document.body).backgroundColor,
}) })</script>"""

# Headless windows are at least 500 pixels wide; a frame may be narrower.
FRAME = """<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark"><body>
<iframe id="frame" style="border: 0; width: {width}px; height: 2000px" srcdoc="{page}"></iframe>
<script>addEventListener("load", () => {{
  document.body.dataset.probe = frame.contentDocument.body.dataset.probe; frame.remove();
}})</script></body>"""


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (400, True)])
def test_a_browser_shows_the_page_whole(page: Artifact, tmp_path: Path, width: int, dark: bool):
    framed = tmp_path / "framed.html"
    probed = html_of(page).replace("</body>", PROBE + "</body>")
    framed.write_text(FRAME.format(width=width, page=escape(probed)))
    dom = chromium(tmp_path, framed, dark, "--dump-dom")
    told = json.loads(unescape(re.search(r'data-probe="([^"]+)"', dom).group(1)))
    assert (told["width"], told["dark"]) == (width, dark)
    assert (told["images"], told["broken"]) == (34, 0)
    assert (told["overflow"], told["outside"]) == (0, 0)
    assert told["paper"] == ("rgb(20, 23, 26)" if dark else "rgb(251, 250, 247)")


@needs_browser
@pytest.mark.browser
def test_the_browser_paints_charts_and_pictures(page: Artifact, tmp_path: Path):
    shot = tmp_path / "shot.png"
    chromium(tmp_path, page.path / "page" / "index.html", False, f"--screenshot={shot}")
    painted = {colour: count for count, colour in Image.open(shot).convert("RGB").getcolors(maxcolors=2**24)}
    assert painted[57, 112, 143] > 5_000  # bars
    assert painted[244, 240, 230] > 50_000  # the toy's floor
    assert painted[52, 106, 200] > 1_000  # its agent


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
    told = json.loads((made.path / "figures.json").read_text())["videos"]
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
    monkeypatch.setattr("pipeline.report.gather.replay_frames", None)  # would fail if anything were replayed
    again = report.run(**settings(workspace, replace(DOMAIN, environment=partial(Blind, max_steps=60)), force=True))
    assert again.manifest.counts["pictures"] == made.manifest.counts["pictures"] > 10


def test_without_frames_the_page_names_the_command_that_makes_them(
    workspace: Workspace, page: Artifact, tmp_path: Path
):
    command = "python run.py stage=frames domain=toy task=maze dataset=scripted-v1"
    assert f"No videos: there are no frames of these episodes yet. Make them, then this page again: {command}" in (
        text_of(html_of(page))
    )
    assert page.manifest.warnings == []
    shutil.copytree(workspace.root, tmp_path / "artifacts")
    place = Workspace(str(tmp_path))
    frames.run(
        domain=DOMAIN, task="maze", workspace=place, dataset="scripted-v1", episodes=None, workers=1, force=False
    )
    better = report.run(**settings(place))
    assert better.manifest.version != page.manifest.version
    assert better.manifest.counts["videos"] == 3


def test_frames_of_some_episodes_are_shown_as_what_they_are(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    made = filmed(workspace, 9, 2)
    told = json.loads((made.path / "figures.json").read_text())
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
        there = frames_there(workspace, workspace.dataset("toy", "maze", "scripted-v1", asked))
        return there and there.path

    assert [found(asked) for asked in (2, 3, 5, 7, None)] == [made[count].path for count in (2, 4, 6, 6, 6)]
    other = replace(DOMAIN, environment=partial(Toy, max_steps=50))
    collected(other, workspace, "maze", episodes=2, dataset="other-v1")
    assert frames_there(workspace, workspace.dataset("toy", "maze", "other-v1")) is None


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
    lengths = [each["length"] for each in json.loads((made.path / "figures.json").read_text())["videos"]]
    assert [each["before"] for each in told] == [0, 0, 0]  # nothing was loaded before it was asked for
    assert [(each["width"], each["height"], each["poster"]) for each in told] == [(144, 144, 144)] * 3
    assert [each["duration"] for each in told] == pytest.approx([(length + 1) / 24 for length in lengths], abs=1e-3)
    assert all(each["mean"] > 50 for each in told)


def test_pictures_as_observations_give_a_page_without_retrieval(tmp_path: Path):
    domain = Domain("atari", 27_000, 5, Atari, ["pong"], Regent(32, 5, 100, 100_000))
    workspace = Workspace(str(tmp_path))
    played = {"policy": Random, "dataset": "random-v1", "episodes": 3, "frames": 90, "render": True}
    collected(domain, workspace, "pong", **played)
    chosen = {"task": "pong", "dataset": "random-v1"}
    made = report.run(**settings(workspace, domain, **chosen))
    told, text = json.loads((made.path / "figures.json").read_text()), text_of(html_of(made))
    assert told["search"] is None
    assert "None are shown: observations are no vectors here" in text
    assert "The observations of atari/pong are pictures" in text
    assert "Reason for the end: budget (3)." in text
    episodes = list(EpisodeDataset.of(workspace.dataset("atari", "pong", "random-v1")))
    actions = np.concatenate([episode.steps["action"][:-1] for episode in episodes])
    counts = np.bincount(actions - actions.min(), minlength=len(told["actions"]["counts"])).tolist()
    assert (told["actions"]["counts"], told["actions"]["low"]) == (counts, actions.min() - 0.5)
    rewards = np.concatenate([episode.steps["reward"][:-1] for episode in episodes])
    assert (told["rewards"]["zeros"], told["rewards"]["entries"]) == (int((rewards == 0).sum()), 90)
    assert sum(told["rewards"]["counts"]) == int((rewards != 0).sum())
    assert made.manifest.counts["videos"] == 3
    for _, source, number in VIDEO.findall(html_of(made)):
        shown = decoded_frames(made.path / "page" / source)
        assert len(shown) == episodes[int(number)].rows
        assert {frame.shape for frame in shown} == {(210, 160, 3)}
    assert len(pictures_of(html_of(made))) == 10
    assert not report.run(**settings(workspace, domain, **chosen)).built
