"""Vectors on a torch device in the order of their float64 scores, and the rows that hold them.

Float32 differences and sums of CHUNK squares say a distance to within SLACK of itself, in any order of adding, and
likewise a cosine. That puts all vectors in order but those that lie within twice that of a neighbour: their float64
scores are added dimension by dimension, each operation a kernel of its own, so that no multiplication is fused with an
addition and every bit agrees with the CPU's. Ties among equal scores go to the smaller row by a stable sort of what is
sorted by row.

The bound: a difference, its square, a sum of CHUNK terms in any order, a root and what its square loses are CHUNK + 6
roundings of at most 2^-24 each; the float64 sums of both sides lose less than 2^-30 at a million dimensions. Squares
below 2^-126 may vanish, which TINY covers. For the cosine the products of two vectors of length one add up to at most
1.001, so the same number bounds the difference itself.
"""

from __future__ import annotations

import torch

from pipeline.search.device_pool import DevicePool

COLUMNS = 4  # dimensions whose terms are computed together
CHUNK = 16  # terms that are added in float32
SLACK = 2.0**-19  # 32 * 2^-24
TINY = 2.0**-120  # for each dimension
LARGEST = 1e300  # stands for a distance beyond float32; float64 ones stay below 1e90


class DeviceOrder:
    """The order of a pool's vectors. `memory`: bytes that temporaries may take, about."""

    def __init__(self, pool: DevicePool, memory: int) -> None:
        self.pool, self._memory = pool, memory

    def rank(
        self, queries: torch.Tensor, listed: torch.Tensor, counts: torch.Tensor, bounds: torch.Tensor, k: int
    ) -> torch.Tensor:
        """(m, k) int32: rows of the first counts[i] of each query's listed vectors (m, c), by (float64 score, row).

        bounds: (m, 2) int64, excluded rows. None of the listed vectors may be hidden by them.
        """
        width = listed.shape[1]
        places = torch.arange(width, device=listed.device)
        listed = listed.clamp(max=len(self.pool) - 1)  # behind those that count there may be padding
        scores = self._near(queries, listed).clamp_(max=LARGEST)
        scores.masked_fill_(places >= counts[:, None], float("inf"))
        scores, order = scores.sort(dim=1)
        listed = listed.gather(1, order)
        low, high = self._between(scores)
        if width > k:
            counts = torch.minimum(counts, (low <= high[:, k - 1 : k]).sum(dim=1))
        inside = places < counts[:, None]
        touching = (low[:, 1:] <= high[:, :-1]) & inside[:, 1:]
        doubtful = torch.zeros_like(inside)
        doubtful[:, 1:] |= touching
        doubtful[:, :-1] |= touching
        who, where = doubtful.nonzero(as_tuple=True)
        scores[who, where] = self._exact(queries, who, listed[who, where])
        scores.masked_fill_(~inside, float("inf"))
        listed, order = listed.sort(dim=1)
        return self._rows(listed, scores.gather(1, order), counts, bounds, k)

    def rank_all(self, queries: torch.Tensor, bounds: torch.Tensor, k: int) -> torch.Tensor:
        """The same among all vectors, each with its float64 score, for a few queries."""
        u, d = self.pool.vectors.shape
        scores = torch.zeros((len(queries), u), dtype=torch.float64, device=queries.device)
        step = max(1, self._memory // (16 * u))
        for first in range(0, d, step):
            part = slice(first, first + step)
            for wide, values in zip(queries[:, part].T, self.pool.vectors[:, part].T.contiguous(), strict=True):
                self._add(scores, wide.double()[None, :, None], values.double()[None, None])
        numbers = torch.arange(u, device=queries.device)
        scores.masked_fill_(self.pool.hidden(numbers, bounds), float("inf"))
        limit = scores.topk(min(k, u), dim=1, largest=False).values.amax(dim=1, keepdim=True)
        kept = (scores <= limit) & (scores < float("inf"))
        counts = kept.sum(dim=1)
        who, numbers = kept.nonzero(as_tuple=True)
        places = _places(who, len(queries))
        listed = numbers.new_zeros((len(queries), int(counts.max())))
        best = scores.new_full(listed.shape, float("inf"))
        listed[who, places], best[who, places] = numbers, scores[who, numbers]
        return self._rows(listed, best, counts, bounds, k)

    def _near(self, queries: torch.Tensor, listed: torch.Tensor) -> torch.Tensor:
        """(m, c) float64 scores of the listed vectors, to within `_between`."""
        vectors, d = self.pool.vectors, queries.shape[1]
        whole = d - d % CHUNK
        near = torch.empty(listed.shape, dtype=torch.float64, device=listed.device)
        step = max(1, self._memory // (8 * d * max(1, listed.shape[1])))
        for start in range(0, len(listed), step):
            part = slice(start, start + step)
            terms = vectors.index_select(0, listed[part].flatten()).view(-1, listed.shape[1], d)
            asked = queries[part, None]
            terms = terms.mul_(asked) if self.pool.cosine else terms.sub_(asked)
            last = terms[..., None, whole:]
            near[part] = self._added(terms[..., :whole].view(*terms.shape[:2], -1, CHUNK)) + self._added(last)
        return near

    def _added(self, terms: torch.Tensor) -> torch.Tensor:
        """(m, c) float64 from terms (m, c, chunks, <= CHUNK): added in float32 by chunks, these in float64."""
        if self.pool.cosine:
            return terms.sum(dim=3).double().sum(dim=2).neg_()
        return torch.linalg.vector_norm(terms, dim=3).double().square_().sum(dim=2)

    def _between(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Between what lie the float64 scores of those that `_near` gives; both ascend with these."""
        if self.pool.cosine:
            return scores - SLACK, scores + SLACK
        tiny = TINY * self.pool.vectors.shape[1]
        return scores * (1 - SLACK) - tiny, scores * (1 + SLACK) + tiny

    def _exact(self, queries: torch.Tensor, who: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        """(e,) float64 scores of vectors for the queries `who`, both (e,), added in the order of dimensions."""
        d = queries.shape[1]
        scores = torch.zeros(who.shape, dtype=torch.float64, device=who.device)
        step = max(1, self._memory // (16 * d))
        for start in range(0, len(who), step):
            part = slice(start, start + step)
            asked = queries.index_select(0, who[part]).T.contiguous()
            values = self.pool.vectors.index_select(0, numbers[part]).T.contiguous()
            for j in range(0, d, COLUMNS):
                self._add(scores[part], asked[j : j + COLUMNS].double(), values[j : j + COLUMNS].double())
        return scores

    def _add(self, total: torch.Tensor, wide: torch.Tensor, values: torch.Tensor) -> None:
        """Add the terms of a few dimensions, one after the other, each operation rounded by itself."""
        if self.pool.cosine:
            for term in wide * values:
                total.sub_(term)
        else:
            terms = wide - values
            terms.mul_(terms)
            for term in terms:
                total.add_(term)

    def _rows(
        self, listed: torch.Tensor, scores: torch.Tensor, counts: torch.Tensor, bounds: torch.Tensor, k: int
    ) -> torch.Tensor:
        """(m, k) int32 rows of vectors (m, c), given in ascending order and scored; infinity where there is none.

        Places that are left over repeat the last eligible row.
        """
        scores, order = scores.sort(dim=1, stable=True)
        listed = listed.gather(1, order)
        n = self.pool.rows
        last = torch.where((bounds[:, 0] == bounds[:, 1]) | (bounds[:, 1] < n), n, bounds[:, 0]) - 1
        rows = last.int()[:, None].repeat(1, k)
        if self.pool.plain:
            width = min(k, listed.shape[1])
            found = scores[:, :width] < float("inf")
            rows[:, :width] = torch.where(found, listed[:, :width].int(), rows[:, :width])
            return rows
        step = max(1, self._memory // (64 * k * listed.shape[1]))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            self._spread(listed[part], scores[part], counts[part], bounds[part], rows[part])
        return rows

    def _spread(
        self, listed: torch.Tensor, scores: torch.Tensor, counts: torch.Tensor, bounds: torch.Tensor, rows: torch.Tensor
    ) -> None:
        """Write the eligible rows of ordered vectors into rows (m, k): of equally near ones the smallest first."""
        pool, (m, c), k = self.pool, listed.shape, rows.shape[1]
        starts, stops = pool.starts[listed], pool.starts[listed + 1]
        excluded, beyond = (torch.searchsorted(pool.held, listed * pool.rows + end) for end in bounds.T[:, :, None])
        skipped = beyond - excluded
        eligible = stops - starts - skipped
        eligible.masked_fill_(torch.arange(c, device=listed.device) >= counts[:, None], 0)
        fresh = torch.ones_like(listed, dtype=torch.bool)
        fresh[:, 1:] = scores[:, 1:] != scores[:, :-1]
        before = torch.where(fresh, eligible.cumsum(1) - eligible, 0).cummax(dim=1).values
        taken = torch.minimum(eligible, (k - before).clamp_(min=0)).flatten()  # of equally near ones each as many
        entries = torch.repeat_interleave(taken)
        positions = starts.flatten()[entries] + torch.arange(len(entries), device=listed.device)
        positions -= (taken.cumsum(0) - taken)[entries]
        positions += torch.where(positions >= excluded.flatten()[entries], skipped.flatten()[entries], 0)
        found = pool.members[positions]
        ties = (torch.arange(m, device=listed.device)[:, None] * c + fresh.cumsum(1) - 1).flatten()[entries]
        order = (ties * pool.rows + found).argsort()
        who = torch.div(entries, c, rounding_mode="floor")[order]
        places = _places(who, m)
        kept = places < k
        rows[who[kept], places[kept]] = found[order][kept].int()


def _places(who: torch.Tensor, m: int) -> torch.Tensor:
    """Which of its entries each is, for entries of queries `who` (e,), ascending numbers below m."""
    starts = torch.searchsorted(who.contiguous(), torch.arange(m, device=who.device))
    return torch.arange(len(who), device=who.device) - starts[who]
