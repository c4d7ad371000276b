"""Exact k-nearest-neighbour search, by distance or by cosine, with one excluded range per query."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from pipeline.machine.threads import available_cores
from pipeline.search.crowds import Crowds
from pipeline.search.metric import Metric, check_metric
from pipeline.search.panels import Panels, Strips, pack_panels, pack_strips
from pipeline.search.pool import DistinctVectors, distinct
from pipeline.search.tiles import fill_rows, search_task
from pipeline.search.vectors import first_not_finite, unit_vectors

if TYPE_CHECKING:
    import torch

    from pipeline.search.bytes import ByteKeys
    from pipeline.search.device import DeviceSearch

SMALL_WORK = 1 << 21  # multiply-adds below which waking threads costs more than it saves
FEW = 4_095  # vectors of a pool that is searched in strips
MOSTLY = 0.9  # of the queries tried; where bytes leave more undecided, an index tries them no more
DEVICE_WORK = 1 << 30  # multiply-adds below which a GPU is left alone: it would spend its time starting kernels


@dataclass(frozen=True)
class Neighbours:
    """The nearest keys of each query.

    rows: (q, k) int32 rows into the keys, ascending by (squared distance, row), for the cosine by (-similarity, row).
    candidates: (q,) int64, the keys each query could retrieve; where this is below k, the last k - candidates
        entries of its rows repeat the last eligible key.
    """

    rows: Int32[np.ndarray, "q k"]
    candidates: Int64[np.ndarray, " q"]


class ExactIndex:
    """The k keys nearest to each query, exactly and reproducibly.

    metric "l2": the distance is the sum over dimensions, in order, of squared differences taken and added in float64.

    metric "cosine": keys and queries are first divided by their lengths: the length is the root of the sum of squares
    added in order in float64, and each quotient is rounded once to float32; a zero vector stays zero. The similarity
    is the sum over dimensions, in order, of products of these float32 units taken and added in float64; the largest
    comes first, and a zero vector has similarity 0 with everything. So multiples of one vector tie (unless a quotient
    lies within its last float64 bit of the middle between two float32 numbers). The float64 cosine of the vectors
    themselves differs from this similarity by at most 1.3e-7 and typically by 1e-9 at 512 dimensions; of two keys whose
    cosines differ by more than 2.6e-7 the more similar one is always first.

    Equal distances or similarities go to the smaller row. Equal keys are searched once. Candidates come from a float32
    matrix product with a proven error bound; where the bound leaves too many, a product about the centre of a crowd of
    vectors does (pipeline.search.crowds), and then float64. Where the processor has an instruction for products of
    bytes (AVX-512 VNNI), most queries of a pool of 4,096 vectors or more need no other product
    (pipeline.search.bytewise). No result depends on tiles, threads, batches, devices, processors or the BLAS in use.

    keys: (n, d) float32, finite, n >= 1 and d >= 1. Not copied when C-contiguous: do not change them afterwards.
    threads: worker threads of `search`; None means every core this process may use.
    device: "cpu"; or "cuda" or "cuda:N" for the same search in torch on that device (pipeline.search.device says what
        runs where); "torch-cpu" runs that code without a GPU, which is slow and meant for tests.

    Little of the cost is fixed, so an index of its own for each of many small pools, asked some hundred queries at a
    time, is fine; the vectors are prepared at the first search.

    Raises ValueError for another dtype or shape, for a value that is not finite, and for threads < 1; UnknownName
    for an unknown metric, InvalidInput for a device that is not there.

    Source: REGENT (arXiv:2412.04759), offline retrieval; upstream asks an approximate index whose effort is tuned by
    wall clock, this is what it approximates (REGENT preprocessing, exact search decision).
    """

    def __init__(
        self,
        keys: Float32[np.ndarray, "n d"],
        metric: Metric = "l2",
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        self._device = None if device == "cpu" else _torch_device(device)
        _check_vectors("keys", keys, self._device)
        if keys.shape[0] == 0 or keys.shape[1] == 0:
            raise ValueError(f"keys: wanted at least one row and one column, found shape {keys.shape}")
        check_metric(metric)
        if threads is not None and threads < 1:
            raise ValueError(f"threads: wanted at least 1 or None, found {threads}")
        self.keys = np.ascontiguousarray(keys)
        self.metric: Metric = metric
        self.threads = threads if threads is not None else available_cores()
        self.device = device

    def __len__(self) -> int:
        return len(self.keys)

    def __reduce__(self) -> tuple[type[ExactIndex], tuple[Any, ...]]:
        """Sent to another process without what searches have prepared, which would be several times the keys."""
        return ExactIndex, (self.keys, self.metric, self.threads, self.device)

    def search(
        self,
        queries: Float32[np.ndarray, "q d"],
        k: int,
        excluded: Int64[np.ndarray, "q 2"] | None = None,
    ) -> Neighbours:
        """The k nearest keys of every query.

        queries: (q, d) float32, finite; q may be 0.
        k: neighbours per query, >= 1; may exceed the number of keys.
        excluded: (q, 2) int64, the range [start, stop) of key rows that a query never retrieves (its own episode);
            start == stop excludes nothing. None excludes nothing for every query.

        Raises ValueError for other dtypes or shapes, values that are not finite, k < 1, a range outside
        0 <= start <= stop <= n, and a query whose range leaves no candidate.
        """
        n, d = self.keys.shape
        _check_vectors("queries", queries, self._device)
        if queries.shape[1] != d:
            raise ValueError(f"queries: wanted {d} columns like the keys, found shape {queries.shape}")
        if k < 1:
            raise ValueError(f"k: wanted at least 1, found {k}")
        ranges = _check_ranges(excluded, len(queries), n)
        rows = np.empty((len(queries), k), dtype=np.int32)
        self._fill(rows, np.ascontiguousarray(queries), ranges)
        return Neighbours(rows=rows, candidates=n - (ranges[:, 1] - ranges[:, 0]))

    def _fill(
        self, rows: Int32[np.ndarray, "q k"], queries: Float32[np.ndarray, "q d"], ranges: Int64[np.ndarray, "q 2"]
    ) -> None:
        if self.metric == "cosine":
            directed = queries.any(axis=1)
            if not directed.all():  # a zero query is equally near to every key, which only a full scan would prove
                rows[~directed] = _first_rows(ranges[~directed], rows.shape[1], len(self.keys))
                some = np.empty((int(directed.sum()), rows.shape[1]), dtype=np.int32)
                self._run(some, queries[directed], ranges[directed])
                rows[directed] = some
                return
        self._run(rows, queries, ranges)

    def _run(
        self, rows: Int32[np.ndarray, "q k"], queries: Float32[np.ndarray, "q d"], ranges: Int64[np.ndarray, "q 2"]
    ) -> None:
        work = len(queries) * self.keys.size
        if self._device is not None and (self._device.type != "cuda" or work >= DEVICE_WORK):
            self._on_device.run(queries, ranges, rows)
            return
        if self.metric == "cosine":
            queries = unit_vectors(queries)
        threads = self.threads if work > SMALL_WORK else 1
        left = self._quickly(queries, ranges, rows, threads)
        if len(left) == len(queries):
            fill_rows(search_task(self, queries, ranges, rows), threads)
        elif len(left):
            some = np.empty((len(left), rows.shape[1]), dtype=np.int32)
            fill_rows(search_task(self, queries[left], ranges[left], some), threads)
            rows[left] = some

    def _quickly(
        self,
        queries: Float32[np.ndarray, "q d"],
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        threads: int,
    ) -> Int64[np.ndarray, "left"]:
        """Fill the rows that the fastest way decides; return the other queries."""
        from pipeline.search.bytewise import worth_bytes
        from pipeline.search.strips import fill_by_strips

        if worth_bytes(self.pool, rows.shape[1]):
            return self._by_bytes(queries, ranges, rows, threads)
        if len(self.pool) <= FEW:
            return fill_by_strips(self.pool, self._strips, queries, ranges, rows, threads)
        return np.arange(len(queries))

    def _by_bytes(
        self,
        queries: Float32[np.ndarray, "q d"],
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        threads: int,
    ) -> Int64[np.ndarray, "left"]:
        """Fill the rows that products of bytes decide, unless they have proven useless; return the other queries."""
        from pipeline.search.bytewise import ByteSearch, fill_by_bytes

        keys = self._bytes
        if keys is None:
            return np.arange(len(queries))
        search = ByteSearch(self.pool, keys, queries, ranges, self.pool.spans(ranges), rows)
        crowded = self._in_known_crowds(queries)
        tried = np.flatnonzero(~crowded)
        if len(tried) == len(queries):
            left = fill_by_bytes(search, threads)
        else:
            part = search.some(tried)
            left = tried[fill_by_bytes(part, threads)]
            rows[tried] = part.rows
        if len(left) > MOSTLY * len(tried):
            self._bytes = None  # these keys are too much alike for bytes
        crowded[left] = True
        return np.flatnonzero(crowded)

    def _in_known_crowds(self, queries: Float32[np.ndarray, "q d"]) -> Bool[np.ndarray, "q"]:
        """Which queries lie in crowds that earlier ones have taught: bytes would not decide those."""
        inside = np.zeros(len(queries), dtype=np.bool_)
        if "crowds" in vars(self):
            for _, which in self.crowds.around(queries):
                inside[which] = True
        return inside

    @functools.cached_property
    def pool(self) -> DistinctVectors:
        cosine = self.metric == "cosine"
        return distinct(unit_vectors(self.keys) if cosine else self.keys, cosine)

    @functools.cached_property
    def panels(self) -> Panels:
        return pack_panels(self.pool.vectors, self.pool.cosine)

    @functools.cached_property
    def _strips(self) -> Strips:
        return pack_strips(self.pool.vectors, self.pool.cosine)

    @functools.cached_property
    def crowds(self) -> Crowds:
        return Crowds(self.pool, self.panels)

    @functools.cached_property
    def _bytes(self) -> ByteKeys | None:
        from pipeline.search.bytewise import prepared

        return prepared(self.pool)

    @functools.cached_property
    def _on_device(self) -> DeviceSearch:
        from pipeline.search.device import DeviceSearch

        assert self._device is not None
        return DeviceSearch(self.keys, self.metric, self._device)


def _torch_device(name: str) -> torch.device:
    from pipeline.search.device import torch_device  # not at the top: only this needs torch

    return torch_device(name)


def _first_rows(ranges: Int64[np.ndarray, "q 2"], k: int, n: int) -> Int32[np.ndarray, "q k"]:
    """(q, k) int32: the first eligible rows, the last one repeated where there are fewer."""
    start, stop = ranges[:, :1], ranges[:, 1:]
    eligible = np.minimum(np.arange(k), n - (stop - start) - 1)
    return np.where(eligible < start, eligible, eligible + (stop - start)).astype(np.int32)


def _check_vectors(name: str, vectors: Float32[np.ndarray, "n d"], device: torch.device | None) -> None:
    if vectors.ndim != 2 or vectors.dtype != np.float32:
        raise ValueError(f"{name}: wanted a 2-d float32 array, found {vectors.ndim}-d {vectors.dtype}")
    if device is None:
        row = first_not_finite(np.ascontiguousarray(vectors).view(np.uint32))
    else:
        from pipeline.search.device_copies import first_not_finite_row  # with all cores: a GPU would wait for one

        row = first_not_finite_row(vectors)
    if row >= 0:
        raise ValueError(f"{name}: wanted finite values, found {vectors[row]} in row {row}")


def _check_ranges(excluded: Int64[np.ndarray, "q 2"] | None, queries: int, keys: int) -> Int64[np.ndarray, "q 2"]:
    if excluded is None:
        return np.zeros((queries, 2), dtype=np.int64)
    if excluded.shape != (queries, 2) or not np.issubdtype(excluded.dtype, np.integer):
        raise ValueError(
            f"excluded: wanted integers of shape {(queries, 2)}, found {excluded.dtype} of {excluded.shape}"
        )
    ranges = np.ascontiguousarray(excluded, dtype=np.int64)
    starts, stops = ranges[:, 0], ranges[:, 1]
    wrong = (starts < 0) | (stops < starts) | (stops > keys) | (stops - starts == keys)
    if not wrong.any():
        return ranges
    row = int(np.argmax(wrong))
    if tuple(ranges[row]) == (0, keys):
        raise ValueError(f"excluded: wanted at least one candidate, query {row} excludes all {keys} keys")
    raise ValueError(f"excluded: wanted 0 <= start <= stop <= {keys}, found {ranges[row]} for query {row}")
