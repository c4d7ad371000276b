"""One plot for each stage: how long ours takes, as a multiple of the peer's or the limit's time, and what is wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.measure import shown

STYLE = """
text { font: 12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #22262b }
.other { fill: #66707a }
.grid { stroke: #dfe3e6 }
.even { stroke: #9ba4ae }
.reached { fill: #39708f }
.missed { fill: #b5482f }
.free { fill: #9ba4ae }
.goal { stroke: #22262b; stroke-width: 2 }
.paper { fill: #fbfaf7 }
"""
LABELS, ACROSS, RIGHT = 560, 320, 60
TOP, ROW = 44, 34
LETTERS = 82
"""As many letters of a label as there is room for."""


def drawn(found: Sequence[tuple[str, str, float, float | None]], title: str) -> str:
    """An SVG with a line for each (work, peer or limit, ratio, goal or None), on a logarithmic axis."""
    values = [value for _, _, ratio, goal in found for value in (ratio, goal) if value]
    low = math.floor(math.log10(min(*values, 0.5)))
    high = max(math.log10(2), math.log10(max(values)) + 0.05)
    height = TOP + ROW * len(found) + 8

    def at(ratio: float) -> float:
        place = math.log10(max(ratio, 10.0**low))  # nothing at all stands at the left edge
        return round(LABELS + ACROSS * (place - low) / (high - low), 1)

    lines = [f'<text x="12" y="20" font-weight="600">{escape(title)}</text>']
    marks = [10.0**power for power in range(low, math.floor(high) + 1)]
    for mark in sorted({*marks, 0.5, 2.0} if low >= -2 else {*marks, 1.0}):
        if low <= math.log10(mark) <= high:
            kind = "even" if mark == 1 else "grid"
            lines.append(f'<path class="{kind}" d="M{at(mark)} {TOP - 6}V{height - 6}"/>')
            lines.append(f'<text class="other" x="{at(mark)}" y="{TOP - 10}" text-anchor="middle">{mark:g}</text>')
    for number, (work, other, ratio, goal) in enumerate(found):
        middle = TOP + ROW * number + ROW / 2
        kind = "free" if goal is None else "reached" if ratio <= goal else "missed"
        lines.append(f"<g><title>{escape(work)} / {escape(other)}</title>")
        lines.append(f'<text x="12" y="{middle - 2:g}">{escape(_cut(work))}</text>')
        lines.append(f'<text class="other" x="12" y="{middle + 12:g}">/ {escape(_cut(other))}</text>')
        if goal is not None:
            lines.append(f'<path class="goal" d="M{at(goal)} {middle - 9:g}V{middle + 9:g}"/>')
        lines.append(f'<circle class="{kind}" cx="{at(ratio)}" cy="{middle:g}" r="5"/>')
        right = LABELS + ACROSS + RIGHT - 8
        lines.append(f'<text x="{right}" y="{middle + 4:g}" text-anchor="end">{shown(ratio)}</text></g>')
    width = LABELS + ACROSS + RIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"><style>{STYLE}</style>'
    return head + f'<rect class="paper" width="{width}" height="{height}"/>' + "\n".join(lines) + "</svg>\n"


def _cut(label: str) -> str:
    return label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
