"""The screen of an Atari console as agents see it: grey, the brighter of two, scaled down by area."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64, UInt8

from pipeline.machine.compiled import compiled

SIDE = 84
"""Height and width of an observation in pixels."""

WIDTH = 160
"""Pixels in a row of the console's screen, which has 210 to 250 rows."""

_ACROSS, _DOWN = 3, 4  # pixels that a cell of an observation covers, even in part: 160 / 84 < 2 and 250 / 84 < 3
_SLIVER = 1e-3  # of a pixel; a cell leaves out what it covers less than this
_UNKNOWN = -1


class ScreenReader:
    """Looks at an emulator's screen, and makes observations of it.

    An observation is (84, 84) uint8, the caller's own: byte for byte OpenCV's INTER_AREA of the emulator's grey screen,
    or of the brighter of two. It is made from the colour numbers of the screen, which the emulator hands out much
    faster; it is asked for a colour's grey when the colour is first met. Rows that stand still are not scaled again.
    """

    def __init__(self, emulator: Any) -> None:
        self._emulator = emulator
        self._shown: np.ndarray = emulator.getScreen()
        self._greys = np.full(256, _UNKNOWN, np.int16)
        self._last, self._earlier = _Seen(emulator), _Seen(emulator)
        rows = len(self._shown)
        self._cells = _cells(rows, _DOWN)
        self._stale, self._across = np.ones(rows, np.bool_), np.empty((rows, SIDE), np.float32)
        self._canvas: np.ndarray | None = None
        self._drawn, self._palette, self._met = (
            np.empty_like(self._shown),
            np.zeros((256, 3), np.uint8),
            np.zeros(256, np.bool_),
        )

    def remember(self) -> None:
        """Keep the screen as it is now for `brighter`."""
        self._look(self._earlier)

    def brighter(self) -> UInt8[np.ndarray, "84 84"]:
        """The maximum of the screen as it is now and the remembered one."""
        self._look(self._last)
        return _scaled(self._last.grey, self._earlier.grey, self._stale, self._across, *self._cells)

    def alone(self) -> UInt8[np.ndarray, "84 84"]:
        """The screen as it is now."""
        self.remember()
        return self.brighter()

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """Of the screen in colours."""
        return len(self._shown), WIDTH, 3

    def redraw(self, canvas: UInt8[np.ndarray, "rows 160 3"]) -> Int64[np.ndarray, "changed"]:
        """Bring a picture in colours up to the screen as it is now, byte for byte the emulator's; which rows changed.

        Another array than the last time is drawn as a whole.
        """
        self._emulator.getScreen(self._shown)
        if canvas is not self._canvas:
            self._canvas, self._drawn = canvas, ~self._shown
        changed, known = _recolour(self._shown, self._drawn, canvas, self._palette, self._met)
        if not known:
            canvas[:] = self._emulator.getScreenRGB()
            self._palette[self._drawn], self._met[self._drawn] = canvas, True
        return changed

    def _look(self, seen: _Seen) -> None:
        self._emulator.getScreen(self._shown)
        if not _update(self._shown, seen.colours, seen.grey, self._greys, self._stale):
            self._emulator.getScreenGrayscale(seen.grey)
            self._greys[seen.colours] = seen.grey


class _Seen:
    """A screen at which `ScreenReader` has looked: its colour numbers and greys, (rows, 160) uint8 each."""

    def __init__(self, emulator: Any) -> None:
        self.colours: np.ndarray = emulator.getScreen()
        self.grey: np.ndarray = emulator.getScreenGrayscale()


def scaled_screens(screens: UInt8[np.ndarray, "t rows 160 3"]) -> UInt8[np.ndarray, "t 84 84"]:
    """Observations of screens that were kept in colours, each alone; byte for byte those of `ScreenReader`.

    A colour's grey is the emulator's: 0.299 red, 0.587 green and 0.114 blue.
    """
    rows = screens.shape[1]
    cells, across = _cells(rows, _DOWN), np.empty((rows, SIDE), np.float32)
    grey, out = np.empty((rows, WIDTH), np.uint8), np.empty((len(screens), SIDE, SIDE), np.uint8)
    for number, screen in enumerate(screens):
        _to_grey(screen, grey)
        out[number] = _scaled(grey, grey, np.ones(rows, np.bool_), across, *cells)
    return out


def _cells(pixels: int, most: int) -> tuple[Int64[np.ndarray, "84"], Float32[np.ndarray, "84 most"]]:
    """How 84 cells of equal size divide a line of pixels: the first pixel of each, and the shares of `most` from there.

    A cell's shares add up to 1. They are OpenCV's to the last bit: computed in
    float64 and rounded at the end.
    """
    size = 1 / (SIDE / pixels)  # not pixels / SIDE, which may differ in the last bit
    firsts, shares = np.zeros(SIDE, np.int64), np.zeros((SIDE, most), np.float32)
    for cell in range(SIDE):
        start, end = cell * size, cell * size + size
        parts = {p: min(p + 1, end) - max(p, start) for p in range(int(start), min(ceil(end), pixels))}
        parts = {pixel: part for pixel, part in parts.items() if part > _SLIVER}
        firsts[cell] = min(*parts, pixels - most)
        for pixel, part in parts.items():
            shares[cell, pixel - firsts[cell]] = part / min(size, pixels - start)
    return firsts, shares


