"""One HTML page about a dataset: figures, charts as inline SVG, pictures as data URIs; videos lie beside it."""

from __future__ import annotations

import base64
import importlib
import io
import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np

from pipeline.artifacts.artifact import Artifact
from pipeline.dataset.rewards import clipping_note, return_words, reward_words
from pipeline.errors import InvalidInput
from pipeline.frames.video import FPS
from pipeline.report import charts
from pipeline.report.charts import Mark, number
from pipeline.report.figures import BINS, Figures, Media, Spread
from pipeline.report.tallies import Tally

TEMPLATE = Path(__file__).with_name("page_template.html.j2")
PICTURE_WIDTH = 192
"""Pixels; a larger picture is shrunk to it."""

MOST_DOTS = 5_000
"""Episodes that still get a dot each; more are shown as a histogram."""


def render_page(figures: Figures, media: Media, domain: str, no_search: str, artifacts: Sequence[Artifact]) -> str:
    """The page as HTML.

    Args:
        figures: what is told.
        media: what is seen.
        domain: as people call it.
        no_search: why nothing is retrieved; empty where it is.
        artifacts: what the page is made from, the dataset first.

    Raises InvalidInput where jinja2 or Pillow is missing.
    """
    jinja2 = _package("jinja2")
    templates = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["number"] = templates.globals["number"] = number
    dataset, search = artifacts[0], figures.search
    return str(
        templates.from_string(TEMPLATE.read_text("utf-8")).render(
            domain=domain,
            task=dataset.task,
            dataset=dataset.manifest.version,
            figures=figures,
            search=search,
            no_search=no_search,
            dotted=_dotted(figures),
            most=max((len(lookup.matches) for lookup in search.lookups), default=0) if search else 0,
            rate=_rate(*figures.successes),
            returned=return_words(figures.reward_clipping),
            clipped=clipping_note(figures.reward_clipping),
            charts=_charts(figures),
            pictures={place: picture_uri(frame) for place, frame in media.pictures.items()},
            no_pictures=media.no_pictures,
            videos=media.videos,
            no_videos=media.no_videos,
            fps=FPS,
            artifacts=[artifact.manifest for artifact in artifacts],
            warnings=[(a.manifest.kind, warning) for a in artifacts for warning in a.manifest.warnings],
        )
    )


def picture_uri(frame: np.ndarray) -> str:
    """A data URI of a picture, shrunk to at most `PICTURE_WIDTH`: lossless WebP, a third smaller than PNG."""
    pillow = _package("PIL.Image")
    image = pillow.fromarray(frame)
    if image.width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, round(image.height * PICTURE_WIDTH / image.width))
        image = image.resize(size, pillow.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, method=4)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _rate(succeeded: int, known: int) -> str:
    """A percentage that says 0 or 100 only where it is exactly so."""
    if succeeded in (0, known):
        return "100" if succeeded else "0"
    return f"{min(max(100 * succeeded / known, 0.1), 99.9):.1f}"


def _charts(figures: Figures) -> dict[str, str]:
    return {
        "returns": _returns(figures),
        "lengths": _lengths(figures),
        "actions": _tallied(figures.actions, figures.states, "action", "Actions"),
        "rewards": _tallied(
            figures.rewards, figures.states, reward_words(figures.reward_clipping), "Rewards that are not 0"
        ),
        "distances": _distances(figures.search.distances, figures.search.unit) if figures.search else "",
    }


def _dotted(figures: Figures) -> bool:
    return len(figures.returns) <= MOST_DOTS


def _returns(figures: Figures) -> str:
    returns, mean = figures.returns, figures.mean_return
    mark = Mark(mean, f"mean {number(mean)}")
    summary = (
        f"Returns of {number(len(returns))} episodes: from {number(min(returns))} to {number(max(returns))}, "
        f"mean {number(mean)}"
    )
    label = f"return ({return_words(figures.reward_clipping)})"
    if _dotted(figures):
        return charts.dots(returns, [value != 0 for value in figures.success], label, "episode", summary, mark)
    low, high = charts.padded(min(returns), max(returns))
    counts = np.histogram(returns, BINS, (low, high))[0].tolist()
    return charts.histogram(counts, low, high, label, "episodes", summary, mark)


def _lengths(figures: Figures) -> str:
    lengths = figures.lengths
    shortest, longest = min(lengths), max(lengths)
    width = max(1, math.ceil((longest - shortest + 1) / BINS))
    room = 5 if shortest == longest else width
    low = max(shortest - room, 0)
    bins = math.ceil((longest + room + 1 - low) / width)
    # Bars are centred on whole numbers, so that a bar of one step stands above its tick.
    start, stop = low - 0.5, low - 0.5 + bins * width
    counts = np.histogram(lengths, bins, (start, stop))[0].tolist()
    summary = f"Lengths of {number(len(lengths))} episodes: from {number(shortest)} to {number(longest)} steps"
    return charts.histogram(counts, start, stop, "length (steps)", "episodes", summary, whole=True)


def _tallied(tallied: Tally, states: int, label: str, name: str) -> str:
    if not tallied.counts:
        return ""
    counted = "states" if tallied.entries == states else "numbers"
    summary = (
        f"{name}: {number(sum(tallied.counts))} {counted}, from {number(tallied.least)} to {number(tallied.largest)}"
    )
    return charts.histogram(tallied.counts, tallied.low, tallied.high, label, counted, summary, whole=tallied.whole)


def _distances(spread: Spread, unit: str) -> str:
    summary = (
        f"Histogram of {number(spread.entries)} distances from 0 to {number(spread.max)}; 95 % of them are at most "
        f"{number(spread.p95)}"
    )
    mark = Mark(spread.p95, f"p95 = {number(spread.p95)}")
    return charts.histogram(spread.counts, 0.0, spread.upper, f"distance ({unit})", "entries", summary, mark)


def _package(name: str) -> ModuleType:
    """jinja2 or Pillow, imported only when a page is made: the other stages do without them."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != name.split(".")[0]:
            raise
        raise InvalidInput("Pages need jinja2 and Pillow. Install them: pip install 'repertoire[report]'") from error
