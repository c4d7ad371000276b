"""Limits on episodes and transitions are exact."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from tests import dqn_replay_files as files
from tests.dqn_replay_files import ReplayRun, Wanted
from tests.pipeline.sources.dqn_replay.readings import PROPERTY, check, numbers, stored


@pytest.mark.parametrize("count", [1, 2, 7, 12, 99])
@pytest.mark.parametrize("overflow", ["stop", "skip", "allow_last"])
def test_max_episodes_is_exact(
    limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path, count: int, overflow: str
):
    _, folder, wanted = limit_run
    artifact = stored(folder, tmp_path, max_episodes=count, overflow=overflow)
    check(artifact, files.limited(wanted, max_episodes=count))
    assert artifact.manifest.counts["episodes"] == min(count, len(wanted))


@settings(max_examples=12, **PROPERTY)
@given(
    transitions=st.integers(9, 400),
    episodes=st.none() | st.integers(1, 14),
    overflow=st.sampled_from(["stop", "skip", "allow_last"]),
    edges=st.sampled_from(["stitch", "keep"]),
)
def test_max_transitions_is_exact_for_each_overflow_rule(
    limit_run: tuple[ReplayRun, Path, list[Wanted]],
    transitions: int,
    episodes: int | None,
    overflow: str,
    edges: str,
):
    run, folder, wanted = limit_run
    if edges == "keep":
        wanted = files.expected_fragments(run, numbers(run))
    limits = {"max_episodes": episodes, "max_transitions": transitions, "overflow": overflow}
    with tempfile.TemporaryDirectory() as outputs:
        artifact = stored(folder, Path(outputs), edges=edges, **limits)
        check(artifact, files.limited(wanted, **limits))


def test_limits_count_rows_as_they_are_stored(limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path):
    run, folder, _ = limit_run
    wanted = files.expected_upstream(run, numbers(run))
    total = sum(len(episode.actions) for episode in wanted[:5])
    assert len(files.limited(wanted, max_transitions=total)) == 5
    check(stored(folder, tmp_path, rows="upstream", max_transitions=total), wanted[:5])


@pytest.mark.parametrize(("overflow", "ok"), [("stop", False), ("skip", False), ("allow_last", True)])
def test_a_limit_below_the_first_episode(
    limit_run: tuple[ReplayRun, Path, list[Wanted]], tmp_path: Path, overflow: str, ok: bool
):
    _, folder, wanted = limit_run
    if ok:
        check(stored(folder, tmp_path, max_transitions=8, overflow=overflow), wanted[:1])
    elif overflow == "stop":
        with pytest.raises(InvalidInput):
            stored(folder, tmp_path, max_transitions=8, overflow=overflow)
    else:
        check(stored(folder, tmp_path, max_transitions=8, overflow=overflow), [wanted[2], wanted[5], wanted[7]])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_gives_the_digest_of_a_prefix(digest_run: tuple[Path, str, list[Wanted]], tmp_path: Path, workers: int):
    folder, _, wanted = digest_run
    prefix = stored(folder, tmp_path / "prefix", episodes=7).manifest.digest
    transitions = sum(len(episode.actions) for episode in wanted[:7])
    for name, limit in (("episodes", {"max_episodes": 7}), ("transitions", {"max_transitions": transitions})):
        assert stored(folder, tmp_path / name, workers=workers, **limit).manifest.digest == prefix
