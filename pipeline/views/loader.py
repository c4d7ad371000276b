"""Batches of a view, one epoch after the other: in one order, whoever reads them, and from where a state says."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from pipeline.errors import InvalidInput, PipelineError
from pipeline.machine.ahead import ahead
from pipeline.views.collate import sendable
from pipeline.views.shared import forget_ended_workers
from pipeline.views.view import View
from pipeline.wording import check_choice, check_count

CONTEXTS: Final = ("fork", "forkserver", "spawn")

RANKS: Final = ("rank", "world_size")
"""What a state may differ in: the samples that all ranks together have seen are the same."""

VERSION: Final = 1
"""Of what `state_dict` gives."""

FieldValues: TypeAlias = dict[str, Any]
"""Tensors, or arrays, of n samples by field."""


class Loader:
    """Batches of a view. One iteration is what is left of the present epoch; the next one is the next epoch.

    The order is the view's, for any number of workers. `state_dict` says what the trainer was given, not what was read
    ahead, so who loads it goes on with the very next sample: also with other workers, another size of batches, or on
    another number of ranks that divides the samples.

    >>> for epoch in range(loader.epoch, 10):  # doctest: +SKIP
    ...     for batch in loader:
    ...         train(batch["observation"], batch["action"])
    ...         torch.save({"loader": loader.state_dict(), ...}, "checkpoint.pt")

    Args:
        view: what is read; it knows seed, rank and world size.
        batch_size: samples of a batch.
        workers: processes that read; with 0 a thread of this one reads a batch ahead.
        numpy: arrays instead of tensors: torch is then not loaded, unless there are workers.
        drop_last: leave out the last batch of an epoch where it is smaller.
        pin_memory: tensors in page-locked memory, where there is an accelerator.
        prefetch: batches that each worker reads ahead; without workers, 0 means no thread.
        context: how workers are started: `forkserver`, `spawn` or `fork`.

    Raises InvalidInput for settings that make no batch.
    """

    def __init__(
        self,
        view: View,
        batch_size: int,
        workers: int = 0,
        *,
        numpy: bool = False,
        drop_last: bool = False,
        pin_memory: bool = False,
        prefetch: int = 2,
        context: str = "forkserver",
    ) -> None:
        if not callable(getattr(view, "batch", None)):
            raise InvalidInput(
                f"A Loader reads a view, such as Windows, Episodes or Transitions; {view!r} is none. Of a dataset that "
                "is open: Episodes.of(dataset)."
            )
        check_count("batch_size", batch_size)
        check_count("workers", workers, 0)
        check_count("prefetch", prefetch, 1 if workers else 0)
        check_choice("context", context, CONTEXTS)
        if numpy and pin_memory:
            raise InvalidInput("pin_memory=True is for tensors: leave it out, or numpy=True.")
        self.view, self.batch_size, self.workers, self.drop_last = view, batch_size, workers, drop_last
        self._numpy, self._pin_memory, self._prefetch, self._context = numpy, pin_memory, prefetch, context
        if not len(self):
            raise InvalidInput(
                f"{view} has {len(view)} samples of an epoch for this rank: no batch of batch_size={batch_size}"
                + (" with drop_last=True. Take a smaller one." if len(view) else ".")
            )
        self._spans = _Spans(len(view), batch_size, drop_last)
        self._epoch = self._sample = 0
        self._batches: Iterator[FieldValues] | None = None
        self._processes: Any = None
        self._known: Any = None

    @property
    def epoch(self) -> int:
        """The epoch whose batches the next iteration gives, counted from 0."""
        return self._epoch

    def __len__(self) -> int:
        """Batches of a whole epoch; the first iteration after `load_state_dict` gives those that are left."""
        full, rest = divmod(len(self.view), self.batch_size)
        return full + (1 if rest and not self.drop_last else 0)

    def __iter__(self) -> Iterator[FieldValues]:
        if self._lost_workers():
            self.close()
        epoch = self._epoch
        while self._epoch == epoch and (stop := self._spans.stop(self._sample)):
            batch = self._next()
            self._sample = stop
            yield batch
        if self._epoch == epoch:
            self._epoch, self._sample = epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the trainer stands, as plain numbers and texts: the same on all ranks that have had as many batches."""
        samples = self._sample * self.view.order.world_size
        return {"version": VERSION, "epoch": self._epoch, "samples": samples, "view": self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the last sample that was given out when `state` was made.

        Raises InvalidInput for a state of other samples, or of another order: it names what differs.
        """
        if not isinstance(state, Mapping):
            raise InvalidInput(f"{state!r} is no state of a Loader. Give what its state_dict() returned.")
        if set(state) != {"version", "epoch", "samples", "view"} or state["version"] != VERSION:
            raise InvalidInput(f"This is no state of a Loader of this version: {sorted(state)}. Begin without it.")
        check_count("epoch", state["epoch"], 0)
        check_count("samples", state["samples"], 0)
        if differences := _differences(state["view"], self._identity()):
            raise InvalidInput(_other_samples(differences))
        total, ranks = state["samples"], self.view.order.world_size
        if total % ranks and total < len(self.view) * ranks:
            raise InvalidInput(
                f"The state is behind {total} samples of epoch {state['epoch']}, which world_size={ranks} ranks cannot "
                "share equally. Take a world_size that divides them, or a state of the end of an epoch."
            )
        self._stop_reading()
        self._epoch, self._sample = state["epoch"], min(total // ranks, len(self.view))

    def close(self) -> None:
        """End the worker processes and give their memory back. The next iteration goes on, with new ones."""
        self._stop_reading()
        self._processes = None
        forget_ended_workers()

    def __repr__(self) -> str:
        return f"Loader({self.view}, batch_size={self.batch_size}, workers={self.workers}: {len(self):,} batches)"

    def _next(self) -> FieldValues:
        """The batch at which the trainer stands. After an error, the next try reads that batch again."""
        try:
            if self._batches is None:
                self._batches = self._read() if self.workers else self._read_here()
            batch = next(self._batches)
            if isinstance(batch, _Failure):
                raise batch.error
        except BaseException:
            self.close()
            raise
        return batch

    def _read_here(self) -> Iterator[FieldValues]:
        read = _Reading(self.view, self._numpy)
        batches: Iterator[FieldValues] = map(read.batch, self._spans.following(self._epoch, self._sample))
        if self._pins():
            batches = ({name: tensor.pin_memory() for name, tensor in batch.items()} for batch in batches)
        return ahead(batches) if self._prefetch else batches

    def _read(self) -> Iterator[FieldValues]:
        if self._processes is None:
            from torch.utils.data import DataLoader

            self._processes = DataLoader(
                _Reading(self.view, self._numpy),  # type: ignore[arg-type]
                batch_size=None,
                sampler=_Sampler(self._spans),
                num_workers=self.workers,
                collate_fn=_unchanged,
                pin_memory=self._pins(),
                prefetch_factor=self._prefetch,
                persistent_workers=True,
                multiprocessing_context=_context(self._context, self.view),
            )
        self._processes.sampler.start = self._epoch, self._sample
        return iter(self._processes)

    def _lost_workers(self) -> bool:
        """Whether a worker process has gone: torch tells the trainer wherever it stands, perhaps in code of its own."""
        running = getattr(getattr(self._processes, "_iterator", None), "_workers", ())
        return not all(worker.is_alive() for worker in running)

    def _pins(self) -> bool:
        if not self._pin_memory:
            return False
        import torch

        return torch.cuda.is_available()

    def _stop_reading(self) -> None:
        """What was read ahead is of no use any more."""
        batches, self._batches = self._batches, None
        if isinstance(batches, Generator):
            batches.close()

    def _identity(self) -> Any:
        if self._known is None:
            self._known = _without_ranks(json.loads(json.dumps(self.view.identity())))
        return self._known


class _Spans:
    """How an epoch of `length` samples is cut into batches."""

    def __init__(self, length: int, batch_size: int, drop_last: bool) -> None:
        self.length, self.batch_size, self.drop_last = length, batch_size, drop_last

    def stop(self, sample: int) -> int:
        """Where the batch ends that begins at a sample of an epoch; 0 where no batch is left."""
        stop = min(sample + self.batch_size, self.length)
        short = stop - sample < self.batch_size
        return 0 if stop == sample or (short and self.drop_last) else stop

    def following(self, epoch: int, sample: int) -> Iterator[tuple[int, int]]:
        """The numbers of each batch from there on, through all epochs: first and last + 1."""
        while True:
            while stop := self.stop(sample):
                first = epoch * self.length
                yield first + sample, first + stop
                sample = stop
            epoch, sample = epoch + 1, 0


class _Sampler:
    """What tells the worker processes which numbers to read."""

    def __init__(self, spans: _Spans) -> None:
        self._spans = spans
        self.start = 0, 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return self._spans.following(*self.start)


@dataclass(frozen=True)
class _Failure:
    """An error of ours in a worker process: it arrives as it was raised, where torch would send a traceback."""

    error: PipelineError


class _Reading:
    """Reads batches: the `dataset` of torch's workers."""

    def __init__(self, view: View, numpy: bool) -> None:
        self._view, self._numpy = view, numpy

    def batch(self, span: tuple[int, int]) -> FieldValues:
        return sendable(self._view.batch(np.arange(*span)), self._numpy)

    def __getitem__(self, span: tuple[int, int]) -> FieldValues | _Failure:
        try:
            return self.batch(span)
        except PipelineError as error:
            return _Failure(error)


def _unchanged(batch: Any) -> Any:
    return batch


def _context(name: str, view: View) -> Any:
    """How to start processes. The server that forks them imports torch and the view once, not each process anew."""
    context = multiprocessing.get_context(name)
    if name == "forkserver":
        context.set_forkserver_preload(["__main__", "torch.utils.data", type(view).__module__])
    return context


def _without_ranks(identity: Any) -> Any:
    if isinstance(identity, list):
        return [_without_ranks(each) for each in identity]
    if not isinstance(identity, dict):
        return identity
    return {name: _without_ranks(value) for name, value in identity.items() if name not in RANKS}


def _differences(there: Any, here: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """By the name of a setting: its value in a state, and in a view."""
    if isinstance(there, dict) and isinstance(here, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in {**there, **here}:
            found |= _differences(there.get(key), here.get(key), f"{name}.{key}" if name else key)
        return found
    return {} if there == here else {name: (there, here)}


def _other_samples(differences: dict[str, tuple[Any, Any]]) -> str:
    listed = "; ".join(f"{name} is {there} there and {here} here" for name, (there, here) in differences.items())
    there, here = differences.get("episodes", (None, None))
    grown = isinstance(there, int) and isinstance(here, int) and there < here
    hint = f" The dataset has grown: episodes={there} gives the view those of the state." if grown else ""
    return (
        f"The state is of other samples than this view's: {listed}.{hint} Make the view as it was, or begin without it."
    )
