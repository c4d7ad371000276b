"""Observations as points of a plane: along the two directions in which they vary most (PCA, principal components).

Rows are read in blocks, so memory does not grow with a dataset. Up to `WIDE` columns their covariance is added up and
its two largest eigenvectors are taken. A covariance of pictures would cost 7056 multiplications a number: of wider rows
the eigenvectors are found in a block Krylov subspace instead, which multiplies the rows with a few vectors at a time
until the two are right to `TOLERANCE`; the rows wait in a temporary file meanwhile. Both are sums of float64 over
blocks of fixed size, in order, so that no number depends on how many cores there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from tempfile import TemporaryFile

import numpy as np
from jaxtyping import Float32, Float64, Num, Shaped, UInt8

from pipeline.dataset.columns import RowSpec
from pipeline.errors import InvalidInput
from pipeline.formats.flat import FlatEpisodes
from pipeline.formats.pictures import scaled
from pipeline.machine.threads import available_cores, one_blas_thread

SIDE = 84
"""Pixels a side that a picture has at most."""

WIDE = 1024
"""Columns up to which there is a covariance."""

TOLERANCE = 1e-9
"""Of a direction of wide rows: what the covariance makes of it differs so little from a multiple of itself."""

PASSES = 40
"""So often wide rows are multiplied at most."""

FLAT = 1e-12
"""Share of the largest variance below which there is none, and of the mean's length what rounding leaves of it."""

VECTORS = 8
"""So many vectors are multiplied at a time."""

RED_GREEN_BLUE = np.array([0.299, 0.587, 0.114], np.float32)
"""What each colour adds to grey (ITU-R BT.601)."""

PIECE_BYTES = 2**22
"""Bytes of rows in float64 that are multiplied at a time."""

RowBlocks = Callable[[], Iterable[Num[np.ndarray, "rows d"]]]
"""Gives the same rows, a block at a time, whenever it is called."""


@dataclass(frozen=True)
class Plane:
    """Two directions through the mean of some rows.

    Attributes:
        mean: of the rows.
        axes: orthonormal; of each one the largest number is positive. Zeros where the rows do not vary.
        shares: of the rows' whole variance, along each axis.
    """

    mean: Float64[np.ndarray, " d"]
    axes: Float64[np.ndarray, "2 d"]
    shares: Float64[np.ndarray, "2"]

    def points(self, rows: Num[np.ndarray, "rows d"]) -> Float32[np.ndarray, "rows 2"]:
        """Where rows lie; a row's point does not depend on the other rows."""
        height = _piece(rows.shape[1])
        pieces = [rows[first : first + height] - self.mean for first in range(0, len(rows), height)]
        points = [np.einsum("nd,kd->nk", piece, self.axes).astype(np.float32) for piece in pieces]
        return np.concatenate(points) if points else np.zeros((0, 2), np.float32)


def fit_plane(rows: RowBlocks) -> Plane:
    """The plane along which all rows together vary most. Raises InvalidInput for no rows, and for one not finite."""
    first = next(iter(rows()), None)
    if first is None:
        raise InvalidInput("There are no rows to find a plane of.")
    with ThreadPoolExecutor(available_cores()) as pool, one_blas_thread():
        return _of_covariance(rows, pool) if first.shape[1] <= WIDE else _of_wide_rows(rows, pool)


def observation_rows(episodes: FlatEpisodes) -> dict[str, RowSpec]:
    """The arrays of an observation, by name."""
    return {name: row for name, row in episodes.specs.items() if name.startswith("observation")}


def flattened_rows(arrays: Mapping[str, Shaped[np.ndarray, "rows ..."]]) -> Num[np.ndarray, "rows d"]:
    """One row of numbers for each observation: its arrays side by side, float32, or uint8 where it is one picture.

    A picture of more than 84 x 84 numbers becomes grey, and at most 84 pixels high and wide.
    """
    parts = [_flat(array) for array in arrays.values()]
    if len(parts) == 1 and parts[0].dtype == np.uint8:
        return parts[0]
    with np.errstate(over="ignore"):  # what is infinite is refused by whoever needs it finite
        return np.concatenate([part.astype(np.float32) for part in parts], axis=1)


