"""The report of a toy task: its figures are recomputed from the episodes, its page is opened in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from html import escape, unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.artifact import Artifact
from pipeline.command import Typed, user_typed
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.envs.toy import Toy
from pipeline.episode import Episode
from pipeline.errors import ArtifactNotFound
from pipeline.interfaces import Transition
from pipeline.sources.contract import Source
from pipeline.sources.quirks import Quirk
from pipeline.storage.choice import open_arrays
from stages import distances, ingest, report, retrieval
from tests.browser import chromium, needs_browser
from tests.conftest import collected
from tests.pages import (
    DOMAIN,
    NO_PICTURES,
    Blind,
    facts_of,
    figures_of,
    html_of,
    pictures_of,
    prepared,
    settings,
    text_of,
)


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
        return {"source": self.name}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        return iter(self._episodes[start:])

    def quirks(self, domain: str, task: str) -> list[Quirk]:
        return [Quirk("links", 1200, "Links <were> not followed: /home/me/a.", "/home/me/conf=1", 1200, "links")]

    def count(self, domain: str, task: str) -> int | None:
        return len(self._episodes)


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
    assert html.count("<svg") == html.count('role="img" aria-label="') == 6


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
    assert html.count("<svg") == 6
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
    assert "1 odd:" in text
    assert "links 1,200 …/conf=1 1,200 links Links <were> not followed: …/a." in text
    assert text.count("Links <were>") == 1


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


def test_with_episodes_only_each_missing_section_is_a_line_with_its_command(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    collected(DOMAIN, workspace, "maze", episodes=3)
    bare = report.run(**settings(workspace))
    text = text_of(html_of(bare))
    again = "domain=toy task=maze dataset=scripted-v1"
    assert (
        f"no retrieval of toy/maze for these settings. python run.py 'stage=[retrieval,distances,report]' {again}"
        in text
    )
    assert f"Make them, then this page again: python run.py 'stage=[frames,report]' {again}" in text
    retrieval.run(**settings(workspace))
    found = report.run(**settings(workspace))
    text = text_of(html_of(found))
    assert f"no distances of toy/maze for these settings. python run.py 'stage=[distances,report]' {again}" in text
    assert figures_of(found)["search"]["lookups"]
    distances.run(**settings(workspace))
    whole = report.run(**settings(workspace))
    assert "stage=[distances" not in text_of(html_of(whole))
    # Each is an artifact of its own, so that the same command makes the better page.
    assert len({page.manifest.version for page in (bare, found, whole)}) == 3
    assert [each["kind"] for each in whole.manifest.parents] == ["episodes", "retrieval", "distances"]


def test_missions_with_too_few_episodes_are_a_line(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    domain = replace(DOMAIN, regent=replace(DOMAIN.regent, missions=True))
    collected(domain, workspace, "maze", episodes=3)
    text = text_of(html_of(report.run(**settings(workspace, domain))))
    assert "None are shown: No mission has" in text


def test_only_a_missing_dataset_is_an_error(tmp_path: Path):
    with pytest.raises(ArtifactNotFound, match="There is no dataset scripted-v1 of toy/maze"):
        report.run(**settings(Workspace(str(tmp_path))))


def test_a_simulator_that_drifts_gives_no_pictures_and_a_warning(tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    collected(DOMAIN, workspace, "maze", episodes=2)
    page = report.run(**settings(workspace, replace(DOMAIN, environment=partial(Drifting, max_steps=60))))
    assert page.manifest.counts["pictures"] == 0
    assert "gave another observation at row" in page.manifest.warnings[0]


def test_no_folder_of_this_machine_is_on_the_page(tmp_path: Path):
    workspace, root = Workspace(str(tmp_path)), f"paths.root={tmp_path}"
    collected(DOMAIN, workspace, "maze", episodes=2)
    with user_typed(Typed(("stage=report", "domain=toy", "task=maze", root))):
        page = report.run(**settings(workspace))
    assert 'task=maze dataset=scripted-v1 paths.root="${PATHS_ROOT:?}"' in text_of(html_of(page))
    for file in (page.path / "page" / "index.html", page.path / "figures.json"):
        for folder in (workspace.root, Path.home(), Path.cwd()):
            assert str(folder) not in file.read_text()
    assert "toy/maze/episodes/scripted-v1" in text_of(html_of(page))


# Put into a copy of the page: what only a browser can know is written where --dump-dom shows it.
PROBE = """<script>addEventListener("load", () => { document.body.dataset.probe = JSON.stringify({
  images: document.images.length, broken: [...document.images].filter(image => !image.naturalWidth).length,
  width: innerWidth, overflow: document.documentElement.scrollWidth - innerWidth,
  outside: [...document.querySelectorAll("main *:not(.table *)")].filter(
    x => x.getBoundingClientRect().right > innerWidth).length,
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
    assert painted[244, 240, 230] > 30_000  # the toy's floor
    assert painted[52, 106, 200] > 300  # its agent
