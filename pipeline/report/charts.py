"""Small charts as inline SVG, coloured and sized by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

THIN_SPACE = "\u202f"
"""Narrow no-break space between groups of three digits."""

WIDTH, HEIGHT = 480, 280
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 34, 56
SMALL_WIDTH, SMALL_HEIGHT, SMALL_FLOOR = 200, 96, 72
BAR_ROW, BAR_RIGHT = 22, 134
LETTER = 9
"""Pixels that a letter takes on a small screen."""


@dataclass(frozen=True)
class Mark:
    """A line across a chart at `value` of its measured axis, with a label."""

    value: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` laid on pixels from `start` to `stop`. `label` names the quantity and its unit."""

    low: float
    high: float
    start: float
    stop: float
    label: str
    whole: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values inside the axis, as pixel and text."""
        step = tick_step(self.high - self.low, self.whole)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(self.at(k * step), _grouped(k * step, decimals)) for k in range(first, last + 1)]


def histogram(
    counts: Sequence[int],
    low: float,
    high: float,
    label: str,
    counted: str,
    summary: str,
    mark: Mark | None = None,
    whole: bool = False,
) -> str:
    """Bars of equal width between `low` and `high`.

    `label` names the measured quantity with its unit, `counted` what a bar counts, `summary` tells the chart in words
    to those who do not see it. `whole` keeps the ticks on whole numbers.
    """
    across = Axis(low, high, LEFT, WIDTH - RIGHT, label, whole)
    up = Axis(0, max(*counts, 1) * 1.05, HEIGHT - BOTTOM, TOP, counted, whole=True)
    width = (high - low) / len(counts)
    bars = "".join(
        _bar(across.at(low + index * width), across.at(low + (index + 1) * width), up.at(count), up.start)
        for index, count in enumerate(counts)
        if count
    )
    line = _upright(across, mark) if mark else ""
    return _svg(summary, _grid(across, up) + f'<path class="bars" d="{bars}"/>' + line)


def dots(
    values: Sequence[float], filled: Sequence[bool], label: str, counted: str, summary: str, mark: Mark | None = None
) -> str:
    """One dot for each value, in order; those that are not `filled` are rings."""
    low, high = padded(min(values), max(values))
    across = Axis(-0.5, len(values) - 0.5, LEFT, WIDTH - RIGHT, counted, whole=True)
    up = Axis(low, high, HEIGHT - BOTTOM, TOP, label)
    places = [(across.at(index), up.at(value)) for index, value in enumerate(values)]
    full = [place for place, solid in zip(places, filled, strict=True) if solid]
    rings = [place for place, solid in zip(places, filled, strict=True) if not solid]
    # A path of zero-length strokes with round ends draws a dot in a dozen bytes.
    drawn = _points("dots", full) + _points("dots", rings) + _points("holes", rings)
    return _svg(summary, _grid(across, up) + (_level(up, mark) if mark else "") + drawn)


def small_histogram(counts: Sequence[int], least: float, largest: float, summary: str) -> str:
    """Bars of equal width, with the least and the largest number as the only labels."""
    up = Axis(0, max(*counts, 1), SMALL_FLOOR, 4, "")
    width = (SMALL_WIDTH - 4) / len(counts)
    bars = "".join(
        _bar(round(2 + index * width, 1), round(2 + (index + 1) * width, 1), up.at(count), up.start)
        for index, count in enumerate(counts)
        if count
    )
    labels = _text(2, SMALL_HEIGHT - 6, number(least), "start")
    labels += _text(SMALL_WIDTH - 2, SMALL_HEIGHT - 6, number(largest), "end")
    axis = f'<path class="axis" d="M2 {SMALL_FLOOR}H{SMALL_WIDTH - 2}"/>'
    return _svg(summary, f'<path class="bars" d="{bars}"/>{axis}{labels}', SMALL_WIDTH, SMALL_HEIGHT, "small chart")


def bars(names: Sequence[str], counts: Sequence[int], summary: str) -> str:
    """A bar for each name, one below the other, with its count."""
    left = 16 + LETTER * max(map(len, names))
    along = Axis(0, max(*counts, 1), left, WIDTH - BAR_RIGHT, "")
    drawn, total = [], sum(counts) or 1
    for row, (name, count) in enumerate(zip(names, counts, strict=True)):
        top = row * BAR_ROW
        end = along.at(count)
        label = f"{number(count)} ({_percent(count, total)})"
        drawn += [_text(left - 8, top + 15, name, "end", "label"), _text(end + 6, top + 15, label, "start")]
        if count:
            drawn.append(f'<path class="bars" d="M{left} {top + 4}H{max(end, left + 1):g}V{top + 18}H{left}Z"/>')
    axis = f'<path class="axis" d="M{left} 0V{len(names) * BAR_ROW}"/>'
    return _svg(summary, "".join(drawn) + axis, WIDTH, len(names) * BAR_ROW + 2)


def measures(names: Sequence[str], values: Sequence[float], labels: Sequence[str], summary: str) -> str:
    """A bar for each name, one below the other, as long as its value, with the label beside it."""
    left = 16 + LETTER * max(map(len, names))
    width = left + WIDTH
    along = Axis(0, max(*values, 1e-9), left, width - BAR_RIGHT, "")
    drawn = []
    for row, (name, value, label) in enumerate(zip(names, values, labels, strict=True)):
        top, end = row * BAR_ROW, max(along.at(value), left + 1)
        drawn += [_text(left - 8, top + 15, name, "end", "label"), _text(end + 6, top + 15, label, "start")]
        drawn.append(f'<path class="bars" d="M{left} {top + 4}H{end:g}V{top + 18}H{left}Z"/>')
    axis = f'<path class="axis" d="M{left} 0V{len(names) * BAR_ROW}"/>'
    return _svg(summary, "".join(drawn) + axis, width, len(names) * BAR_ROW + 2)


def lines(curves: Sequence[tuple[str, Sequence[int], Sequence[float]]], label: str, counted: str, summary: str) -> str:
    """A line for each (class of the style sheet, places, values)."""
    values = [value for _, _, held in curves for value in held]
    across = Axis(0, max(max(places) for _, places, _ in curves), LEFT, WIDTH - RIGHT, counted, whole=True)
    up = Axis(*padded(min(values), max(values)), HEIGHT - BOTTOM, TOP, label)
    drawn = ""
    for name, places, held in curves:
        points = "L".join(f"{across.at(x):g} {up.at(y):g}" for x, y in zip(places, held, strict=True))
        drawn += f'<path class="line {name}" d="M{points}"/>'
    return _svg(summary, _grid(across, up) + drawn)


def padded(low: float, high: float) -> tuple[float, float]:
    """A range with some room around it, also around a single value."""
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def tick_step(span: float, whole: bool = False) -> float:
    """The 1, 2 or 5 times a power of ten that cuts `span` into about five pieces."""
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.75)
    return max(step, 1.0) if whole else step


def number(value: float, digits: int = 4) -> str:
    """A number for reading, grouped in threes: integers as they are, others with `digits` significant digits."""
    if isinstance(value, int) or not value:
        return _grouped(value, 0)
    size = abs(value)
    if size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} × 10{raised}".replace("-", "−")
    return _grouped(value, max(0, digits - 1 - math.floor(math.log10(size))))


def _grouped(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}".replace(",", THIN_SPACE).replace("-", "−")
    return "0" if text == "−0" else text


def _svg(summary: str, content: str, width: int = WIDTH, height: int = HEIGHT, name: str = "chart") -> str:
    return (
        f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(summary)}">{content}</svg>'
    )


def _percent(count: int, total: int) -> str:
    """A share in per cent that says 0 or 100 only where it is exactly so."""
    share = 100 * count / total
    if 0 < share < 0.1:
        return "< 0.1 %"
    return f"{share:.0f} %" if share in (0, 100) else f"{min(share, 99.9):.1f} %"


def _grid(across: Axis, up: Axis) -> str:
    lines = "".join(f"M{LEFT} {y}H{WIDTH - RIGHT}" for y, _ in up.ticks())
    return (
        f'<path class="grid" d="{lines}"/>'
        + "".join(_text(LEFT - 8, y + 4, text, "end") for y, text in up.ticks())
        + "".join(_text(x, up.start + 20, text, "middle") for x, text in across.ticks())
        + f'<path class="axis" d="M{LEFT} {up.start}H{WIDTH - RIGHT}"/>'
        + _text(2, 16, up.label, "start", "label")
        + _text(WIDTH - RIGHT, HEIGHT - 10, across.label, "end", "label")
    )


def _bar(left: float, right: float, top: float, bottom: float) -> str:
    gap = 1 if right - left > 4 else 0
    return f"M{left:g} {bottom:g}V{min(top, bottom - 1):g}H{right - gap:g}V{bottom:g}Z"


def _points(name: str, places: Sequence[tuple[float, float]]) -> str:
    return f'<path class="{name}" d="{"".join(f"M{x:g} {y:g}h0" for x, y in places)}"/>' if places else ""


def _upright(axis: Axis, mark: Mark) -> str:
    x = axis.at(mark.value)
    left = x > (LEFT + WIDTH) / 2
    text = _text(x - 7 if left else x + 7, TOP + 10, mark.label, "end" if left else "start", "mark")
    return f'<path class="mark" d="M{x:g} {TOP - 4}V{HEIGHT - BOTTOM}"/>' + text


def _level(axis: Axis, mark: Mark) -> str:
    y = axis.at(mark.value)
    text = _text(WIDTH - RIGHT, 16, mark.label, "end", "mark")
    return f'<path class="mark" d="M{LEFT} {y:g}H{WIDTH - RIGHT}"/>' + text


def _text(x: float, y: float, text: str, anchor: str, name: str = "tick") -> str:
    return f'<text class="{name}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