def _flat(array: Shaped[np.ndarray, "rows ..."]) -> Num[np.ndarray, "rows d"]:
    size = int(np.prod(array.shape[1:]))
    if array.dtype == np.uint8 and array.ndim in (3, 4) and size > SIDE * SIDE:
        array = _small(array)
        size = int(np.prod(array.shape[1:]))
    return array.reshape(len(array), size)


def _small(pictures: UInt8[np.ndarray, "rows ..."]) -> UInt8[np.ndarray, "rows h w"]:
    """Grey, and at most 84 pixels high and wide. The shortest axis of three is that of the colours."""
    if pictures.ndim == 4:
        pictures = _grey(np.moveaxis(pictures, 1 + int(np.argmin(pictures.shape[1:])), 1))
    height, width = (min(SIDE, length) for length in pictures.shape[1:])
    return scaled(pictures, height, width)


def _grey(pictures: UInt8[np.ndarray, "rows c h w"]) -> UInt8[np.ndarray, "rows h w"]:
    count = pictures.shape[1]
    shares = RED_GREEN_BLUE if count == 3 else np.full(count, 1 / count, np.float32)
    out = np.empty((len(pictures), *pictures.shape[2:]), np.uint8)
    for picture, place in zip(pictures, out, strict=True):  # one at a time stays in the cache
        np.rint(sum(share * colour for share, colour in zip(shares, picture, strict=True)), place, casting="unsafe")
    return out


def _of_covariance(rows: RowBlocks, pool: ThreadPoolExecutor) -> Plane:
    count, mean, scatter = 0, np.zeros(0), np.zeros((0, 0))
    for block in rows():
        for more, other, products in pool.map(_moments, _pieces(block)):
            if not count:
                count, mean, scatter = more, other, products
                continue
            apart = other - mean
            scatter += products + np.outer(apart, apart) * (count * more / (count + more))
            mean = mean + apart * (more / (count + more))
            count += more
    _require_finite(mean, scatter)
    values, vectors = np.linalg.eigh(scatter / count)
    return _plane(mean, values[:-3:-1], vectors[:, :-3:-1].T, float(values.sum()))


def _moments(
    piece: Num[np.ndarray, "rows d"],
) -> tuple[int, Float64[np.ndarray, " d"], Float64[np.ndarray, "d d"]]:
    """How many rows there are, their mean, and the sum of the products of what differs from it."""
    wide = piece.astype(np.float64)
    mean = wide.mean(axis=0)
    with np.errstate(invalid="ignore"):  # infinite numbers are refused when all are added up
        wide -= mean
        return len(wide), mean, wide.T @ wide


def _of_wide_rows(rows: RowBlocks, pool: ThreadPoolExecutor) -> Plane:
    with TemporaryFile() as file:
        total, count, dtype = np.zeros(0), 0, np.dtype(np.float32)
        for block in rows():
            sums = list(pool.map(_column_sums, _pieces(block)))
            total = np.sum([total, *sums] if count else sums, axis=0)
            count, dtype = count + len(block), block.dtype
            file.write(np.ascontiguousarray(block).data)
        file.flush()
        mean = total / count
        _require_finite(mean)
        stored = np.memmap(file, dtype, "r", shape=(count, len(mean)))
        return _largest(_Covariance(stored, mean, pool))


