"""The same search in torch, for a GPU.

As on the CPU, one augmented product bounds the scores from below (pipeline.search.panels has the proof, which holds for
any order of adding and so for any matrix library); what differs is how candidates are selected. Of every tile of scores
the groups with the smallest minima are kept, of their scores the smallest, and of what is dropped the smallest: its
`floor`. k kept vectors with upper bounds <= u prove the rest irrelevant when the floor lies above u. Queries without
that proof get a float64 product and longer lists, and, where that does not do either, the float64 score of every
vector (pipeline.search.device_order).

Temporaries stay below about 2 * MEMORY; beside them the device holds the vectors twice, and three more times once a
query has needed the float64 product. Speed on a GPU has not been measured.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64

from pipeline.errors import InvalidInput
from pipeline.search.device_order import DeviceOrder
from pipeline.search.panels import FAR, UNDERFLOW, place
from pipeline.search.pool import DistinctVectors
from pipeline.search.precision import check_products, full_precision
from pipeline.search.shortlist import NEVER, UNLIMITED

MEMORY = 1 << 30  # bytes for the temporaries of one query tile
QUERY_TILE = 2048  # queries of one product, at most
KEY_TILE = 1 << 17  # vectors of one product, at most; a multiple of GROUP
RANK_TILE = 8192  # queries whose shortlists are ranked together: fewer and larger kernels
GROUP = 32  # consecutive vectors of which only the smallest score is compared at first

_LOCK = threading.Lock()  # the precision of products belongs to the process: one caller at a time sets it
_BLOCK = 1 << 16  # vectors widened to float64 at once
_ALIGNED = 8  # rows of the product's sides are padded to a multiple of this


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
class Side:
    """The vectors as the right-hand side of the score product, in one dtype.

    right: (d + 2 and padding, u and padding); norms: (u and padding,), each vector's share of the error.
    """

    right: torch.Tensor
    norms: torch.Tensor
    largest: float
    rounding: float


class DeviceSearch:
    """A pool on a torch device."""

    def __init__(self, pool: DistinctVectors, device: torch.device) -> None:
        self.pool = pool
        self.device = device
        self.centre, self.scale = place(pool.vectors, pool.cosine)
        self.length = 2 * self.scale if pool.cosine else 0.0
        self._order = DeviceOrder(pool, device)

    def run(
        self, queries: Float32[np.ndarray, "q d"], ranges: Int64[np.ndarray, "q 2"], rows: Int32[np.ndarray, "q k"]
    ) -> None:
        """Fill `rows` (q, k) for queries (q, d) with excluded ranges of rows (q, 2). Waits for other searches."""
        k = rows.shape[1]
        with _LOCK, full_precision():
            check_products(self.device)
            left = np.arange(len(queries))
            for dtype, spare in ((torch.float32, max(64, k // 4)), (torch.float64, 3 * k + 1024)):
                kept = min(k + spare, len(self.pool))
                # Ranked together: as many queries as the kernels need to be large, and as the memory allows.
                batch = max(1, min(RANK_TILE, MEMORY // (96 * kept)))
                asked, left = left, left[:0]
                for start in range(0, len(asked), batch):
                    some = asked[start : start + batch]
                    left = np.append(left, self._products(dtype, queries, ranges, rows, some, kept))
            batch = max(1, MEMORY // (64 * len(self.pool)))
            for start in range(0, len(left), batch):
                self._order.rank_all(queries, ranges, rows, left[start : start + batch])

    @functools.cached_property
    def _single(self) -> Side:
        return self._side(torch.float32)

    @functools.cached_property
    def _double(self) -> Side:
        return self._side(torch.float64)

    def _side(self, dtype: torch.dtype) -> Side:
        d, u = self._order.columns.shape
        padded = -(-u // GROUP) * GROUP
        right = torch.zeros((_padded_depth(d), padded), dtype=dtype, device=self.device)
        norms = torch.zeros(padded, dtype=dtype, device=self.device)
        centre = self._order.sent(self.centre)[:, None]
        right[d] = float(NEVER)
        for start in range(0, u, _BLOCK):
            part = slice(start, min(start + _BLOCK, u))
            exact = self._order.columns[:, part].double()
            block = ((exact - centre) * self.scale).to(dtype)
            squares = block.double().square().sum(dim=0)
            offsets = torch.zeros_like(squares)
            if self.pool.cosine:
                offsets = (1 - exact.square().sum(dim=0)) * self.scale**2
            norms[part] = _round_up((squares + offsets.abs()).sqrt(), dtype)
            right[:d, part] = -2 * block
            right[d, part] = (squares + offsets).to(dtype)
            right[d + 1, part] = norms[part]
        return Side(right, norms, float(norms.max()), torch.finfo(dtype).eps / 2)

    def _products(
        self,
        dtype: torch.dtype,
        queries: Float32[np.ndarray, "q d"],
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        some: Int64[np.ndarray, "m"],
        kept: int,
    ) -> Int64[np.ndarray, "left"]:
        """Answer the queries in `some` whose nearest are proven to be among `kept` candidates; return the others."""
        side = self._single if dtype == torch.float32 else self._double
        key_tile = min(KEY_TILE, side.right.shape[1])
        per_query = dtype.itemsize * key_tile + 3 * kept * GROUP * (dtype.itemsize + 8)
        tile = max(1, min(QUERY_TILE, MEMORY // per_query))
        asked = self._order.sent(queries[some])
        found = []
        for start in range(0, len(some), tile):
            part = slice(start, start + tile)
            found.append(self._candidates(side, asked[part], ranges[some[part]], rows.shape[1], kept, key_tile))
        listed, counts = (torch.cat(parts) for parts in zip(*found, strict=True))
        proven = counts >= 0
        decided = proven.cpu().numpy()
        if decided.any():
            self._order.rank(asked[proven], listed[proven], counts[proven], ranges, rows, some[decided])
        return some[~decided]

    def _candidates(
        self, side: Side, queries: torch.Tensor, ranges: Int64[np.ndarray, "q 2"], k: int, kept: int, key_tile: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(m, <= kept) vector numbers by lower bound, and (m,) how many may be among the nearest; -1 if unproven."""
        left, widths, pads, far = self._left(side, queries)
        m, u = len(queries), side.right.shape[1]
        spans = self.pool.spans(ranges)
        bounds = self._order.sent(ranges)
        buffer = torch.empty(m * key_tile, dtype=left.dtype, device=self.device)
        lows = torch.empty((m, 0), dtype=left.dtype, device=self.device)
        listed = torch.empty((m, 0), dtype=torch.int64, device=self.device)
        floor = torch.full((m,), float("inf"), dtype=left.dtype, device=self.device)
        inside = torch.arange(GROUP, device=self.device)
        for first in range(0, u, key_tile):
            width = min(key_tile, u - first)
            scores = buffer[: m * width].view(m, width)
            torch.mm(left, side.right[:, first : first + width], out=scores)
            self._hide(scores, first, spans, bounds)
            grouped = scores.view(m, width // GROUP, GROUP)
            _, groups, dropped = _smallest(grouped.amin(dim=2), kept)
            floor = torch.minimum(floor, dropped)
            chosen = grouped.gather(1, groups[:, :, None].expand(-1, -1, GROUP)).flatten(1)
            numbers = (first + groups[:, :, None] * GROUP + inside).flatten(1)
            lows, order, dropped = _smallest(torch.cat([lows, chosen], dim=1), kept)
            listed = torch.cat([listed, numbers], dim=1).gather(1, order)
            floor = torch.minimum(floor, dropped)
        limit = torch.full((m,), float(UNLIMITED), dtype=torch.float64, device=self.device)
        if k <= lows.shape[1]:
            highs = lows.double() + 2 * widths.double()[:, None] * side.norms[listed].double()
            limit = torch.minimum(limit, highs.topk(k, dim=1, largest=False).values.amax(dim=1) + 2 * pads)
        counts = (lows <= limit[:, None]).sum(dim=1)
        return listed, torch.where((floor > limit) & ~far, counts, -1)

    def _left(self, side: Side, queries: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The queries (m, d) as the left-hand side, the error terms (m,) and which are too far to be scored."""
        m, d = queries.shape
        dtype = side.right.dtype
        moved = (queries.double() - self._order.sent(self.centre)) * self.scale
        norms = moved.square().sum(dim=1).sqrt()
        far = norms > FAR
        moved[far] = 0
        norms[far] = 0
        left = torch.zeros((m, len(side.right)), dtype=dtype, device=self.device)
        widths = _round_up((d + 16) * side.rounding * 1.1 * (2 * norms + side.largest), dtype)
        left[:, :d], left[:, d], left[:, d + 1] = moved.to(dtype), 1, -widths
        pads = 4 * (d + 3) * 2.0**-53 * ((norms + side.largest).square() + self.length**2) + UNDERFLOW
        return left, widths, pads, far

    def _hide(self, scores: torch.Tensor, first: int, spans: Int64[np.ndarray, "m 2"], bounds: torch.Tensor) -> None:
        """Put the scores of excluded vectors above all others; spans (m, 2) on the host say where they may be."""
        used = spans[spans[:, 0] < spans[:, 1]]
        if len(used) == 0:
            return
        start, stop = max(int(used[:, 0].min()), first), min(int(used[:, 1].max()), first + scores.shape[1])
        if start < stop:
            hidden = self._order.hidden(start, stop, bounds)
            scores[:, start - first : stop - first].masked_fill_(hidden, float(NEVER))


def _smallest(values: torch.Tensor, kept: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The `kept` smallest of each row, ascending; their places; the smallest of those dropped, infinity if none."""
    if values.shape[1] <= kept:
        ordered, places = values.sort(dim=1)
        return ordered, places, torch.full_like(values[:, 0], float("inf"))
    ordered, places = values.topk(kept + 1, dim=1, largest=False, sorted=True)
    return ordered[:, :kept], places[:, :kept], ordered[:, kept]


def _round_up(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rounded = values.to(dtype)
    return torch.nextafter(rounded, torch.full_like(rounded, float("inf")))


def _padded_depth(d: int) -> int:
    return -(-(d + 2) // _ALIGNED) * _ALIGNED
