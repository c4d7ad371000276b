"""Random windows by our views, against loops over the same arrays and the readers of other projects, in turns, medians.

    python -m benchmarks.views --megabytes 300 --data FOLDER --only in_process workers

FOLDER keeps the games that are played for it and the large datasets that are made; without it that is done anew.
`--docs` writes the table and the plot of docs/loading.md anew.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, print_table
from benchmarks.view_chart import draw, renew
from benchmarks.view_data import GAMES, Played, exported, jpegs_of, played
from benchmarks.view_peers import frames_by_lance, windows_by, write_lance
from pipeline.dataset.reader import EpisodeDataset
from pipeline.machine.memory import keep_freed_memory
from pipeline.machine.threads import available_cores
from pipeline.views.bench.data import FIELDS
from pipeline.views.bench.readers import ArrayReader, Draws, by_tensorstore, by_zarr_python, memory_mapped
from pipeline.views.bench.training import Trainer
from pipeline.views.loader import Loader
from pipeline.views.windows import Windows
from tests.interop.side import run_by, tool

DOCS = Path(__file__).parent.parent / "docs"

LENGTH, SIZE = 32, 128
WINDOWS = 10_000
"""The times in the table are for so many windows."""

TURNS, SECONDS = 5, 0.4
"""How often each reader has its turn, and how long it takes."""


@dataclass
class Bench:
    """The data, and how long is measured."""

    games: list[Played]
    folder: Path
    turns: int = TURNS
    seconds: float = SECONDS
    charted: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def rates(self, **readers: Iterator[Any]) -> dict[str, float]:
        """The median rate of each reader over its turns, in samples a second; a reader gives batches without end."""
        for batches in readers.values():
            next(batches)
        found: dict[str, list[float]] = {name: [] for name in readers}
        for _ in range(self.turns):
            for name, batches in readers.items():
                samples, start = 0, time.perf_counter()
                while not samples or time.perf_counter() - start < self.seconds:
                    samples += len(next(iter(next(batches).values())))
                found[name].append(samples / (time.perf_counter() - start))
        return {name: float(np.median(rates)) for name, rates in found.items()}

    def chart(self, title: str, rates: Mapping[str, float]) -> None:
        """Keep figures for the plot."""
        self.charted.setdefault(title, []).extend(rates.items())


def view(game: Played, storage: str, **settings: Any) -> Windows:
    """Random windows through the public class."""
    asked = {"length": LENGTH, "fields": FIELDS} | settings
    return Windows(game.root, game.name, storage=storage, **asked)


def in_process_of(windows: Windows, size: int = SIZE) -> Iterator[Any]:
    """Batches, one after the other, of a view that is read in this process."""
    start = 0
    while True:
        yield windows.batch(np.arange(start, start + size))
        start += size


def loaded(windows: Windows, workers: int, size: int = SIZE) -> Iterator[Any]:
    """Batches of a loader, epoch after epoch."""
    with closing(Loader(windows, size, workers)) as loader:
        while True:
            yield from loader


def drawn_from(dataset: EpisodeDataset, open_array: Callable[..., Any]) -> Iterator[Any]:
    """Batches of random windows that a plain loop slices out of arrays."""
    reader, draws = ArrayReader(dataset, FIELDS, LENGTH, open_array), Draws(dataset.lengths, LENGTH)
    rng = np.random.default_rng(0)
    while True:
        yield reader.read(*draws.random(rng, SIZE))


def row(work: str, rates: Mapping[str, float], ours: str, peer: str, times: float, words: str = "") -> Row:
    """A line of the table, of rates by the name of the reader; as many times the peer's rate are wanted."""
    note = f"{rates[ours]:,.0f}/s against {rates[peer]:,.0f}/s"
    return Row(work, WINDOWS / rates[ours], words or peer, WINDOWS / rates[peer], note=note, peer_goal=1 / times)