@dataclass(frozen=True)
class _Covariance:
    """Of rows in a file, whose pages the system drops when memory is short."""

    rows: Num[np.ndarray, "rows d"]
    mean: Float64[np.ndarray, " d"]
    pool: ThreadPoolExecutor

    def times(self, vectors: Float64[np.ndarray, "d k"]) -> Float64[np.ndarray, "d k"]:
        out = np.zeros_like(vectors)
        for product in self.pool.map(lambda piece: self._product(piece, vectors), _pieces(self.rows)):
            out += product
        return out / len(self.rows)

    def trace(self) -> float:
        """The sum of the variances of all columns."""
        squares = self.pool.map(lambda piece: float(np.square(piece - self.mean).sum()), _pieces(self.rows))
        return sum(squares) / len(self.rows)

    def _product(
        self, piece: Num[np.ndarray, "rows d"], vectors: Float64[np.ndarray, "d k"]
    ) -> Float64[np.ndarray, "d k"]:
        apart = piece - self.mean
        return apart.T @ (apart @ vectors)


def _largest(covariance: _Covariance) -> Plane:
    """The plane of the two largest eigenvectors in the subspace that a few vectors and their products span.

    Source: Golub and Van Loan, Matrix Computations, 10.3 (block Lanczos), here with full orthogonalisation.
    """
    width = len(covariance.mean)
    basis, images = np.zeros((width, 0)), np.zeros((width, 0))
    block = np.random.default_rng(0).standard_normal((width, VECTORS))
    values, vectors = np.zeros(2), np.zeros((width, 2))
    for _ in range(PASSES):
        block = _orthonormal(block, basis)
        if not block.shape[1]:
            break
        basis, image = np.hstack([basis, block]), covariance.times(block)
        images = np.hstack([images, image])
        inner = basis.T @ images
        found, weights = np.linalg.eigh((inner + inner.T) / 2)
        values, weights = found[:-3:-1], weights[:, :-3:-1]
        vectors = basis @ weights
        rest = np.linalg.norm(images @ weights - vectors * values, axis=0)
        if (rest <= TOLERANCE * values[0]).all():
            break
        block = image
    return _plane(covariance.mean, values, vectors.T, covariance.trace())


def _orthonormal(block: Float64[np.ndarray, "d k"], basis: Float64[np.ndarray, "d b"]) -> Float64[np.ndarray, "d r"]:
    """What of some vectors lies outside an orthonormal basis, as vectors of length one at right angles."""
    lengths = np.linalg.norm(block, axis=0)
    for _ in range(2):  # once is not enough in floating point
        block = block - basis @ (basis.T @ block)
    kept = np.linalg.norm(block, axis=0) > 1e-10 * lengths
    directions, triangle = np.linalg.qr(block[:, kept])
    size = np.abs(np.diag(triangle))
    return directions[:, size > 1e-10 * size.max(initial=0)]


def _plane(
    mean: Float64[np.ndarray, " d"], values: Float64[np.ndarray, " k"], axes: Float64[np.ndarray, "k d"], whole: float
) -> Plane:
    """Signs are set, and what is left of rounding where rows do not vary becomes zeros."""
    both, shares = np.zeros((2, len(mean))), np.zeros(2)
    for number, (value, axis) in enumerate(zip(values, axes, strict=True)):
        if value > max(FLAT * values[0], FLAT**2 * float(mean @ mean)):
            both[number] = axis * np.sign(axis[np.argmax(np.abs(axis))])
            shares[number] = value / whole
    return Plane(mean, both, shares)


def _column_sums(piece: Num[np.ndarray, "rows d"]) -> Float64[np.ndarray, " d"]:
    return piece.sum(axis=0, dtype=np.float64)


def _pieces(rows: Num[np.ndarray, "rows d"]) -> Iterator[Num[np.ndarray, "rows d"]]:
    height = _piece(rows.shape[1])
    return (rows[first : first + height] for first in range(0, len(rows), height))


def _piece(width: int) -> int:
    return max(1, PIECE_BYTES // (8 * max(1, width)))


def _require_finite(*sums: Float64[np.ndarray, "..."]) -> None:
    if not all(np.isfinite(each).all() for each in sums):
        raise InvalidInput("An observation holds NaN or an infinite number: such rows have no directions.")
