"""The plot and the table of docs/loading.md, as `benchmarks.views` measured them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measure import Row
from pipeline.report.charts import BAR_ROW, WIDTH, measures, number

STYLE = """
text { font: 13px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: #22262b }
.title { font-size: 15px; font-weight: 600 }
.bars { fill: #39708f }
.axis { stroke: #9ba4ae; fill: none }
rect { fill: #fbfaf7 }
"""
TITLE = 34


HEAD = "| work | ours | peer | times the peer |\n|---|---:|---|---:|\n"
RATES = re.compile(r"([\d,]+/s) against ([\d,]+/s)")
SHARE = re.compile(r"([\d.]+%) of a step; (.*)")


def renew(page: Path, rows: Sequence[Row], machine: str) -> None:
    """Put the rows into the place of the table of a page, and the machine into its line below the command."""
    before, _, rest = page.read_text().partition("<!-- figures -->\n")
    after = rest.partition("<!-- end -->")[2]
    lines = "".join(f"| {' | '.join(_cells(row))} |\n" for row in rows)
    page.write_text(f"{before}<!-- figures -->\n{machine}\n\n{HEAD}{lines}<!-- end -->{after}")


def _cells(row: Row) -> tuple[str, ...]:
    work = row.work.replace("10,000 windows of 32", "windows").replace("10,000 samples", "samples")
    times = f"{row.peer_s / row.ours_s:.2f}" if row.peer_s else ""
    if found := RATES.match(row.note):
        return work, found[1], f"{row.peer}: {found[2]}", times
    if found := SHARE.match(row.note):
        return work, f"{found[1]} of the step", found[2], ""
    peer = f"{row.peer}: {row.peer_s:.3g} s" if row.peer_s else row.note
    return work, f"{row.ours_s:.3g} s", peer, times


def draw(charted: Mapping[str, Sequence[tuple[str, float]]], place: Path) -> None:
    """One chart below the other, the fastest reader of each first."""
    drawn, top, width = [], 8, 0
    for title, figures in charted.items():
        ordered = sorted(figures, key=lambda each: -each[1])
        names, rates = [name for name, _ in ordered], [rate for _, rate in ordered]
        chart = measures(names, rates, [f"{number(int(rate))}/s" for rate in rates], title)
        wide = int(re.search(r'viewBox="0 0 (\d+)', chart)[1])  # type: ignore[index]
        inner = re.sub(r"</?svg[^>]*>", "", chart)
        drawn.append(f'<text class="title" x="12" y="{top + 18}">{title}: samples a second</text>')
        drawn.append(f'<g transform="translate(8 {top + TITLE})">{inner}</g>')
        top, width = top + TITLE + BAR_ROW * len(names) + 18, max(width, wide + 16, WIDTH)
    box = f'<rect width="{width}" height="{top}"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img"><style>{STYLE}</style>'
    place.write_text(head + box + "".join(drawn) + "</svg>\n")
