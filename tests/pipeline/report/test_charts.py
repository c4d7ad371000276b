"""Charts: numbers, ticks, bars and lines."""

from __future__ import annotations

import re

import pytest

from pipeline.report import charts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234567, "1\u202f234\u202f567"),
        (-1234.5, "−1\u202f234"),
        (0.078823, "0.07882"),
        (312.04, "312.0"),
        (1.0, "1.000"),
        (0.000012, "1.20 × 10⁻⁵"),
    ],
)
def test_numbers_are_grouped_and_rounded(value: float, text: str):
    assert charts.number(value) == text


def test_ticks_are_round_and_inside():
    axis = charts.Axis(236.0, 349.0, 0, 113, "return")
    assert axis.ticks() == [(4, "240"), (24, "260"), (44, "280"), (64, "300"), (84, "320"), (104, "340")]


def test_a_whole_axis_never_cuts_a_step():
    axis = charts.Axis(-0.5, 2.5, 0, 300, "episode", whole=True)
    assert [text for _, text in axis.ticks()] == ["0", "1", "2"]


def test_bars_are_as_high_as_their_counts():
    svg = charts.histogram([1, 0, 4], 0, 3, "steps", "episodes", "summary")
    tops = [float(top) for top in re.findall(r"V([\d.]+)H", re.search(r'class="bars" d="([^"]+)', svg).group(1))]
    floor = charts.HEIGHT - charts.BOTTOM
    assert (floor - tops[1]) / (floor - tops[0]) == pytest.approx(4, abs=0.05)


def test_equal_values_still_have_an_axis():
    assert "NaN" not in charts.dots([2.0, 2.0], [True, False], "return", "episode", "summary")
    assert charts.padded(0, 0) == (-1, 1)


def test_labels_are_escaped():
    assert "a &lt; b" in charts.dots([1.0], [True], "a < b", "episode", "summary")


def test_each_name_has_a_bar_as_long_as_its_count():
    svg = charts.bars(["NOOP", "FIRE", "UP"], [10, 0, 40], "summary")
    starts, ends = zip(*re.findall(r'class="bars" d="M(\d+) \d+H([\d.]+)V', svg), strict=True)
    assert len(ends) == 2
    assert (float(ends[1]) - float(starts[1])) / (float(ends[0]) - float(starts[0])) == pytest.approx(4, abs=0.05)
    assert [">10 (20.0 %)<" in svg, ">0 (0 %)<" in svg, ">40 (80.0 %)<" in svg] == [True, True, True]


def test_lines_share_their_axes():
    svg = charts.lines([("highest", [0, 4], [0.0, 8.0]), ("lowest", [0, 2], [0.0, -8.0])], "return", "step", "summary")
    paths = re.findall(r'class="line (\w+)" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', svg)
    assert [path[0] for path in paths] == ["highest", "lowest"]
    (_, x0, y0, x1, y1), (_, x2, y2, x3, y3) = ([path[0], *map(float, path[1:])] for path in paths)
    assert (x0, y0) == (x2, y2)
    assert (x1 - x0) == pytest.approx(2 * (x3 - x2), abs=0.2)
    assert (y1 - y0) == pytest.approx(-(y3 - y2), abs=0.2)
