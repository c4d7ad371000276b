"""Rows become points of a plane, as numpy's SVD has them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.formats import projection
from pipeline.formats.projection import WIDE, Plane, fit_plane, flattened_rows


def by_svd(rows: np.ndarray) -> np.ndarray:
    """The points by another way: singular vectors of all rows at once."""
    apart = rows.astype(np.float64) - rows.astype(np.float64).mean(axis=0)
    axes = np.linalg.svd(apart, full_matrices=False)[2][:2]
    signs = np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])
    return apart @ (axes * signs[:, np.newaxis]).T


def in_blocks(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def plane_of(rows: np.ndarray, size: int = 100) -> Plane:
    return fit_plane(lambda: in_blocks(rows, size))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 300), width=st.integers(2, 40), size=st.integers(1, 300))
def test_points_are_those_of_numpys_svd(seed: int, count: int, width: int, size: int):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width)) * 10.0 ** -np.arange(width).clip(max=6) + rng.normal(size=width) * 50
    rows = rows.astype(np.float32)
    points = plane_of(rows, size).points(rows)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, by_svd(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("count", "width"), [(3, WIDE + 5), (40, 200), (700, 200)])
def test_wide_rows_have_the_points_of_numpys_svd_too(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, count: int, width: int
):
    monkeypatch.setattr(projection, "WIDE", min(WIDE, width - 1))
    rows = rng.normal(size=(count, width)) * np.linspace(9, 1, width) ** 2
    rows = (rows + rng.normal(size=(count, 3)) * [9, 5, 3] @ rng.normal(size=(3, width))).astype(np.float32)
    points = plane_of(rows).points(rows)
    np.testing.assert_allclose(points, by_svd(rows), rtol=1e-3, atol=1e-3 * np.abs(points).max())


def test_both_ways_find_the_same_plane(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    rows = rng.integers(0, 256, size=(500, 60)).astype(np.uint8) // np.arange(1, 61, dtype=np.uint8)
    narrow = plane_of(rows)
    monkeypatch.setattr(projection, "WIDE", 8)
    wide = plane_of(rows)
    np.testing.assert_allclose(wide.axes, narrow.axes, atol=1e-7)
    np.testing.assert_allclose(wide.shares, narrow.shares, atol=1e-9)
    np.testing.assert_allclose(wide.mean, narrow.mean)


@pytest.mark.parametrize("wide", [8, 1024])
def test_no_number_depends_on_how_many_cores_there_are(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, wide: int
):
    rows = rng.normal(size=(3000, 300)).astype(np.float32)
    monkeypatch.setattr(projection, "WIDE", wide)
    found = []
    for cores in (1, 3):
        monkeypatch.setattr(projection, "available_cores", lambda cores=cores: cores)
        found.append(plane_of(rows, 1500))
    assert found[0].axes.tobytes() == found[1].axes.tobytes()
    assert found[0].points(rows[1000:1003]).tobytes() == found[1].points(rows)[1000:1003].tobytes()


def test_the_largest_loading_is_positive_and_axes_are_orthonormal(rng: np.random.Generator):
    plane = plane_of(rng.normal(size=(200, 7)) @ rng.normal(size=(7, 7)))
    assert (plane.axes[np.arange(2), np.abs(plane.axes).argmax(axis=1)] > 0).all()
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    assert plane.shares[0] > plane.shares[1] > 0
    assert plane.shares.sum() < 1


@pytest.mark.parametrize("wide", [1, 1024])
@pytest.mark.parametrize(
    ("rows", "varies"),
    [(np.full((5, 3), 0.1), 0), (np.ones((1, 4)), 0), (np.outer(np.arange(9.0), [1, 2, 0.3]), 1), (np.eye(4), 2)],
)
def test_where_rows_do_not_vary_their_points_are_zero(
    rows: np.ndarray, varies: int, wide: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(projection, "WIDE", wide)
    plane = plane_of(rows)
    assert (plane.axes.any(axis=1)).tolist() == [True] * varies + [False] * (2 - varies)
    assert np.isfinite(plane.points(rows)).all()
    assert not plane.points(rows)[:, varies:].any()


def test_rows_of_one_column_lie_on_the_first_axis():
    points = plane_of(np.arange(5.0)[:, np.newaxis]).points(np.arange(5.0)[:, np.newaxis])
    assert points.tolist() == [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]]


@pytest.mark.parametrize("wide", [2, 1024])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_rows_that_are_not_finite_have_no_plane(monkeypatch: pytest.MonkeyPatch, wide: int, value: float):
    monkeypatch.setattr(projection, "WIDE", wide)
    rows = flattened_rows({"observation": np.array([[1.0, 2, 3], [4, value, 6]])})
    with pytest.raises(InvalidInput, match="NaN or an infinite number"):
        plane_of(rows)


def test_no_rows_have_no_plane():
    with pytest.raises(InvalidInput, match="no rows"):
        fit_plane(lambda: iter(()))


def test_the_arrays_of_an_observation_lie_side_by_side():
    arrays = {"observation/a": np.arange(4).reshape(2, 2), "observation/b": np.array([True, False])}
    assert flattened_rows(arrays).tolist() == [[0, 1, 1], [2, 3, 0]]
    assert flattened_rows(arrays).dtype == np.float32


@pytest.mark.parametrize(
    ("shape", "width"), [((84, 84), 7056), ((7, 7, 3), 147), ((64, 64, 3), 4096), ((60, 200, 3), 60 * 84)]
)
def test_pictures_are_at_most_84_pixels_high_and_wide(rng: np.random.Generator, shape: tuple[int, ...], width: int):
    rows = flattened_rows({"observation": rng.integers(0, 256, (2, *shape)).astype(np.uint8)})
    assert rows.dtype == np.uint8
    assert rows.shape == (2, width)


def test_a_big_picture_is_grey_and_scaled_by_area_as_opencv_does_it(rng: np.random.Generator):
    pictures = cv2.resize(rng.integers(0, 256, (21, 16, 3)).astype(np.uint8), (160, 210))[np.newaxis]
    grey = cv2.cvtColor(pictures[0], cv2.COLOR_RGB2GRAY)
    wanted = cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA).astype(int).reshape(1, -1)
    for layout in (pictures, np.moveaxis(pictures, -1, 1)):
        assert np.abs(flattened_rows({"observation": layout}).astype(int) - wanted).max() <= 1


def test_pictures_may_be_made_small_while_their_plane_is_found(rng: np.random.Generator):
    pictures = rng.integers(0, 256, (6, 100, 120, 3)).astype(np.uint8)
    plane = fit_plane(lambda: (flattened_rows({"observation": each}) for each in (pictures[:4], pictures[4:])))
    rows = flattened_rows({"observation": pictures})
    np.testing.assert_allclose(plane.points(rows), by_svd(rows), rtol=1e-3, atol=0.1)
