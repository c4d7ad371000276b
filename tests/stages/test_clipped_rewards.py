"""Wherever people read returns, they are told when the source had clipped the rewards, and not otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.frames.video import Video
from pipeline.hub.card import repository_card
from pipeline.hub.description import Sources, describe, read_description
from pipeline.hub.names import listed_tasks
from pipeline.regent.chain import bins_name
from pipeline.regent.recipe import Recipe
from pipeline.report.figures import Media, Shown
from pipeline.report.gather import figures_of
from pipeline.report.page import render_page
from pipeline.report.sources import page_sources
from pipeline.sources.contract import Source
from stages import bins, distances, ingest, parquet, report, retrieval
from tests.conftest import toy_domain

WORDS = "sum of rewards clipped to [-1, 1]"
NOTE = f"A return is the {WORDS} by the source, and no game score."


class Log(Source):
    """A foreign log of vectors and of rewards -1, 0 and 1."""

    name = "log"

    def __init__(self, clipping: list[int] | None) -> None:
        self._clipping = clipping

    def identity(self, domain: str, task: str) -> Mapping[str, object]:
        return {"source": self.name, "reward_clipping": self._clipping}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        for number in range(start, 8):
            rng = np.random.default_rng(number)
            steps = {
                "observation": rng.normal(size=(31, 3)).astype(np.float32),
                "action": with_last_row("action", rng.integers(4, size=30)),
                "reward": with_last_row("reward", rng.integers(-1, 2, 30).astype(np.float64)),
                "discount": with_last_row("discount", np.ones(30)),
            }
            yield Episode(steps=steps, truncated=True, end_reason="source")

    def count(self, domain: str, task: str) -> int | None:
        return 8


@pytest.fixture(scope="module", params=[True, False], ids=["clipped", "plain"])
def made(request, tmp_path_factory):
    """Whether rewards are clipped, and every artifact of the log by its stage."""
    workspace = Workspace(str(tmp_path_factory.mktemp("log")))
    recipe = Recipe(toy_domain(), "corner", "log-v1")
    episodes = ingest.run(
        domain=recipe.domain,
        task="corner",
        source=Log([-1, 1] if request.param else None),
        workspace=workspace,
        dataset=recipe.dataset,
        episodes=None,
        states=None,
        force=False,
    )
    found = {"episodes": episodes, "recipe": recipe, "workspace": workspace}
    for stage in (retrieval, distances, bins, parquet, report):
        found[stage.__name__.split(".")[-1]] = stage.run(recipe=recipe, workspace=workspace, force=False)
    return request.param, found


def page_of(found):
    return (found["report"].path / "page" / "index.html").read_text()


def text_of(html):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_the_page_says_it_at_every_return_and_reward(made):
    clipped, found = made
    html = page_of(found)
    for name in ("mean", "lowest", "highest"):
        assert (f"<small>{WORDS}</small>" in re.search(rf"<dt>{name} return</dt>.*", html)[0]) == clipped
    labels = re.findall(r'<text class="label"[^>]*>([^<]*)</text>', html)
    assert (f"return ({WORDS})" in labels) == ("reward clipped to [-1, 1]" in labels) == clipped
    assert ("return (sum of rewards)" in labels) == ("reward" in labels) == (not clipped)
    assert (f"Clipped rewards: {NOTE}" in text_of(html)) == clipped
    assert bool(re.search(rf"the median return, \S+ \({re.escape(WORDS)}\), and", text_of(html))) == clipped
    assert ("clipped to" in html or "Clipped" in html) == clipped  # the recorded command names this file


def test_the_figures_hold_the_bounds(made):
    clipped, found = made
    text = (found["report"].path / "figures.json").read_text()
    assert re.sub(r"\s", "", re.search(r'"reward_clipping": (null|\[[^]]*\])', text)[1]) == (
        "[-1.0,1.0]" if clipped else "null"
    )


def test_captions_of_videos_say_it(made):
    clipped, found = made
    shown, workspace = Shown("highest", 2, 5.0, 30, "source"), found["workspace"]
    sources = page_sources(found["recipe"], workspace)
    figures = replace(figures_of(sources), videos=(shown,), filmed=8)
    html = render_page(sources, figures, Media({}, "", "none", {2: Video(31, 84, 84)}), workspace.root)
    caption = text_of(re.search(r"<figcaption><b>Highest.*?</figcaption>", html, re.DOTALL)[0]).strip()
    clipping = f"{WORDS}, " if clipped else ""
    assert caption == f"Highest return: 5.000 {clipping}episode 2, 30 steps, end: source"


def test_the_dataset_card_says_it(made):
    clipped, found = made
    card = (found["parquet"].path / "data" / "README.md").read_text()
    assert "* return of an episode: mean" in card
    assert (f"* clipped rewards: {NOTE}\n" in card) == ("clipped" in card) == clipped


def test_the_card_of_a_repository_says_it(made):
    clipped, found = made
    folder = found["bins"].path / bins_name(found["bins"])
    sources = Sources(found["parquet"], found["bins"], found["retrieval"], found["episodes"], folder)
    facts = read_description(describe(sources), "here")
    tasks = listed_tasks([path.removeprefix("data/") for path in found["parquet"].manifest.files])
    card = repository_card("me/log", tasks, {"toy-corner": facts})
    row = next(line for line in card.splitlines() if line.startswith("| toy-corner |"))
    assert bool(re.search(rf"\(\S+ to \S+\), {re.escape(WORDS)} \|", row)) == ("clipped" in card) == clipped
