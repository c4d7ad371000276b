"""Vectors on a torch device: their float64 scores, and the rows in the order of these.

The scores are added dimension by dimension, each operation a kernel of its own, so that no multiplication is fused with
an addition and every bit agrees with the CPU's. Ties among equal scores go to the smaller row by a stable sort of what
is sorted by row.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32, Int32, Int64, Shaped

from pipeline.search.pool import DistinctVectors
from pipeline.search.rank import fill_missing, rank_scored

COLUMNS = 4  # dimensions whose terms are computed together


class DeviceOrder:
    """The vectors of a pool on a torch device, and the order of their float64 scores."""

    def __init__(self, pool: DistinctVectors, device: torch.device) -> None:
        self.pool = pool
        self.device = device
        self.columns = self.sent(pool.vectors).T.contiguous()
        self.firsts, self.lasts = self.sent(pool.firsts), self.sent(pool.lasts)

    def sent(self, array: Shaped[np.ndarray, "..."]) -> torch.Tensor:
        """A copy of an array on the device."""
        return torch.tensor(array, device=self.device)

    def hidden(self, start: int, stop: int, bounds: torch.Tensor) -> torch.Tensor:
        """(m, stop - start): which of these vectors have no row outside the excluded range of rows."""
        return (self.firsts[start:stop] >= bounds[:, :1]) & (self.lasts[start:stop] < bounds[:, 1:])

    def rank(
        self,
        queries: torch.Tensor,
        listed: torch.Tensor,
        counts: torch.Tensor,
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        some: Int64[np.ndarray, "m"],
    ) -> None:
        """Order the first counts[i] listed vectors of each query by (float64 score, row) into rows[some]."""
        width = int(counts.max())
        beyond = torch.arange(width, device=self.device) >= counts[:, None]
        listed, _ = listed[:, :width].masked_fill(beyond, len(self.pool)).sort(dim=1)
        scores = self._scores(queries, listed.clamp(max=len(self.pool) - 1))
        scores.masked_fill_(beyond, float("inf"))  # the sort has moved them behind the others
        self._write(listed, scores, counts, ranges, rows, some)

    def _write(
        self,
        listed: torch.Tensor,
        scores: torch.Tensor,
        counts: torch.Tensor,
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        some: Int64[np.ndarray, "m"],
    ) -> None:
        """Order counts[i] scored vectors, given in ascending order."""
        pool, k = self.pool, rows.shape[1]
        own = ranges[some]
        out = np.empty((len(some), k), dtype=np.int32)
        if pool.plain:
            order = scores.sort(dim=1, stable=True).indices[:, :k]
            out[:, : order.shape[1]] = listed.gather(1, order).int().cpu().numpy()
            fill_missing(out, counts.cpu().numpy(), own, pool.rows)
        else:
            arrays = (scores.cpu().numpy(), listed.int().cpu().numpy(), counts.cpu().numpy())
            rank_scored(*arrays, own, pool.starts, pool.members, out)
        rows[some] = out

    def _scores(self, queries: torch.Tensor, listed: torch.Tensor) -> torch.Tensor:
        """(m, c) float64 scores of the listed vectors."""
        flat, shape = listed.flatten(), listed.shape
        wide = queries.double().T.contiguous()
        total = torch.zeros(shape, dtype=torch.float64, device=self.device)
        for j in range(0, len(wide), COLUMNS):
            part = slice(j, j + COLUMNS)
            self._add(total, wide[part, :, None], self.columns[part].index_select(1, flat).view(-1, *shape))
        return total

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

    def rank_all(
        self,
        queries: Float32[np.ndarray, "q d"],
        ranges: Int64[np.ndarray, "q 2"],
        rows: Int32[np.ndarray, "q k"],
        some: Int64[np.ndarray, "m"],
    ) -> None:
        """Score every vector in float64, for a few queries."""
        u, k = len(self.pool), rows.shape[1]
        wide = self.sent(queries[some]).double().T.contiguous()
        scores = torch.zeros((len(some), u), dtype=torch.float64, device=self.device)
        for j in range(len(wide)):
            self._add(scores, wide[j : j + 1, :, None], self.columns[j : j + 1, None])
        scores.masked_fill_(self.hidden(0, u, self.sent(ranges[some])), float("inf"))
        limit = scores.topk(min(k, u), dim=1, largest=False).values.amax(dim=1, keepdim=True)
        kept = (scores <= limit) & (scores < float("inf"))
        counts = kept.sum(dim=1)
        scores.masked_fill_(~kept, float("inf"))
        # Vectors that are kept, in ascending order, then others.
        listed = kept.logical_not().byte().sort(dim=1, stable=True).indices[:, : int(counts.max())]
        self._write(listed, scores.gather(1, listed), counts, ranges, rows, some)
