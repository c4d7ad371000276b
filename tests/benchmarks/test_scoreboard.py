"""The scoreboard: what was measured comes back, goals are counted, and what was lost is marked."""

import subprocess
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from benchmarks.measure import Row, table
from benchmarks.score_chart import drawn
from benchmarks.scoreboard import Record, best, committed, goals, keep, kept, lost, page

FAST = Row("a search", 0.4, "FAISS", 1.0, "a product", 0.5, peer_goal=0.45, limit_goal=0.7)
SLOW = Row("a start", 0.9, limit="0.7 s", limit_s=0.7, limit_goal=1, note="measured cold")
RECORD = Record("retrieval", False, "make bench", "2 cores", "2026-11-28", "abc1234", (FAST, SLOW))


def test_records_come_back_and_a_newer_one_takes_the_place_of_the_older(tmp_path):
    place, quick = tmp_path / "results.json", replace(RECORD, quick=True)
    assert kept(place) == []
    keep([RECORD, quick], place)
    newer = replace(RECORD, date="2026-11-29", rows=(FAST,))
    assert keep([newer], place) == kept(place) == [newer, quick]
    assert best(kept(place)) == {"retrieval": newer}


def test_a_ratio_that_lost_fifteen_percent_is_marked_against_the_record_of_the_same_kind():
    now = replace(RECORD, rows=(replace(FAST, ours_s=0.4 * 1.16), replace(SLOW, ours_s=0.9 * 1.14)))
    assert lost(now, [RECORD]) == {
        "a search / FAISS": (0.4, pytest.approx(0.464)),
        "a search / a product": (0.8, pytest.approx(0.928)),
    }
    assert lost(now, []) == lost(now, [replace(RECORD, quick=True)]) == {}


def test_the_page_counts_goals_and_lists_what_misses_its_own():
    assert [(other, goal) for _, other, _, goal in goals(RECORD)] == [("FAISS", 0.45), ("a product", 0.7), ("0.7 s", 1)]
    told = page([RECORD], {"search": ("retrieval", "distances"), "export": ("formats",)})
    assert "1 of 3 goals are reached" in told
    assert "| a start | 0.7 s | 1.29 | 1.00 |" in told
    assert "| a search | FAISS |" not in told
    assert "2026-11-28, abc1234, 2 cores" in told
    assert "## export" not in told
    assert "| 0.40 (≤ 0.45) | a product | 0.5 | **0.80** (≤ 0.70) |" in table([FAST])


def test_the_committed_record_is_that_of_git_not_that_of_the_file(tmp_path):
    place = tmp_path / "results.json"
    keep([RECORD], place)
    assert committed(place) == [RECORD]
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm first"):
        subprocess.run(["git", *words.split()], cwd=tmp_path, check=True)
    keep([replace(RECORD, rows=())], place)
    assert committed(place) == [RECORD]


def test_a_plot_has_a_dot_for_each_ratio_and_a_stroke_for_each_goal():
    rows = [
        ("a < b " * 30, "FAISS", 0.4, 0.45),
        ("slow", "limit", 1.3, 1.0),
        ("far", "peer", 0.0012, None),
        ("nothing", "limit", 0.0, 1.0),
    ]
    tree = ElementTree.fromstring(drawn(rows, "search"))
    dots = [each.attrib["class"] for each in tree.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots == ["reached", "missed", "free", "reached"]
    strokes = [each for each in tree.iter("{http://www.w3.org/2000/svg}path") if each.attrib["class"] == "goal"]
    assert len(strokes) == 3


def test_nothing_that_stays_nothing_is_not_lost():
    record = replace(RECORD, rows=(Row("free", 0.0, limit="wanted", limit_s=1.0),))
    assert lost(record, [record]) == {}
