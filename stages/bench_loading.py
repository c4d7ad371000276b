"""Bench loading: how fast random windows of a dataset are read, by our views and by the readers of others."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
from beartype import beartype
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.artifact import Artifact, Spec
from pipeline.artifacts.draft import Draft
from pipeline.campaign.console import wide_console
from pipeline.campaign.stage import StageFacts
from pipeline.dataset.prefix import episodes_parent
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.digest import digest_arrays
from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput, unknown_name
from pipeline.fingerprint import canonical
from pipeline.machine.files import write_atomic, write_json
from pipeline.machine.progress import progress
from pipeline.machine.provenance import Stopwatch
from pipeline.machine.threads import available_cores
from pipeline.report.index import FIGURES, INDEX, PAGE
from pipeline.report.loading import COLUMNS, LoadingFigures, busy_words, loading_cells, loading_page, machine_words
from pipeline.views.bench.data import READERS, LoadingData, leading, room_for_copies
from pipeline.views.bench.run import LoadingBench

KIND = "bench_loading"
FORMAT = 1

log = logging.getLogger(__name__)


@beartype
def foresee(
    *, dataset: str, length: int, batch_size: int, workers: list[int], seconds: float | int, only: list[str] | None
) -> None:
    """Raises InvalidInput for settings with which nothing can be measured."""
    check_dataset_name(dataset)
    if length < 1 or batch_size < 1 or seconds <= 0 or not workers or min(workers) < 0:
        raise InvalidInput(
            f"Windows of length={length} in batches of {batch_size} by {workers} workers for {seconds} s cannot be "
            "measured: stage.bench_loading.length, .batch_size and .seconds are above 0, .workers is a list such as "
            "[0,1]."
        )
    for name in only or ():
        if name not in READERS:
            raise unknown_name("reader", name, READERS)


FACTS = StageFacts(foresee=foresee)


@beartype
def run(
    *,
    domain: Domain,
    task: str,
    workspace: Workspace,
    dataset: str,
    episodes: int | None,
    length: int,
    batch_size: int,
    workers: list[int],
    cold: bool,
    train: bool,
    seconds: float | int,
    megabytes: float | int,
    small_megabytes: float | int,
    only: list[str] | None,
) -> Artifact:
    """A folder with `figures.json`, and `page/index.html`, which shows them; the table is printed, too.

    Every run measures anew and makes a folder of its own. What is copied for it is removed, also where it is
    interrupted. Raises ArtifactNotFound where there is no such dataset, InvalidInput where no window fits.
    """
    foresee(dataset=dataset, length=length, batch_size=batch_size, workers=workers, seconds=seconds, only=only)
    artifact = workspace.dataset(domain.name, task, dataset, episodes)
    whole = EpisodeDataset.of(artifact)
    if not (whole.lengths >= length).any():
        raise InvalidInput(
            f"No episode of {whole.name} has {length} states; the longest has {whole.lengths.max(initial=0)}. "
            "Take a shorter stage.bench_loading.length."
        )
    count = leading(whole, megabytes, length) if episodes is None else len(whole)
    small = min(leading(whole, small_megabytes, length), count)
    settings = {
        "length": length, "batch_size": batch_size, "workers": workers, "seconds": seconds, "episodes": count,
        "small_episodes": small, "readers": only or list(READERS),
        "measured": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }  # fmt: skip
    parents = (episodes_parent(artifact, whole, count),)
    spec = Spec(domain.name, task, KIND, FORMAT, settings, parents)
    limited = replace(artifact, episodes=count)

    stopwatch, busy = Stopwatch(), busy_words(os.getloadavg()[0], available_cores())
    bench = LoadingBench(batch_size, workers, float(seconds), cold, train)

    label, wanted = f"{domain.name}/{task}", only or READERS
    with (
        room_for_copies(workspace.root.parent) as work,
        progress(KIND, label, "readers", len(wanted) + ("view" in wanted)) as advance,
    ):
        share = LoadingData(limited, domain, workspace, length, work)
        bench.measure(share, wanted, small, advance)
    read = EpisodeDataset.of(limited)
    figures = LoadingFigures(
        read.name, read.digest(), read.states, settings, machine_words(), [each.as_json() for each in bench.rows],
        [(each.name, each.why) for each in bench.left_out], [*busy, *share.made],
        bench.step_seconds, bench.device,
    )  # fmt: skip
    _show(figures)
    made = workspace.build(spec, partial(_write, figures), stopwatch=stopwatch)
    log.info("bench_loading %s: %s", spec.label, made.path / PAGE / INDEX)
    return made


def _show(figures: LoadingFigures) -> None:
    """The table on the terminal, and what there is to say of it."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("reader", "cache") else "right", no_wrap=True)
    for row in figures.rows:
        table.add_row(*(Text(cell) for cell in loading_cells(row)))
    console = wide_console()
    console.print(f"{figures.what()} {figures.step()}", markup=False, highlight=False)
    console.print(table)
    for note in figures.notes():
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _write(figures: LoadingFigures, draft: Draft) -> None:
    write_json(draft.path / FIGURES, figures.to_json())
    page = loading_page(figures)
    write_atomic(draft.folder(PAGE) / INDEX, lambda file: file.write(page.encode()))
    content = np.frombuffer(canonical(figures.to_json()).encode(), np.uint8)
    draft.content(FIGURES, digest_arrays({FIGURES: content}))
    draft.counts |= {"states": figures.states, "readers": len(figures.rows)}
