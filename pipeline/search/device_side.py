"""The two sides of a product that bounds the scores of a device's vectors from below, in one of three grades.

`pipeline.search.panels` has the proof for float32, which holds for any order of adding and so for any matrix library.
The same columns serve here, [a, 1, 1, 1, -w] and [-2b, |b|^2 in three pieces, |b|], in

* float32 and float64, where |b|^2 is one piece or two;
* TF32, in which a GPU's tensor cores multiply float32 numbers several times faster. They read 11 bits of each factor.
  So a and b are rounded to 11 bits beforehand, and |b|^2 is cut into three pieces of 11: each product is exact, with
  tensor cores and without. What the rounding took is measured: with r_a = |a - rounded a| and
  r_b = |b - rounded b| <= rho |b|, the inner product moves by at most r_a (1 + rho) |b| + rho |a| |b| (Cauchy and
  Schwarz), about a third of what 2^-11 per factor would allow. Sums in tensor cores are cut off, not rounded, and some
  libraries take two bfloat16 for one TF32 number; SUM and SPLIT allow for both.

How wide that is: of 100,000 vectors of normal noise, 110 on average may be among the nearest 100 in 512 dimensions, and
103 in 39.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.search.device_pool import BLOCK, DevicePool
from pipeline.search.panels import FAR, LARGEST_COSINE_SCALE, UNDERFLOW
from pipeline.search.shortlist import NEVER

ALIGNED = 8  # columns of the sides are padded to a multiple of this
PIECES = 3  # columns for |b|^2

DROPPED = 13  # bits of a float32 number that TF32 has not
SUM = 2.0**-22  # of one addition in a tensor core, relative: cut off at 24 bits, several terms at once
SPLIT = 1.1 * 2.0**-15  # of a product of two TF32 numbers that were cut into two bfloat16 each
SMALLEST = 2.0**-80  # what is smaller is rounded to zero: a tensor core may do so below 2^-126
LEAST_NORM = 2.0**-50  # so that this zero is a small share of every norm


@dataclass(frozen=True)
class Grade:
    """How products are computed. `rounding` is the relative error of one addition."""

    name: str
    dtype: torch.dtype
    rounding: float

    @property
    def coarse(self) -> bool:
        """Whether factors are rounded to TF32."""
        return self is TF32

    def rounded(self, values: torch.Tensor) -> torch.Tensor:
        """Float64 values as factors of a product."""
        return to_tf32(values.float()) if self.coarse else values.to(self.dtype)

    def above(self, values: torch.Tensor) -> torch.Tensor:
        """Float64 values >= 0 as factors that are no smaller."""
        rounded = values.to(self.dtype)
        rounded = torch.nextafter(rounded, torch.full_like(rounded, float("inf")))
        if not self.coarse:
            return rounded
        words = rounded.clamp(min=SMALLEST).view(torch.int32) + ((1 << DROPPED) - 1)
        return (words >> DROPPED << DROPPED).view(torch.float32)


TF32 = Grade("tf32", torch.float32, SUM)
SINGLE = Grade("float32", torch.float32, 2.0**-24)
DOUBLE = Grade("float64", torch.float64, 2.0**-53)


def to_tf32(values: torch.Tensor) -> torch.Tensor:
    """Float32 values with 11 significant bits, rounded to nearest, ties to even; below SMALLEST they are zero."""
    words = values.view(torch.int32)
    words = words + ((1 << (DROPPED - 1)) - 1) + ((words >> DROPPED) & 1)
    rounded = (words >> DROPPED << DROPPED).view(torch.float32)
    return rounded.masked_fill(rounded.abs() < SMALLEST, 0.0)


@dataclass(frozen=True)
class Placement:
    """What is subtracted from a vector, centre (d,) float64, and the power of two that then multiplies it.

    length: for the cosine, more than the length of every vector, times the scale; else 0.
    """

    centre: torch.Tensor
    scale: float
    length: float

    def moved(self, vectors: torch.Tensor) -> torch.Tensor:
        """Vectors (m, d) about the centre, float64."""
        return (vectors.double() - self.centre) * self.scale


def placement(pool: DevicePool) -> Placement:
    """The mean of the vectors, and the scale that puts the widest coordinate about it between 1/2 and 1."""
    vectors = pool.vectors
    parts = torch.split(vectors, max(1, BLOCK // vectors.shape[1]))
    centre = torch.stack([part.double().sum(dim=0) for part in parts]).sum(dim=0) / len(vectors)
    low, high = vectors.aminmax(dim=0)
    peak = float(torch.maximum(high.double() - centre, centre - low.double()).max())
    scale = math.ldexp(1.0, min(-math.frexp(peak)[1], LARGEST_COSINE_SCALE if pool.cosine else 1000))
    return Placement(centre, scale, 2 * scale if pool.cosine else 0.0)


@dataclass(frozen=True)
class Side:
    """The vectors as the right-hand side of the score product, in one grade.

    right: (u and padding, columns); norms: (u and padding,), each vector's share of the error.
    largest: of the norms. lost: rho, the largest share of a norm that rounding the vector took.
    """

    grade: Grade
    place: Placement
    right: torch.Tensor
    norms: torch.Tensor
    largest: float
    lost: float


@dataclass(frozen=True)
class LeftSide:
    """Queries as the left-hand side: left (m, columns), error terms (m,), and which are too far to be scored."""

    left: torch.Tensor
    widths: torch.Tensor
    pads: torch.Tensor
    far: torch.Tensor


def right_side(pool: DevicePool, place: Placement, grade: Grade, multiple: int) -> Side:
    """The side of all vectors, padded to a multiple of rows whose scores are NEVER."""
    u, d = pool.vectors.shape
    padded = -(-u // multiple) * multiple
    right = torch.zeros((padded, _columns(d)), dtype=grade.dtype, device=pool.device)
    norms = torch.zeros(padded, dtype=grade.dtype, device=pool.device)
    lost = torch.zeros((), dtype=torch.float64, device=pool.device)
    right[u:, d] = grade.rounded(torch.full((1,), float(NEVER), dtype=torch.float64, device=pool.device))
    step = max(1, BLOCK // d)
    for start in range(0, u, step):
        part = slice(start, min(start + step, u))
        moved = place.moved(pool.vectors[part])
        factors = grade.rounded(moved)
        squares = (moved if grade.coarse else factors.double()).square().sum(dim=1)
        offsets = torch.zeros_like(squares)
        if pool.cosine:
            offsets = (1 - pool.vectors[part].double().square().sum(dim=1)) * place.scale**2
        norms[part] = grade.above((squares + offsets.abs()).sqrt().clamp(min=LEAST_NORM if grade.coarse else 0.0))
        right[part, :d] = -2 * factors
        _cut(squares + offsets, grade.rounded, right[part, d : d + PIECES])
        right[part, d + PIECES] = norms[part]
        if grade.coarse:
            lost = torch.maximum(lost, (_distance(moved, factors) / norms[part].double()).max())
    return Side(grade, place, right, norms, float(norms.max()), float(lost))


def left_side(side: Side, queries: torch.Tensor) -> LeftSide:
    """The side of queries (m, d)."""
    m, d = queries.shape
    grade = side.grade
    moved = side.place.moved(queries)
    norms = moved.square().sum(dim=1).sqrt()
    far = norms > FAR
    moved.masked_fill_(far[:, None], 0.0)
    norms.masked_fill_(far, 0.0)
    factors = grade.rounded(moved)
    widths = (d + 16) * grade.rounding * 1.1 * (2 * norms + side.largest)
    if grade.coarse:
        widths += 2.01 * (_distance(moved, factors) * (1 + side.lost) + norms * (side.lost + SPLIT))
    widths = grade.above(widths)
    left = torch.zeros((m, _columns(d)), dtype=grade.dtype, device=queries.device)
    left[:, :d], left[:, d : d + PIECES], left[:, d + PIECES] = factors, 1, -widths
    pads = 4 * (d + 3) * 2.0**-53 * ((norms + side.largest).square() + side.place.length**2) + UNDERFLOW
    return LeftSide(left, widths, pads, far)


def _columns(d: int) -> int:
    return -(-(d + PIECES + 1) // ALIGNED) * ALIGNED


def _cut(values: torch.Tensor, rounded: Callable[[torch.Tensor], torch.Tensor], pieces: torch.Tensor) -> None:
    """Write float64 values (n,) as sums of rounded pieces (n, PIECES)."""
    for number in range(PIECES):
        piece = rounded(values)
        pieces[:, number] = piece
        values = values - piece.double()


def _distance(moved: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """(n,) how far rounding moved each vector."""
    return (moved - factors.double()).square().sum(dim=1).sqrt()
