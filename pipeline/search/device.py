"""The same search in torch, for a GPU.

As on the CPU, one augmented product bounds the scores from below (pipeline.search.device_side); what differs is how
candidates are selected. Of every tile of scores the groups with the smallest minima are kept, of their scores the
smallest, and of what is dropped the smallest: its `floor`. k kept vectors with upper bounds <= u prove the rest
irrelevant when the floor lies above u. The first product is in TF32; queries without that proof get one in float32,
then one in float64 with longer lists, and, where that does not do either, the float64 score of every vector
(pipeline.search.device_order, which also puts the lists in order).

What a GPU has to do, for 100,000 queries and keys, k = 100, by an H100's data sheet (3 TB/s of memory; some 50 TFLOP/s
in float32, 400 in TF32; the bus 25 to 50 GB/s). Speed on a GPU has not been measured.

==========================================  =========  =========
work                                        512-d      39-d
==========================================  =========  =========
the product, 10.4 and 0.96 TFLOP, in TF32   26 ms      3 ms
the same in float32, where TF32 decides not (210 ms)   (19 ms)
10^10 scores written, 40 GB                 13 ms      13 ms
read once, for the smallest of 32           13 ms      13 ms
two selections among 1/32 and 1/19 of that  10 ms      10 ms
110 candidates' terms in float32, 20 B each 38 ms      3 ms
keys and queries sent, 410 and 31 MB        8-16 ms    1 ms
rows back, 40 MB                            1-2 ms     1-2 ms
==========================================  =========  =========

So passes over the scores are what counts in few dimensions, and in many the candidates' terms as much as the product.
For each RANK_TILE queries the processor waits for the device twice: which are proven, and which scores are in doubt.

Temporaries stay below about 3 * MEMORY; beside them the device holds the vectors twice, and one and two more times
once a query has needed the products in float32 and float64.
"""

from __future__ import annotations

import functools
import threading
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64

from pipeline.errors import InvalidInput
from pipeline.search.device_copies import Inbox, sent
from pipeline.search.device_order import DeviceOrder
from pipeline.search.device_pool import DevicePool, device_pool, unit_rows
from pipeline.search.device_side import DOUBLE, SINGLE, TF32, Grade, Placement, Side, left_side, placement, right_side
from pipeline.search.metric import Metric
from pipeline.search.precision import check_products, full_precision, tensor_cores, tensor_cores_read_tf32
from pipeline.search.shortlist import NEVER, UNLIMITED

MEMORY = 1 << 30  # bytes for the temporaries of one query tile
QUERY_TILE = 2048  # queries of one product, at most
KEY_TILE = 1 << 17  # vectors of one product, at most; a multiple of GROUP
RANK_TILE = 8192  # queries whose shortlists are ranked together: fewer and larger kernels
GROUP = 32  # consecutive vectors of which only the smallest score is compared at first

_LOCK = threading.Lock()  # the precision of products belongs to the process: one caller at a time sets it


def torch_device(name: str) -> torch.device:
    """The device of "cuda", "cuda:N" or "torch-cpu". Raises InvalidInput where there is none such."""
    if name == "torch-cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise InvalidInput(f"device: wanted cpu, cuda or cuda:N, found {name}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        raise InvalidInput(f"device: {name} was asked for and torch finds {count} CUDA devices here; use device cpu")
    return torch.device(name)


@dataclass(frozen=True)
class _Task:
    """What one call of `run` asks for."""

    queries: Float32[np.ndarray, "q d"]
    ranges: Int64[np.ndarray, "q 2"]
    k: int
    inbox: Inbox


