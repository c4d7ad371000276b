"""One HTML page about a dataset: figures, charts as inline SVG, pictures as data URIs; videos lie beside it."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipeline.campaign.quirks import COLUMNS, quirk_row
from pipeline.command import Command
from pipeline.dataset.rewards import clipping_note, return_words, reward_words
from pipeline.dataset.stuck import STILL, STUCK
from pipeline.frames.video import FPS
from pipeline.machine.extras import import_extra
from pipeline.report import charts
from pipeline.report.charts import Mark, number
from pipeline.report.figures import BINS, Diagnosis, Figures, Media, Search, Spread
from pipeline.report.ranges import Range
from pipeline.report.sources import PageSources
from pipeline.report.tallies import Tally
from pipeline.report.wording import for_others, portable_command, short_command, variables_of, without_folders
from pipeline.wording import how_many

TEMPLATES = Path(__file__).parent
PICTURE_WIDTH = 192
"""Pixels; a larger picture is shrunk to it."""

MOST_DOTS = 5_000
"""Episodes that still get a dot each; more are shown as a histogram."""

FEW_BARS = 4


def render_page(sources: PageSources, figures: Figures, media: Media, root: Path) -> str:
    """The page as HTML, without the folders of this machine.

    Args:
        sources: what it is made from.
        figures: the numbers on it.
        media: the pictures and videos on it.
        root: the folder of all artifacts; their places are shown below it.

    Raises InvalidInput where jinja2 is missing.
    """
    artifacts = sources.artifacts
    quirks = artifacts[0].manifest.quirks
    odd = {quirk["sentence"] for quirk in quirks}  # they have a table of their own
    warnings = [
        (a.manifest.kind, for_others(each)) for a in artifacts for each in a.manifest.warnings if each not in odd
    ]
    return render(
        "page_template.html.j2",
        domain=sources.domain.label,
        task=artifacts[0].task,
        dataset=artifacts[0].manifest.version,
        sources=sources,
        figures=figures,
        search=figures.search,
        missing={"neighbours": sources.no_neighbours, "distances": sources.no_distances, "frames": sources.no_frames},
        dotted=_dotted(figures),
        most=_most_matches(figures.search),
        rate=rate_words(*figures.successes),
        returned=return_words(figures.reward_clipping),
        clipped=clipping_note(figures.reward_clipping),
        charts=_charts(figures),
        pictures={place: picture_uri(picture_file(frame)) for place, frame in media.pictures.items()},
        small=max((frame.shape[1] for frame in media.pictures.values()), default=PICTURE_WIDTH) < PICTURE_WIDTH / 2,
        media=media,
        why_pictures=for_others(media.no_pictures),
        why_videos=for_others(media.no_videos),
        fps=FPS,
        stuck=artifacts[0].manifest.counts.get(STUCK, 0),
        still=STILL,
        errors=how_many(figures.diagnosis.counted().get("error", 0), "errors") if figures.diagnosis else "",
        doctor_command=_doctor(sources),
        made=[(a, _place(a.path, root), short_command(a.manifest.command)) for a in artifacts],
        warnings=warnings,
        quirks=[list(map(for_others, quirk_row(quirk))) for quirk in quirks],
        quirk_columns=COLUMNS,
    )


def _doctor(sources: PageSources) -> str:
    """The command that examines the dataset together with the others, as it is pasted."""
    settings = {"dataset": sources.artifact.manifest.version, "episodes": None}
    return Command("doctor", sources.artifact.task, sources.domain.words, settings).line()


def _counted(diagnosis: Diagnosis) -> str:
    return ", ".join(how_many(count, f"{severity}s") for severity, count in diagnosis.counted().items())


def render(template: str, **values: object) -> str:
    """A template of this folder as text. Raises InvalidInput where jinja2 is missing."""
    jinja2 = import_extra("report", "jinja2")
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": number, "plain": without_folders, "limit": _limit}
    templates.filters |= {"portable": portable_command, "variables": variables_of}
    templates.globals |= {"number": number, "counted": _counted}
    return str(templates.get_template(template).render(**values))


def _most_matches(search: Search | None) -> int:
    return max((len(lookup.matches) for lookup in search.lookups), default=0) if search else 0


def _limit(value: float, of: Range) -> str:
    """The smallest or largest number of a range: whole where all of them are."""
    return number(int(value) if np.dtype(of.dtype).kind in "iub" else value)


def _place(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def picture_file(picture: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """A picture as a WebP file, shrunk to at most `PICTURE_WIDTH`: lossless, a third smaller than PNG."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    if image.width > PICTURE_WIDTH:
        size = (PICTURE_WIDTH, round(image.height * PICTURE_WIDTH / image.width))
        image = image.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, method=4)
    return file.getvalue()


def picture_uri(file: bytes) -> str:
    """A data URI of a WebP file."""
    return f"data:image/webp;base64,{base64.b64encode(file).decode()}"


def rate_words(succeeded: int, known: int) -> str:
    """A percentage that says 0 or 100 only where it is exactly so."""
    if succeeded in (0, known):
        return "100" if succeeded else "0"
    return f"{min(max(100 * succeeded / known, 0.1), 99.9):.1f}"


def _charts(figures: Figures) -> dict[str, str]:
    spread = figures.search.distances if figures.search else None
    return {
        "returns": _returns(figures),
        "curves": _curves(figures),
        "lengths": _lengths(figures),
        "choices": _choices(figures),
        "rewards": _tallied(
            figures.rewards, figures.states, reward_words(figures.reward_clipping), "Rewards that are not 0"
        ),
        "distances": _distances(spread, figures.search.unit) if spread and figures.search else "",
    } | {f"dimension {k}": _dimension(k, tally) for k, tally in enumerate(figures.actions.dimensions)}


def _curves(figures: Figures) -> str:
    label = f"return so far ({return_words(figures.reward_clipping)})"
    listed = ", ".join(
        f"{curve.rank}: {number(curve.sums[-1])} after {curve.steps[-1]} steps" for curve in figures.curves
    )
    drawn = [(curve.rank, curve.steps, curve.sums) for curve in figures.curves]
    return charts.lines(drawn, label, "step", f"Return within an episode. {listed}")


def _choices(figures: Figures) -> str:
    choices = figures.actions.choices
    if not choices:
        return ""
    listed = ", ".join(f"{choice.name} {choice.count}" for choice in choices)
    return charts.bars(
        [c.name for c in choices], [c.count for c in choices], f"Actions by how often they were taken: {listed}"
    )


def _dimension(index: int, tally: Tally) -> str:
    if not tally.counts:
        return ""
    least, largest = (int(each) if tally.whole else each for each in (tally.least, tally.largest))
    summary = f"Action dimension {index}: from {number(least)} to {number(largest)}"
    return charts.small_histogram(tally.counts, least, largest, summary)


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
    counts, low, high = tallied.counts, tallied.low, tallied.high
    if len(counts) < FEW_BARS:  # room beside them, so that one bar does not fill the chart
        room = 2 * (high - low) / len(counts)
        counts, low, high = (0, 0, *counts, 0, 0), low - room, high + room
    return charts.histogram(counts, low, high, label, counted, summary, whole=tallied.whole)


def _distances(spread: Spread, unit: str) -> str:
    summary = (
        f"Histogram of {number(spread.entries)} distances from 0 to {number(spread.max)}; 95 % of them are at most "
        f"{number(spread.p95)}"
    )
    mark = Mark(spread.p95, f"p95 = {number(spread.p95)}")
    return charts.histogram(spread.counts, 0.0, spread.upper, f"distance ({unit})", "entries", summary, mark)