_FIRSTS, _SHARES = _cells(WIDTH, _ACROSS)
_LEFT = _FIRSTS.astype(np.uint64)  # unsigned: what may be negative, numba checks for counting from the end
_1, _2 = np.uint64(1), np.uint64(2)
_SHARE0, _SHARE1, _SHARE2 = _SHARES.T.copy()


@compiled()
def _update(
    shown: UInt8[np.ndarray, "rows 160"],
    colours: UInt8[np.ndarray, "rows 160"],
    grey: UInt8[np.ndarray, "rows 160"],
    greys: Int16[np.ndarray, "256"],
    stale: Bool[np.ndarray, "rows"],
) -> bool:
    """Bring `colours` and `grey` up to what is shown, and mark the rows that changed; False if a grey was unknown."""
    known = np.int16(0)
    for y in range(len(shown)):
        difference = np.uint8(0)
        for x in range(WIDTH):
            difference |= shown[y, x] ^ colours[y, x]
        if difference == 0:
            continue
        stale[y] = True
        for x in range(WIDTH):
            colours[y, x] = shown[y, x]
        for x in range(WIDTH):
            value = greys[shown[y, x]]
            known |= value  # below 0 once a value was
            grey[y, x] = value
    return bool(known >= 0)


@compiled()
def _recolour(
    shown: UInt8[np.ndarray, "rows 160"],
    drawn: UInt8[np.ndarray, "rows 160"],
    canvas: UInt8[np.ndarray, "rows 160 3"],
    palette: UInt8[np.ndarray, "256 3"],
    met: Bool[np.ndarray, "256"],
) -> tuple[Int64[np.ndarray, "changed"], bool]:
    """Bring `drawn` and `canvas` up to what is shown: which rows changed, and whether all colours were met before."""
    changed, count, known = np.empty(len(shown), np.int64), 0, True
    for y in range(len(shown)):
        difference = np.uint8(0)
        for x in range(WIDTH):
            difference |= shown[y, x] ^ drawn[y, x]
        if difference == 0:
            continue
        changed[count] = y
        count += 1
        for x in range(WIDTH):
            colour = shown[y, x]
            if colour != drawn[y, x]:
                drawn[y, x] = colour
                known &= met[colour]
                for channel in range(3):
                    canvas[y, x, channel] = palette[colour, channel]
    return changed[:count], known


@compiled()
def _to_grey(screen: UInt8[np.ndarray, "rows 160 3"], grey: UInt8[np.ndarray, "rows 160"]) -> None:
    for y in range(screen.shape[0]):
        for x in range(screen.shape[1]):
            red, green, blue = np.uint32(screen[y, x, 0]), np.uint32(screen[y, x, 1]), np.uint32(screen[y, x, 2])
            total = red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471)  # of 2**16
            grey[y, x] = (total + np.uint32(0x8000)) >> np.uint32(16)


@compiled()
def _scaled(
    one: UInt8[np.ndarray, "rows 160"],
    other: UInt8[np.ndarray, "rows 160"],
    stale: Bool[np.ndarray, "rows"],
    across: Float32[np.ndarray, "rows 84"],
    firsts: Int64[np.ndarray, "84"],
    shares: Float32[np.ndarray, "84 4"],
) -> UInt8[np.ndarray, "84 84"]:
    """The maximum of two grey screens, scaled down: first each row, kept in `across` until it is stale, then the rows.

    The operations and their order are OpenCV's; only shares of 0 are added, which change nothing.
    """
    row = np.empty(WIDTH, np.float32)
    for y in range(len(stale)):
        if not stale[y]:
            continue
        stale[y] = False
        for x in range(WIDTH):
            row[x] = max(one[y, x], other[y, x])
        for c in range(SIDE):
            left = _LEFT[c]
            across[y, c] = row[left] * _SHARE0[c] + row[left + _1] * _SHARE1[c] + row[left + _2] * _SHARE2[c]
    cells = np.empty((SIDE, SIDE), np.uint8)
    for r in range(SIDE):
        y = firsts[r]
        share0, share1, share2, share3 = shares[r, 0], shares[r, 1], shares[r, 2], shares[r, 3]
        for c in range(SIDE):
            total = across[y, c] * share0 + across[y + 1, c] * share1
            total = total + across[y + 2, c] * share2 + across[y + 3, c] * share3
            cells[r, c] = np.int32(np.rint(total))
    return cells
