"""A plot of time by number of cores, both logarithmic, with what bounds each point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

STYLE = """
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #22262b }
.other { fill: #66707a }
.grid { stroke: #dfe3e6 }
.line { fill: none; stroke: #9ba4ae; stroke-width: 1.5 }
.cores { fill: #39708f }
.disk { fill: #b5482f }
.jobs { fill: #c99a2e }
.paper { fill: #fbfaf7 }
"""
COLOURS = {"cores": "cores", "shared disk": "disk", "network": "disk", "too few jobs": "jobs"}
LEFT, TOP, ACROSS, DOWN, RIGHT, BOTTOM = 70, 48, 520, 260, 150, 44
Point = tuple[int, float, str]


def drawn(title: str, series: Mapping[str, Sequence[Point]]) -> str:
    """An SVG with a line for each name, of points (cores, days, what bounds them)."""
    points = [point for each in series.values() for point in each]
    low_x, high_x = _decades([cores for cores, _, _ in points])
    low_y, high_y = _decades([days for _, days, _ in points])

    def x(cores: float) -> float:
        return round(LEFT + ACROSS * (math.log10(cores) - low_x) / (high_x - low_x), 1)

    def y(days: float) -> float:
        return round(TOP + DOWN * (high_y - math.log10(days)) / (high_y - low_y), 1)

    width, height = LEFT + ACROSS + RIGHT, TOP + DOWN + BOTTOM
    lines = [f'<text x="12" y="20" font-weight="600">{escape(title)}: days by cores</text>', _legend(width)]
    for power in range(low_x, high_x + 1):
        lines.append(f'<path class="grid" d="M{x(10**power)} {TOP}V{TOP + DOWN}"/>')
        lines.append(
            f'<text class="other" x="{x(10**power)}" y="{TOP + DOWN + 18}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(low_y, high_y + 1):
        lines.append(f'<path class="grid" d="M{LEFT} {y(10.0**power)}H{LEFT + ACROSS}"/>')
        lines.append(
            f'<text class="other" x="{LEFT - 8}" y="{y(10.0**power) + 4}" text-anchor="end">{10.0**power:,g}</text>'
        )
    for name, each in series.items():
        path = "L".join(f"{x(cores)} {y(days)}" for cores, days, _ in each)
        lines.append(f'<path class="line" d="M{path}"/>')
        for cores, days, bound in each:
            told = escape(f"{name}, {cores:,} cores: {days:,.2f} days, bound by {bound}")
            kind = COLOURS.get(bound, "cores")
            lines.append(f'<circle class="{kind}" cx="{x(cores)}" cy="{y(days)}" r="5"><title>{told}</title></circle>')
        cores, days, _ = each[-1]
        lines.append(f'<text x="{x(cores) + 10}" y="{y(days) + 4}">{escape(name)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"><style>{STYLE}</style>'
    return head + f'<rect class="paper" width="{width}" height="{height}"/>' + "\n".join(lines) + "</svg>\n"


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _legend(width: int) -> str:
    marks = [("cores", "cores"), ("disk", "disk or network"), ("jobs", "too few jobs")]
    return "".join(
        f'<circle class="{kind}" cx="{width - 430 + 130 * number}" cy="16" r="5"/>'
        f'<text x="{width - 420 + 130 * number}" y="20">{name}</text>'
        for number, (kind, name) in enumerate(marks)
    )
