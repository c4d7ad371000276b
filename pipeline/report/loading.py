"""The page of `stage=bench_loading`: how fast each reader reads random windows of a dataset."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from pipeline.machine.threads import available_cores
from pipeline.report.charts import measures, number
from pipeline.wording import how_many

STYLE = Path(__file__).parent / "style.css.j2"

COLUMNS = ("reader", "workers", "cache", "windows/s", "MB/s", "bytes/step", "waiting", "memory")


@dataclass(frozen=True)
class LoadingFigures:
    """What a run of the benchmark found.

    Attributes:
        dataset: `domain/task/dataset`; `digest` is that of the episodes that were read, `states` their states.
        settings: those of the stage.
        machine: in words.
        rows: of each measurement the fields of `pipeline.views.bench.measuring.Loading`.
        left_out: name of a reader, and why it was not measured.
        made: what was copied for the run, a sentence each.
        step_seconds: median time of a training step whose batch is there; None where none was made.
        device: what the network learned on.
    """

    dataset: str
    digest: str
    states: int
    settings: Mapping[str, Any]
    machine: str
    rows: Sequence[Mapping[str, Any]]
    left_out: Sequence[tuple[str, str]]
    made: Sequence[str]
    step_seconds: float | None
    device: str

    def to_json(self) -> dict[str, Any]:
        """For `figures.json`."""
        return asdict(self)

    def what(self) -> str:
        """The work, in words."""
        asked = self.settings
        return (
            f"Random windows of {asked['length']} states in batches of {asked['batch_size']}, from "
            f"{how_many(asked['episodes'], 'episodes')} with {how_many(self.states, 'states')}; in the forms of others "
            f"from the first {asked['small_episodes']:,}."
        )

    def step(self) -> str:
        """How long a training step takes, in words; empty where none was made."""
        if self.step_seconds is None:
            return ""
        milliseconds = f"{1000 * self.step_seconds:.0f} ms"
        return f"A training step of a small network takes {milliseconds} on the {self.device} by itself."

    def notes(self) -> list[str]:
        """What was copied, and what was not measured."""
        return [*self.made, *(f"{name}: not measured, {why}" for name, why in self.left_out)]


def machine_words() -> str:
    """Cores, processor and Python of this machine."""
    return f"{available_cores()} cores of {os.cpu_count()}, {platform.machine()}, Python {platform.python_version()}"


def busy_words(load: float, cores: int) -> list[str]:
    """A sentence where others were at work on this machine before the run: `load` processes wanted its cores."""
    if load <= cores / 2:
        return []
    return [
        f"This machine was busy before the run began (load {load:.1f} on {how_many(cores, 'cores')}): the figures say "
        "little. Measure again when it is idle, with a longer stage.bench_loading.seconds."
    ]


def loading_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What a line of the table shows of a measurement, one text for each of `COLUMNS`."""
    return (
        row["words"],
        str(row["workers"]),
        row["cache"],
        f"{row['windows']:,.0f}",
        f"{row['windows'] * row['nbytes'] / 1e6:,.0f}",
        f"{row['stored']:,.0f}",
        "" if row["waiting"] is None else f"{row['waiting']:.1%}",
        "" if row["memory"] is None else f"{row['memory'] / 1e6:,.0f} MB",
    )


def loading_chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Bars of the windows a second of some measurements."""
    names = [row["words"] + (f", {how_many(row['workers'], 'workers')}" if row["workers"] else "") for row in rows]
    labels = [number(int(row["windows"])) for row in rows]
    listed = ", ".join(f"{name} {label}" for name, label in zip(names, labels, strict=True))
    return measures(names, [row["windows"] for row in rows], labels, f"Windows a second: {listed}")


def loading_page(figures: LoadingFigures) -> str:
    """One HTML file that needs nothing besides."""
    charts = ""
    for cache, title in (("warm", "Files in the page cache"), ("cold", "Nothing in the page cache")):
        rows = [row for row in figures.rows if row["cache"] == cache]
        charts += f"<figure><h3>{title}: windows a second</h3>{loading_chart(rows)}</figure>" if rows else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Loading {escape(figures.dataset)}</title>
<link rel="icon" href="data:,">
<style>
{STYLE.read_text()}
</style>
</head>
<body>
<main>
<header>
<p class="over">loading</p>
<h1>{escape(figures.dataset)}</h1>
<p class="soft">digest <code title="{figures.digest}">{figures.digest[:16]}</code>; {escape(figures.machine)};
{escape(str(figures.settings["measured"]))}</p>
<p>{escape(figures.what())} {escape(figures.step())}</p>
</header>
<div class="charts wide">{charts}</div>
<h2>All figures</h2>
{_table(figures.rows)}
<p class="soft">MB/s counts the bytes of the batches. Bytes/step are all files of the dataset over its states. Waiting
is the share of a training step in which it waits for its batch. Memory is what reading takes, of this process and its
workers, without mapped files.</p>
<ul>{"".join(f"<li>{escape(note)}</li>" for note in figures.notes())}</ul>
</main>
</body>
</html>
"""


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = _cells("th", COLUMNS)
    body = "".join(f"<tr>{_cells('td', loading_cells(row))}</tr>" for row in rows)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(tag: str, texts: Sequence[str]) -> str:
    """Cells of a row; those of the columns of numbers are aligned on the right."""
    kinds = ("" if at in (0, 2) else ' class="n"' for at in range(len(texts)))
    return "".join(f"<{tag}{kind}>{escape(text)}</{tag}>" for kind, text in zip(kinds, texts, strict=True))
