"""What was odd in foreign data, as a table for a terminal and a log."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.campaign.console import wide_console
from pipeline.wording import how_many

COLUMNS = ("quirk", "found", "rule", "left out", "in words")


def quirk_lines(quirks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The quirks of a manifest as lines of a table, as wide as the terminal; none where nothing was odd."""
    if not quirks:
        return []
    from rich.console import Console  # here, for it takes long to load and most commands print no table
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "found" else "left", overflow="fold")
    for quirk in quirks:
        table.add_row(*map(Text, quirk_row(quirk)))  # a sentence is no markup
    text = io.StringIO()
    Console(file=text, width=wide_console().width - len(INDENT)).print(table)
    return [f"{INDENT}{line.rstrip()}" for line in text.getvalue().splitlines()]


INDENT = "    "


def quirk_row(quirk: Mapping[str, Any]) -> list[str]:
    """The cells of one quirk. What earlier versions wrote has neither a rule nor what was left out."""
    dropped = quirk.get("dropped", 0)
    lost = how_many(dropped, quirk["unit"]) if dropped else ""
    return [quirk["name"], f"{quirk['count']:,}", quirk.get("rule", ""), lost, quirk["sentence"]]