def in_process(bench: Bench) -> list[Row]:
    """Both storages in this process, against a loop over memory maps, zarr-python and tensorstore."""
    rows = []
    for game in bench.games:
        what = f"{WINDOWS:,} windows of {LENGTH} of {game.game}, {game.megabytes:,.0f} MB"
        rates = bench.rates(  # threads of the readers below would take their share of the memory
            bin=in_process_of(view(game, "bin")),
            memmap=drawn_from(game.dataset("bin"), memory_mapped),
        ) | bench.rates(
            zarr=in_process_of(view(game, "zarr")),
            tensorstore=drawn_from(game.dataset("zarr"), by_tensorstore),
            zarr_python=drawn_from(game.dataset("zarr"), by_zarr_python),
        )
        rows += [
            row(f"{what}, bin", rates, "bin", "memmap", 1.1, "a loop over memory maps"),
            row(f"{what}, zarr", rates, "zarr", "zarr_python", 25, "zarr-python"),
            row(f"{what}, zarr", rates, "zarr", "tensorstore", 3, "tensorstore, window by window"),
        ]
        names = {"bin": "view, bin", "zarr": "view, zarr", "memmap": "memory maps, bin"}
        bench.chart(game.game, {names.get(name, name.replace("_", "-")): rate for name, rate in rates.items()})
    return rows


def workers(bench: Bench) -> list[Row]:
    """One worker process, against the process itself."""
    rows = []
    for game in bench.games:
        for storage in ("bin", "zarr"):
            with closing(loaded(view(game, storage), 1)) as one:
                rates = bench.rates(own=in_process_of(view(game, storage)), one=one)
            what = f"{WINDOWS:,} windows of {LENGTH} of {game.game}, {storage}, one worker process"
            rows.append(row(what, rates, "one", "own", 0.5, "the process itself"))
            bench.chart(game.game, {f"view, {storage}, 1 worker": rates["one"]})
    return rows


FORMS = {"hdf5": "LRAM's way with its HDF5 files", "minari": "Minari", "lerobot": "LeRobot, delta timestamps"}


def forms(bench: Bench) -> list[Row]:
    """Exports of the busy game, read as their owners read them; ours are the first 30 MB of it, as theirs are."""
    rows = []
    game = bench.games[0]
    for form, words in FORMS.items():
        python = Path(sys.executable) if form == "hdf5" else tool().environment(form)
        place, count = exported(game, form, bench.folder)
        lengths = game.dataset("bin").lengths[:count].tolist()
        theirs = []
        rates = bench.rates(
            **{storage: in_process_of(view(game, storage, episodes=count)) for storage in ("zarr", "bin")}
        )
        for _ in range(2):
            found = run_by(python, windows_by, Path.cwd(), form, place, lengths, LENGTH, SIZE, 2 * bench.seconds)
            theirs.append(float(found["rate"]))
        rates["theirs"] = float(np.median(theirs))
        what = f"{WINDOWS:,} windows of {LENGTH} of {game.game}, {count} episodes"
        rows += [row(f"{what}, {storage}", rates, storage, "theirs", 20, words) for storage in ("zarr", "bin")]
        bench.chart(game.game, {words: rates["theirs"]})
    return rows


def waiting(bench: Bench) -> list[Row]:
    """A small network's training step with one worker process, against the step alone."""
    rows = []
    for game in bench.games:
        for storage in ("bin", "zarr"):
            with closing(loaded(view(game, storage), 1)) as batches:
                batch = next(batches)
                trainer = Trainer(batch)
                alone = trainer.seconds(batch, 20)
                shares = [trainer.waiting(batches, 4 * bench.seconds, 1) for _ in range(3)]
            share = float(np.median(shares))
            step = trainer.seconds(batch, 20)
            note = f"{share:.1%} of a step; a step alone {1000 * alone:.0f} ms"
            whole = step / max(1 - share, 1e-9)
            what = f"waiting in a training step, {game.game}, {storage}, one worker process"
            limit = ("a twentieth of the step", whole / 20)
            rows.append(Row(what, share * whole, "", None, *limit, note=note, limit_goal=1))
    return rows


