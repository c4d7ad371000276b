"""The log of a running program: durable when `append` returns, whole whatever kills it, one holder at a time."""

import itertools
import logging
import multiprocessing
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.checks import damaged_files
from pipeline.artifacts.claim import DRAFT
from pipeline.dataset.checks import wrong_episodes
from pipeline.dataset.journal import JOURNAL, Journal, read_journal
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.digest import combine
from pipeline.errors import ArtifactNotFound, IdentityMismatch, InUse, InvalidEpisode, InvalidInput, NotStoredYet
from pipeline.live.log import EpisodeLog
from pipeline.live.recovery import take_finished
from pipeline.storage.choice import storage_named
from stages import catalog, verify
from tests.conftest import collected, made_episode
from tests.pipeline.live import child
from tests.pipeline.live.child import numbered

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(EpisodeLog, "part_bytes", child.PART)


def opened(root, **settings):
    return child.opened(root, **settings)


def stored(root, storage="zarr"):
    return Workspace(str(root), storage).dataset("gym", "walk", "online-v1")


def numbers(root):
    """The numbers of the stored episodes, each of which must be what it was when it was appended."""
    dataset = EpisodeDataset.of(stored(root))
    for episode in dataset:
        assert episode.digest() == numbered(episode.seed).digest()
    return dataset.per_episode("seed").tolist()


