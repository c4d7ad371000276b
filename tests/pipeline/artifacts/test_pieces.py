"""Pieces of an artifact: which numbers a job may make, who waits for whom, and what is left when nothing is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.artifacts.claim import claim
from pipeline.artifacts.pieces import (
    PiecesFolder,
    join_pieces,
    making_pieces,
    not_joined,
    notes_of,
    pieces_line,
    pieces_of,
    shard_numbers,
)
from pipeline.command import Typed, user_typed
from pipeline.errors import IdentityMismatch, InvalidInput

SPEC = Spec("toy", "corner", "episodes", 1, {"seed": 0}, name="made-v1")


@contextmanager
def making(folder: Path, numbers: range, spec: Spec = SPEC) -> Iterator[PiecesFolder[str]]:
    with making_pieces(folder / "made-v1", spec, numbers, "collect", lambda draft: draft.path.name) as pieces:
        yield pieces


def made(folder: Path, numbers: range, name: str = "piece") -> None:
    with making(folder, numbers) as pieces:
        (pieces.spill / name).write_text("made")


@pytest.mark.parametrize(
    ("asked", "numbers"), [("0-9", range(10)), ("7", range(7, 8)), (7, range(7, 8)), ("3-3", range(3, 4)), (None, None)]
)
def test_shards_are_a_range_of_numbers_or_one(asked: str | int | None, numbers: range | None):
    assert shard_numbers("collect", asked, force=False) == numbers


@pytest.mark.parametrize("asked", ["9-0", "a", "", "1-", "-3", -3, "0-9-12", "0,9", "1.5", True, "٣"])
def test_what_is_no_range_is_refused(asked: str | int):
    with pytest.raises(InvalidInput, match=r"stage\.collect\.shards="):
        shard_numbers("collect", asked, force=False)


def test_pieces_and_a_comparison_with_all_of_an_artifact_exclude_each_other():
    with pytest.raises(InvalidInput, match="force=true compares all"):
        shard_numbers("collect", "0-9", force=True)
    assert shard_numbers("collect", None, force=True) is None


def test_jobs_with_numbers_of_their_own_work_side_by_side_and_others_wait(tmp_path: Path):
    order: list[str] = []

    def other() -> None:
        with making(tmp_path, range(5, 15)):
            order.append("other began")

    with making(tmp_path, range(10)), making(tmp_path, range(15, 20)):
        waiting = threading.Thread(target=other)
        waiting.start()
        waiting.join(0.1)
        order.append("first ended")
    waiting.join(30)
    assert order == ["first ended", "other began"]


def test_whoever_joins_waits_for_those_at_work_and_lets_nobody_begin(tmp_path: Path):
    order: list[str] = []

    def join() -> None:
        with claim(tmp_path / "made-v1", SPEC.fingerprint) as draft:
            waiting = join_pieces(draft.path, draft.final, SPEC)
            order.append(f"joins {', '.join(path.name for path in (waiting / 'spill').iterdir())}")

    with making(tmp_path, range(10)) as pieces:
        joining = threading.Thread(target=join)
        joining.start()
        joining.join(0.1)
        (pieces.spill / "piece").write_text("made")
        order.append("made")
    joining.join(30)
    assert order == ["made", "joins piece"]


def test_what_waits_in_an_unfinished_draft_is_among_the_pieces(tmp_path: Path):
    with pytest.raises(RuntimeError), claim(tmp_path / "made-v1", SPEC.fingerprint) as draft:
        (draft.path / "spill" / "checkpoint").mkdir(parents=True)
        (draft.path / "spill" / "checkpoint" / "rows").write_text("of the draft")
        (draft.path / "spill" / "piece").write_text("of the draft")
        raise RuntimeError
    made(tmp_path, range(10))
    spill = pieces_of(tmp_path / "made-v1") / "spill"
    assert {str(path.relative_to(spill)): path.read_text() for path in spill.rglob("*") if path.is_file()} == {
        "checkpoint/rows": "of the draft",
        "piece": "made",
    }
    assert len(list(tmp_path.glob(".draft-*"))) == 1


def test_a_job_that_finds_everything_leaves_nothing(tmp_path: Path):
    with making(tmp_path, range(10)) as pieces:
        pieces.note([])
    assert list(tmp_path.iterdir()) == []


def test_pieces_of_other_settings_are_refused_with_what_differs(tmp_path: Path):
    made(tmp_path, range(10))
    other = Spec("toy", "corner", "episodes", 1, {"seed": 1}, name="made-v1")
    with pytest.raises(IdentityMismatch, match=r"seed: 0 there, 1 asked"), making(tmp_path, range(20, 30), other):
        pass
    with pytest.raises(IdentityMismatch), claim(tmp_path / "made-v1", other.fingerprint) as draft:
        join_pieces(draft.path, draft.final, other)


def test_other_settings_are_refused_before_an_unfinished_draft_is_set_aside(tmp_path: Path):
    made(tmp_path, range(10))
    with claim(tmp_path / "made-v1", SPEC.fingerprint) as draft:
        (draft.path / "half").touch()
    other = Spec("toy", "corner", "episodes", 1, {"seed": 1}, name="made-v1")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(IdentityMismatch), making(tmp_path, range(3), other):
        pass
    assert sorted(tmp_path.rglob("*")) == before


def test_notes_of_all_jobs_are_kept_once_and_their_time_is_counted(tmp_path: Path):
    for numbers, notes in ((range(3), ["b", "a"]), (range(3, 5), ["a"]), (range(3), [])):
        with making(tmp_path, numbers) as pieces:
            pieces.note(notes)
            (pieces.spill / "piece").touch()
            pieces.worked(100)
    sentences, seconds = notes_of(pieces_of(tmp_path / "made-v1"))
    assert sentences == ["a", "b"]
    assert 300 <= seconds < 400


def test_what_is_there_what_is_missing_and_what_joins_them_is_told(tmp_path: Path):
    words = ("stage=collect", "domain=toy", "stage.collect.shards=0-9", "episodes=30")
    with user_typed(Typed(words)):
        some = pieces_line("collect", SPEC, "episodes", range(30), [*range(10), *range(20, 25)])
        every = pieces_line("collect", SPEC, "episodes", range(30), range(40))
        made(tmp_path / "artifacts/toy/corner/episodes", range(3))
    joins = "python run.py stage=collect domain=toy episodes=30"
    assert [*not_joined(tmp_path / "artifacts")] == [("toy/corner episodes made-v1", joins)]
    assert some == (
        "collect toy/corner made-v1: 15 of 30 episodes there (0-9, 20-24), 15 missing (10-19, 25-29). "
        f"Join them, and make the rest: {joins}"
    )
    assert every == f"collect toy/corner made-v1: 30 of 30 episodes there, none missing. Join them: {joins}"