def frames(bench: Bench) -> list[Row]:
    """4 frames, 5 apart, in batches of 64, by 4 workers: stored PNG and bin against JPEG in Lance."""
    rows = []
    game, python = bench.games[0], tool().environment("lance")
    asked = {"length": 4, "skip": 5}
    for what, storage, fields, wanted in (
        ("screens in colour, stored PNG", "zarr", ("frame", "action"), 2),
        ("grey 84 x 84, bin", "bin", ("observation", "action"), 5),
    ):
        jpegs = jpegs_of(game, fields[0], bench.folder)
        place = bench.folder / f"{fields[0]}.lance"
        run_by(python, write_lance, jpegs.file, jpegs.ends, jpegs.lengths, jpegs.actions, place)
        ours, theirs = [], []
        for _ in range(2):
            windows = view(game, storage, fields=fields, episodes=len(jpegs.lengths), **asked)
            with closing(loaded(windows, 4, 64)) as batches:
                for _ in range(10):
                    next(batches)
                ours.append(bench.rates(ours=batches)["ours"])
            found = run_by(python, frames_by_lance, place, jpegs.lengths, 4, 5, 64, 4, 100)
            theirs.append(float(found["rate"]))
        rates = {"ours": float(np.median(ours)), "lance": float(np.median(theirs))}
        work = f"{WINDOWS:,} samples of 4 frames of {game.game}, 5 apart, batch 64, 4 workers: {what}"
        rows.append(row(work, rates, "ours", "lance", wanted, "Lance, JPEG of the same frames"))
        names = {"ours": f"view, {what}", "lance": f"Lance, JPEG, {what.split(',')[0]}"}
        bench.chart("4 frames, 5 apart, 4 workers", {names[name]: rate for name, rate in rates.items()})
    return rows


def startup(bench: Bench) -> list[Row]:
    """How soon views of a million episodes are there."""
    from benchmarks.view_scale import startup_rows

    return startup_rows(bench.games[0].root)


def scale(bench: Bench) -> list[Row]:
    """What a sample of 100 million steps costs."""
    from benchmarks.view_scale import scale_rows

    return scale_rows(bench.games[0].root)


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "in_process": in_process,
    "workers": workers,
    "forms": forms,
    "frames": frames,
    "waiting": waiting,
    "startup": startup,
    "scale": scale,
}


@contextmanager
def prepared(megabytes: float, data: str | None, games: tuple[str, ...] = GAMES) -> Iterator[Bench]:
    """The games, in a folder that is kept where one is named; what else is made lies in one that is removed."""
    with ExitStack() as stack:
        root = data or stack.enter_context(tempfile.TemporaryDirectory())
        yield Bench(played(root, megabytes, games), Path(stack.enter_context(tempfile.TemporaryDirectory(dir=root))))


def measure(
    megabytes: float = 2_000,
    data: str | None = None,
    only: tuple[str, ...] = (),
    docs: bool = False,
    quick: bool = False,
) -> list[Row]:
    """The rows of each part; with `docs` they become the table and the plot of docs/loading.md.

    quick: little data of one game, read in the process alone.
    """
    keep_freed_memory()  # as run.py does
    games = GAMES[1:] if quick else GAMES  # no screens in colour
    megabytes, only = (30, ("in_process",)) if quick else (megabytes, only)
    with prepared(megabytes, data, games) as bench:
        bench.turns = 3 if quick else bench.turns
        rows = [each for name in only or PARTS for each in PARTS[name](bench)]
    if docs:
        cores = f"{available_cores()} cores, {platform.machine()}, Python {platform.python_version()}"
        renew(DOCS / "loading.md", rows, f"{cores}, {megabytes:,.0f} MB of frames:")
        draw(bench.charted, DOCS / "loading.svg")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=(), choices=PARTS)
    parser.add_argument("--megabytes", type=float, default=2_000, help="of both games together; 300 for trying it out")
    parser.add_argument("--data", help="a folder that keeps the games that are played")
    parser.add_argument("--docs", action="store_true", help="write the table and the plot of docs/loading.md anew")
    given = parser.parse_args()
    print_table(measure(given.megabytes, given.data, tuple(given.only), given.docs))