def started(root, stop, kill_at=0):
    words = [sys.executable, "-m", "tests.pipeline.live.child", str(root), str(stop), str(kill_at)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def appended(lines):
    return [int(line) for line in lines if line.strip().isdigit()]


@pytest.mark.parametrize("storage", ["zarr", "bin"])
def test_sessions_leave_the_dataset_that_one_session_would_have_left(tmp_path, storage):
    for stop in (3, 3, 11, 20):
        with opened(tmp_path / "three", storage=storage) as log:
            for number in range(len(log), stop):
                assert log.append(numbered(number)) == number
    with opened(tmp_path / "one", storage=storage) as log:
        for number in range(20):
            log.append(numbered(number))
    three, one = stored(tmp_path / "three", storage), stored(tmp_path / "one", storage)
    assert three.manifest.parts == one.manifest.parts
    assert len(one.manifest.parts) > 3
    assert three.manifest.digest == one.manifest.digest == combine(numbered(number).digest() for number in range(20))
    assert three.manifest.parameters == {"facts": {"agent": "none"}}


def test_readers_see_the_first_episode_at_once_and_more_as_parts_fill_or_double(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.live.log.COMMIT_SHARE", float("inf"))
    seen = []
    with opened(tmp_path, commit_s=0.0) as log:
        for number in range(12):
            log.append(numbered(number))
            seen.append(len(numbers(tmp_path)))
    lengths = np.cumsum([numbered(number).nbytes for number in range(12)])
    assert seen[:2] == [1, 2]
    assert all(have in (seen[index - 1], index + 1) for index, have in enumerate(seen) if index)
    full = int(np.argmax(lengths >= child.PART))
    assert seen[full] == full + 1


def test_a_commit_shows_what_there_is_and_is_nothing_without_news(tmp_path):
    with opened(tmp_path, commit_s=float("inf")) as log:
        for number in range(3):
            log.append(numbered(number))
        assert numbers(tmp_path) == [0]
        first = log.commit()
        assert numbers(tmp_path) == [0, 1, 2]
        assert log.commit() == first
        assert len(log) == 3


def test_a_log_without_an_episode_leaves_nothing(tmp_path):
    with opened(tmp_path) as log:
        assert log.commit() is None
    with pytest.raises(ArtifactNotFound):
        stored(tmp_path)
    assert [path.name for path in log.path.parent.iterdir()] == []


@pytest.mark.parametrize("kill_at", [60, 168, 173])
def test_no_change_of_the_file_system_is_a_bad_moment_for_a_kill(tmp_path, kill_at):
    """In the first commit, while it writes a part; between a part and the journal's end; in a commit that grows."""
    killed = started(tmp_path, 14, kill_at)
    before = appended(killed.stdout)
    assert killed.wait() == -signal.SIGKILL
    again = started(tmp_path, 14, 33)  # in the middle of the recovery, where there is something to recover
    before += appended(again.stdout)
    again.wait()
    with opened(tmp_path) as log:
        assert len(log) in (len(before), len(before) + 1, len(before) + 2)
        log.append(numbered(len(log)))
    assert numbers(tmp_path) == list(range(len(log)))
    assert not list(damaged_files(stored(tmp_path)))
    assert not list(wrong_episodes(stored(tmp_path)))


def test_a_kill_from_outside_loses_no_finished_episode(tmp_path):
    running = started(tmp_path, 10_000)
    before = appended(itertools.islice(running.stdout, 25))
    running.kill()
    before += appended(running.stdout)
    running.wait()
    with opened(tmp_path) as log:
        assert len(log) - len(before) in (0, 1)
    assert numbers(tmp_path) == list(range(len(log)))


def test_a_program_that_forgets_to_close_commits_at_its_end(tmp_path):
    code = "import sys; from tests.pipeline.live import child; log = child.opened(sys.argv[1])\n"
    code += "for number in range(7): log.append(child.numbered(number))"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert numbers(tmp_path) == list(range(7))
    assert not list(stored(tmp_path).path.parent.glob(f"{DRAFT}*"))


def test_an_error_in_the_loop_keeps_what_was_finished(tmp_path):
    with pytest.raises(ZeroDivisionError), opened(tmp_path) as log:
        log.append(numbered(0))
        log.append(numbered(1))
        _ = 1 / 0
    assert numbers(tmp_path) == [0, 1]


def test_one_process_at_a_time_holds_a_log(tmp_path):
    running = started(tmp_path, 10_000)
    running.stdout.readline()
    with pytest.raises(InUse, match="Another process is writing"):
        opened(tmp_path, wait_s=0.2)
    running.kill()
    running.wait()
    running.stdout.close()
    with opened(tmp_path), pytest.raises(InUse):
        opened(tmp_path, wait_s=0.2)


def test_other_facts_are_refused_and_named(tmp_path):
    with opened(tmp_path, facts={"agent": "ppo", "lr": 0.1}) as log:
        log.append(numbered(0))
    with pytest.raises(IdentityMismatch, match=r"facts\.lr: 0\.1 there, 0\.2 asked"):
        opened(tmp_path, facts={"agent": "ppo", "lr": 0.2})
    with opened(tmp_path, facts={"lr": 0.1, "agent": "ppo"}) as log:
        assert len(log) == 1


def test_other_facts_than_those_of_an_unfinished_draft_are_refused_too(tmp_path):
    killed = started(tmp_path, 5, 16)
    assert killed.communicate()[0] == ""  # inside the first append: nothing is committed
    with pytest.raises(IdentityMismatch, match=r"unfinished log.*\n.*facts\.agent: none there, other asked"):
        opened(tmp_path, facts={"agent": "other"})
    with opened(tmp_path) as log:
        assert len(log) == 1


def test_a_dataset_in_the_other_storage_is_refused(tmp_path):
    with opened(tmp_path) as log:
        log.append(numbered(0))
    with pytest.raises(InvalidInput, match="in the other storage"):
        opened(tmp_path, storage="bin")


@pytest.mark.parametrize(
    "wrong",
    [{"domain": "a/b"}, {"task": ""}, {"dataset": "x-bin"}, {"facts": {"x": float("nan")}}, {"unfinished": "forget"}],
)
def test_what_cannot_be_used_is_refused(tmp_path, wrong):
    with pytest.raises(InvalidInput):
        opened(tmp_path, **wrong)


def test_an_episode_of_another_layout_is_refused_and_harms_nothing(tmp_path, rng):
    with opened(tmp_path) as log:
        log.append(numbered(0))
    with opened(tmp_path) as log:
        with pytest.raises(InvalidEpisode, match=r"observation float64\[4\].*observation float64\[3\]"):
            log.append(made_episode(rng, 5, width=4))
        log.append(numbered(1))
    assert numbers(tmp_path) == [0, 1]


@pytest.mark.parametrize("good", [pytest.param(0, id="at a commit"), pytest.param(1, id="at a part")])
def test_an_episode_that_is_kept_where_a_part_or_a_commit_fails_is_told_so_and_stored_once(tmp_path, good):
    def full(*_):
        raise OSError(28, "No space left on device")

    with opened(tmp_path) as log:
        for number in range(good):
            log.append(numbered(number))
        with pytest.MonkeyPatch.context() as patch, pytest.raises(NotStoredYet, match=r"kept in .*No space left"):
            patch.setattr("pipeline.dataset.writer.write_part", full)
            for number in range(good, 12):
                log.append(numbered(number))
        assert len(log) == number + 1
    with opened(tmp_path) as log:
        for number in range(len(log), 12):
            log.append(numbered(number))
    assert numbers(tmp_path) == list(range(12))


def test_infos_may_come_and_go_over_sessions(tmp_path):
    def informed(number, value):
        episode = numbered(number)
        return type(episode)({**episode.steps, "info/x": np.full(episode.rows, value)}, seed=number)

    with opened(tmp_path) as log:
        log.append(numbered(0))
        log.append(informed(1, 0.5))
    with opened(tmp_path) as log:
        log.append(informed(2, 1))  # an integer this time
        log.append(numbered(3))
    infos = [episode.steps.get("info/x") for episode in EpisodeDataset.of(stored(tmp_path))]
    assert [None if info is None else info[0] for info in infos] == [None, 0.5, 1.0, None]


def tear(path, at):
    """Zeros in the middle of a file, as a power cut leaves them."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(20))


def test_what_a_power_cut_tears_is_named_and_the_rest_moves_up(tmp_path):
    killed = started(tmp_path, 10_000)
    while appended([killed.stdout.readline()])[0] < 7:
        pass
    killed.kill()
    killed.communicate()
    (draft,) = stored(tmp_path).path.parent.glob(f"{DRAFT}*")
    journal = draft / "spill" / JOURNAL
    kept = [number for number, _ in read_journal(journal)]
    have = len(numbers(tmp_path)) + len(kept)
    tear(journal, 100)
    lost = kept[0]
    opened(tmp_path).close()
    assert numbers(tmp_path) == [number for number in range(have) if number != lost]
    assert [line.split(";")[0] for line in stored(tmp_path).manifest.warnings] == ["Episodes were lost to a power cut"]


def test_a_recovery_from_a_power_cut_that_is_killed_itself_is_made_again(tmp_path):
    writer = DatasetWriter(tmp_path / "draft", tmp_path / "final", storage_named("bin"))
    path = writer.spill / JOURNAL
    for half_done in (path.with_suffix(".tmp"), path):
        journal = Journal(half_done)
        for number in (1, 2, 3):  # 0 is torn
            journal.append(number, numbered(number))
        journal.close()
    assert take_finished(writer)
    assert [(n, episode.seed) for n, episode in read_journal(path)] == [(0, 1), (1, 2), (2, 3)]


def test_threads_share_a_log(tmp_path):
    with opened(tmp_path) as log:

        def append(first):
            for number in range(first, first + 6):
                log.append(numbered(number))

        threads = [threading.Thread(target=append, args=(first,)) for first in (0, 6, 12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers(tmp_path)) == list(range(18))


def test_another_process_cannot_append(tmp_path):
    with opened(tmp_path) as log:
        log.append(numbered(0))
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            pickle.dumps(log)
        forked = multiprocessing.get_context("fork").Process(target=_append_elsewhere, args=(log,))
        forked.start()
        forked.join()
        assert forked.exitcode == 0
        log.append(numbered(1))
    assert numbers(tmp_path) == [0, 1]


def _append_elsewhere(log):
    log.close()  # does nothing here
    with pytest.raises(InvalidInput, match="opened in another process"):
        log.append(numbered(9))


def test_verify_and_catalog_take_a_logged_dataset_as_any_other(tmp_path, toy, capsys, caplog):
    caplog.set_level(logging.INFO)
    workspace = Workspace(str(tmp_path))
    collected(toy, workspace, episodes=2)
    with EpisodeLog(workspace, domain="toy", task="corner", dataset="mine-v1") as log:
        log.append(numbered(0))
    common = {"only": None, "workspace": workspace}
    verify.run(domain=toy, audit="replay", workers=1, **common)
    assert "2 artifacts are whole" in caplog.text
    catalog.run(domain=None, **common)
    assert "mine-v1" in capsys.readouterr().out
    with pytest.raises(IdentityMismatch):
        EpisodeLog(workspace, domain="toy", task="corner", dataset="scripted-v1")
