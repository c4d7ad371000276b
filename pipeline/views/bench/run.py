"""One run of `stage=bench_loading`: each reader in turn, with each number of workers, warm and cold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from pipeline.views.bench.data import LeftOut, LoadingData
from pipeline.views.bench.measuring import Feed, Loading, measured, measured_cold
from pipeline.views.bench.training import Trainer


@dataclass
class LoadingBench:
    """What is to be measured, and what was.

    Attributes:
        batch_size: windows of a batch.
        workers: numbers of worker processes, each measured; 0 is the process itself.
        seconds: how long each reader reads, and how long the network learns from it.
        cold: whether readers are measured with nothing of their files in the page cache, too.
        train: whether a network learns from what they read.
        rows: what was measured.
        left_out: what could not be, and why.
        step_seconds: median time of a training step whose batch is there; None until a network has learned.
        device: what it learned on.
    """

    batch_size: int
    workers: Sequence[int]
    seconds: float
    cold: bool
    train: bool
    rows: list[Loading] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    step_seconds: float | None = None
    device: str = ""

    def measure(self, share: LoadingData, wanted: Sequence[str], small: int, advance: Callable[[int], object]) -> None:
        """Measure the wanted readers; of the forms of others, the first `small` episodes of the share."""
        for make in share.feeds(wanted, small):
            feed = make()
            if isinstance(feed, LeftOut):
                self.left_out.append(feed)
            else:
                self.rows.extend(self._rows(feed, share.length))
            advance(1)

    def _rows(self, feed: Feed, length: int) -> Iterator[Loading]:
        trainer = self._trainer(feed)
        for workers in self.workers:
            if not workers or feed.in_workers:
                yield measured(feed, self.batch_size, workers, self.seconds, trainer)
        if self.cold:
            row = measured_cold(feed, self.batch_size, self.seconds, length)
            if row is None:
                self.left_out.append(LeftOut(f"{feed.name}, cold", "its files stay in memory on this file system"))
            else:
                yield row

    def _trainer(self, feed: Feed) -> Trainer | None:
        if not self.train:
            return None
        with closing(feed.batches(self.batch_size, 0)) as batches:  # type: ignore[type-var]
            batch = next(batches)
        trainer = Trainer(batch)
        if self.step_seconds is None:
            self.step_seconds, self.device = trainer.seconds(batch), trainer.device
        return trainer