class DeviceSearch:
    """Keys (n, d) on a torch device, where they are prepared at the first search."""

    def __init__(self, keys: Float32[np.ndarray, "n d"], metric: Metric, device: torch.device) -> None:
        self._keys, self._cosine, self.device = keys, metric == "cosine", device

    def run(
        self, queries: Float32[np.ndarray, "q d"], ranges: Int64[np.ndarray, "q 2"], rows: Int32[np.ndarray, "q k"]
    ) -> None:
        """Fill `rows` (q, k) for queries (q, d) with excluded ranges of rows (q, 2). Waits for other searches.

        Queries of a cosine search are scaled to length one here; none may be zero.
        """
        inbox = Inbox(rows)
        with _LOCK, full_precision():
            check_products(self.device)
            task = _Task(queries, ranges, rows.shape[1], inbox)
            left = np.arange(len(queries))
            for grade, spare in self._steps(task.k):
                left = self._graded(grade, min(task.k + spare, len(self._pool)), task, left)
            batch = max(1, MEMORY // (64 * len(self._pool)))
            for start in range(0, len(left), batch):
                some = left[start : start + batch]
                inbox.take(some, self._order.rank_all(*self._asked(task, some), task.k))
            inbox.finish()

    def _steps(self, k: int) -> list[tuple[Grade, int]]:
        """The grades of products, one after the other, and how many vectors more than k are listed."""
        steps = [(SINGLE, max(64, k // 4)), (DOUBLE, 3 * k + 1024)]
        return [(TF32, max(64, k // 2)), *steps] if tensor_cores_read_tf32(self.device) else steps

    @functools.cached_property
    def _pool(self) -> DevicePool:
        return device_pool(self._keys, self._cosine, self.device)

    @functools.cached_property
    def _order(self) -> DeviceOrder:
        return DeviceOrder(self._pool, MEMORY)

    @functools.cached_property
    def _place(self) -> Placement:
        return placement(self._pool)

    @functools.cached_property
    def _sides(self) -> dict[Grade, Side]:
        return {}

    def _side(self, grade: Grade) -> Side:
        if grade not in self._sides:
            self._sides[grade] = right_side(self._pool, self._place, grade, GROUP)
        return self._sides[grade]

    def _asked(self, task: _Task, some: Int64[np.ndarray, "m"]) -> tuple[torch.Tensor, torch.Tensor]:
        """Some of the queries (m, d) on the device, of length one for the cosine, and their excluded rows (m, 2)."""
        queries = sent(task.queries[some], self.device)
        return unit_rows(queries) if self._cosine else queries, sent(task.ranges[some], self.device)

    def _graded(self, grade: Grade, kept: int, task: _Task, asked: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "left"]:
        """Answer the queries in `asked` that one grade of products proves; return the others."""
        # Ranked together: as many queries as the kernels need to be large, and as the memory allows.
        batch = max(1, min(RANK_TILE, MEMORY // (96 * kept)))
        left = []
        for start in range(0, len(asked), batch):
            some = asked[start : start + batch]
            left.append(self._proven(self._side(grade), kept, task, some))
            if grade.coarse and 2 * len(left[-1]) > len(some):  # the vectors lie too close: no more of this
                left.append(asked[start + batch :])
                break
        return np.concatenate(left) if left else asked

    def _proven(self, side: Side, kept: int, task: _Task, some: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "left"]:
        """Answer the queries in `some` whose nearest are proven to be among `kept` candidates; return the others."""
        key_tile = min(KEY_TILE, len(side.right))
        itemsize = side.right.dtype.itemsize
        tile = max(1, min(QUERY_TILE, MEMORY // (itemsize * (key_tile + 3 * kept * GROUP))))
        asked, bounds = self._asked(task, some)
        spans = self._pool.spans(task.ranges[some])
        found = []
        for start in range(0, len(some), tile):
            part = slice(start, start + tile)
            found.append(self._candidates(side, asked[part], spans[part], bounds[part], task.k, kept, key_tile))
        listed, counts = (torch.cat(parts) for parts in zip(*found, strict=True))
        counted = counts.cpu()
        decided = (counted >= 0).numpy()
        if decided.any():
            listed = listed[:, : int(counted.max())]
            if not decided.all():
                proven = counts >= 0
                asked, listed, counts, bounds = asked[proven], listed[proven], counts[proven], bounds[proven]
            task.inbox.take(some[decided], self._order.rank(asked, listed, counts, bounds, task.k))
        return some[~decided]

    def _candidates(
        self,
        side: Side,
        queries: torch.Tensor,
        spans: Int64[np.ndarray, "m 2"],
        bounds: torch.Tensor,
        k: int,
        kept: int,
        key_tile: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(m, <= kept) vector numbers by lower bound, and (m,) how many may be among the nearest; -1 if unproven."""
        sides = left_side(side, queries)
        m, u = len(queries), len(side.right)
        buffer = torch.empty(m * key_tile, dtype=side.right.dtype, device=self.device)
        lows, listed = sides.left[:, :0], torch.empty((m, 0), dtype=torch.int64, device=self.device)
        floor = torch.full_like(sides.widths, float("inf"))
        for first in range(0, u, key_tile):
            width = min(key_tile, u - first)
            scores = buffer[: m * width].view(m, width)
            with tensor_cores(self.device) if side.grade.coarse else nullcontext():
                torch.mm(sides.left, side.right[first : first + width].T, out=scores)
            self._hide(scores, first, spans, bounds)
            more, numbers, dropped = _smallest_in_groups(scores.view(m, width // GROUP, GROUP), kept)
            floor = torch.minimum(floor, dropped)
            if first == 0:
                lows, listed = more, numbers
                continue
            lows, order, dropped = _smallest(torch.cat([lows, more], dim=1), kept)
            listed = torch.cat([listed, first + numbers], dim=1).gather(1, order)
            floor = torch.minimum(floor, dropped)
        limit = torch.full((m,), float(UNLIMITED), dtype=torch.float64, device=self.device)
        if k <= lows.shape[1]:
            highs = lows.double() + 2 * sides.widths.double()[:, None] * side.norms[listed].double()
            limit = torch.minimum(limit, highs.topk(k, dim=1, largest=False).values.amax(dim=1) + 2 * sides.pads)
        counts = (lows <= limit[:, None]).sum(dim=1)
        return listed, torch.where((floor > limit) & ~sides.far, counts, -1)

    def _hide(self, scores: torch.Tensor, first: int, spans: Int64[np.ndarray, "m 2"], bounds: torch.Tensor) -> None:
        """Put the scores of excluded vectors above all others; spans (m, 2) on the host say where they may be."""
        inside = np.clip(spans - first, 0, scores.shape[1])
        longest = int((inside[:, 1] - inside[:, 0]).max())
        if longest == 0:
            return
        start, stop = (ends[:, None] for ends in sent(inside, self.device).T)
        for some in torch.split(torch.arange(longest, device=self.device), max(1, MEMORY // (64 * len(scores)))):
            places = torch.minimum(start + some, stop - 1).clamp(min=0)  # where there are fewer, the last one again
            hidden = (places >= start) & (places < stop) & self._pool.hidden(first + places, bounds)
            scores.scatter_(1, places, scores.gather(1, places).masked_fill_(hidden, float(NEVER)))


def _smallest_in_groups(scores: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of scores (m, groups, GROUP) the `kept` smallest of each row, ascending; their numbers; a bound of the others."""
    _, groups, dropped = _smallest(scores.amin(dim=2), kept)
    chosen = scores.gather(1, groups[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    lows, order, least = _smallest(chosen, kept)
    numbers = groups.gather(1, order // GROUP) * GROUP + order % GROUP
    return lows, numbers, torch.minimum(dropped, least)


def _smallest(values: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `kept` smallest of each row, ascending; their places; the smallest of those dropped, infinity if none."""
    if values.shape[1] <= kept:
        ordered, places = values.sort(dim=1)
        return ordered, places, torch.full_like(values[:, 0], float("inf"))
    ordered, places = values.topk(kept + 1, dim=1, largest=False, sorted=True)
    return ordered[:, :kept], places[:, :kept], ordered[:, kept]
