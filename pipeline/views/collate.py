"""Batches for a torch `DataLoader`: what was read at once stays one batch, in the memory into which it was read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple, overload

import numpy as np
from jaxtyping import Shaped

from pipeline.views.buffers import Buffers, in_worker_process
from pipeline.views.shared import Loan, SharedLease

FieldArrays = Mapping[str, Shaped[np.ndarray, "n ..."]]


NUMBERS = "biufc"
"""Kinds of dtypes that torch has, too."""


class Sample(dict[str, Any]):
    """One sample of a `SampleList`: arrays by field. torch's `default_collate` knows this type."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._given = tuple(fields.items())

    def is_changed(self) -> bool:
        """Whether a field was put in, taken out or replaced. Who writes into an array writes into the batch."""
        return len(self) != len(self._given) or any(self.get(name) is not value for name, value in self._given)


class SampleList(Sequence[Sample]):
    """The samples of a batch that was read at once; each is made when it is asked for.

    Args:
        batch: arrays of n samples by field.
        count: n.
    """

    def __init__(self, batch: FieldArrays, count: int) -> None:
        self.batch, self._count = batch, count
        self._made: dict[int, Sample] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        number = range(self._count)[index]
        if number not in self._made:
            self._made[number] = Sample({name: array[number] for name, array in self.batch.items()})
        return self._made[number]

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(self._count))

    def is_changed(self) -> bool:
        """Whether a sample was changed since."""
        return any(sample.is_changed() for sample in self._made.values())


def know_samples() -> None:
    """Let torch's `default_collate` take a `SampleList` as the batch that it is, where torch is loaded."""
    collate = sys.modules.get("torch.utils.data._utils.collate")
    known = getattr(collate, "default_collate_fn_map", None)
    if known is not None:
        known.setdefault(Sample, _collated)


def _collated(samples: Sequence[Sample], *, collate_fn_map: dict[Any, Callable[..., Any]] | None = None) -> Any:
    """The batch, as tensors; stacked anew where these are other samples than those that were read together."""
    if isinstance(samples, SampleList) and not samples.is_changed():
        return sendable(samples.batch)
    from torch.utils.data._utils.collate import collate

    return collate([dict(sample) for sample in samples], collate_fn_map=collate_fn_map)


def sendable(batch: FieldArrays, numpy: bool = False) -> dict[str, Any]:
    """The batch as tensors in the same memory, or as arrays. In a worker process: so that sending copies nothing."""
    batch = {name: _array(value) for name, value in batch.items()}
    if not in_worker_process():
        return batch if numpy else tensors(batch)
    shared = _shared(batch)
    return _Sendable(dict(shared) if numpy else tensors(shared), shared, numpy)


def _shared(batch: FieldArrays) -> FieldArrays:
    """The batch, with a copy of each array that does not lie in memory that the trainer can map."""
    others = {name: array for name, array in batch.items() if array.dtype.kind in NUMBERS and not _lease_of(array)}
    copies = _COPIES.take({name: (array.shape, array.dtype) for name, array in others.items()})
    for name, array in others.items():
        copies[name][...] = array
    return {name: copies.get(name, array) for name, array in batch.items()}


_COPIES = Buffers()


def tensors(batch: FieldArrays) -> dict[str, Any]:
    """The arrays as tensors in the same memory."""
    import torch

    return {name: torch.from_numpy(array if array.flags.writeable else array.copy()) for name, array in batch.items()}


class _Sendable(dict[str, Any]):
    """A batch of a worker process. Sent, it is a plain dict whose tensors or arrays lie where they lay."""

    def __init__(self, values: dict[str, Any], batch: FieldArrays, numpy: bool) -> None:
        super().__init__(values)
        self._given = {name: (value, batch[name]) for name, value in values.items()}
        self._numpy = numpy

    def __reduce__(self) -> tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]:
        leases: dict[int, tuple[SharedLease, dict[str, _Place]]] = {}
        others: dict[str, Any] = {}
        for name, value in self.items():
            array = self._array(name, value)
            lease = None if array is None else _lease_of(array)
            if array is None or lease is None:
                others[name] = value
            else:
                leases.setdefault(id(lease), (lease, {}))[1][name] = _place(array, lease)
        parts = []
        for lease, places in leases.values():
            if (loan := lease.lend()) is None:  # the trainer has it from another batch that shares the memory
                others |= {name: self[name] for name in places}
            else:
                parts.append((loan, places))
        return _received, (tuple(self), parts, {name: _copied(value) for name, value in others.items()}, self._numpy)

    def _array(self, name: str, value: Any) -> np.ndarray | None:
        """The array of a value that is still the one that was read."""
        given, array = self._given.get(name, (None, None))
        return array if value is given else None

    def __copy__(self) -> dict[str, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(dict(self), memo)


class _Place(NamedTuple):
    """Where an array lies in its piece of memory."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def _place(array: np.ndarray, lease: SharedLease) -> _Place:
    offset = array.__array_interface__["data"][0] - lease.__array_interface__["data"][0]
    return _Place(offset, array.shape, array.dtype.str)


def _lease_of(array: np.ndarray) -> SharedLease | None:
    """The memory that an array lies in, where that can be lent to the trainer and the array lies in one go."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    plain = array.flags.c_contiguous and array.nbytes and array.dtype.kind in NUMBERS
    return base if isinstance(base, SharedLease) and plain else None


def _copied(value: Any) -> Any:
    """What to send of a value that no shared memory holds: a tensor, which torch copies into some of its own."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in NUMBERS:
        return value
    return tensors({"": value})[""]


def _received(
    names: Sequence[str], parts: Sequence[tuple[Loan, dict[str, _Place]]], others: dict[str, Any], numpy: bool
) -> dict[str, Any]:
    """A batch as the trainer has it."""
    found: dict[str, Any] = {}
    for loan, places in parts:
        memory = loan.array()
        for name, (offset, shape, dtype) in places.items():
            found[name] = np.ndarray(shape, dtype, memory, offset)
    found = (found if numpy else tensors(found)) | others
    return {name: _array(found[name]) if numpy else found[name] for name in names}


def _array(value: Any) -> Any:
    """The array of a tensor; what is none stays as it is."""
    return value.numpy() if hasattr(value, "numpy") else value
