"""The journal: what was appended comes back, whatever tore the file behind it or in it."""

import numpy as np
import pytest

from pipeline.dataset.journal import Journal, read_journal
from pipeline.episode import Episode
from tests.conftest import made_episode


@pytest.fixture
def told(rng):
    """Episodes of several lengths, the second with everything that an episode can have."""
    plain = [made_episode(rng, length, seed=length) for length in (1, 3, 2)]
    full = Episode(
        {**plain[1].steps, "info/x": np.arange(4, dtype=np.int16), "info/big": np.arange(8.0).reshape(2, 4).T},
        mission="到",
        reset_info={"y": np.float32(2), "grid": np.eye(2, dtype=np.bool_)},
        info_texts={"door": ["shut", None, "shut"]},
        reset_texts={"level": "one"},
    )
    return [plain[0], full, plain[2]]


def digests(path):
    return [(number, episode.digest()) for number, episode in read_journal(path)]


def test_episodes_come_back_as_they_were(tmp_path, told):
    journal = Journal(tmp_path / "journal")
    kept = [(number, journal.append(number, episode)) for number, episode in enumerate(told, 7)]
    assert digests(tmp_path / "journal") == kept == [(n, e.digest()) for n, e in enumerate(told, 7)]
    back = [episode for _, episode in read_journal(tmp_path / "journal")][1]
    assert (back.mission, back.info_texts, back.reset_texts) == ("到", told[1].info_texts, told[1].reset_texts)
    journal.close()
    again = Journal(tmp_path / "journal")
    again.append(10, told[0])
    assert [number for number, _ in digests(tmp_path / "journal")] == [7, 8, 9, 10]
    again.clear()
    assert digests(tmp_path / "journal") == []
    again.append(11, told[1])
    again.close()
    assert digests(tmp_path / "journal") == [(11, told[1].digest())]


def test_wherever_the_file_ends_all_whole_records_before_it_are_there(tmp_path, told):
    path = tmp_path / "journal"
    journal, ends = Journal(path), []
    for number, episode in enumerate(told):
        journal.append(number, episode)
        ends.append(path.stat().st_size)
    journal.close()
    data = path.read_bytes()
    for stop in range(0, len(data), 7):
        path.write_bytes(data[:stop])
        assert [number for number, _ in read_journal(path)] == [n for n, end in enumerate(ends) if end <= stop]


@pytest.mark.parametrize("begin", [0, 8, 20, 60, 200])
def test_a_torn_record_costs_its_own_episode_alone(tmp_path, told, begin):
    path = tmp_path / "journal"
    journal = Journal(path)
    for number, episode in enumerate(told):
        journal.append(number, episode)
    journal.close()
    data = bytearray(path.read_bytes())
    data[begin : begin + 8] = b"\xff" * 8
    path.write_bytes(data)
    assert [number for number, _ in read_journal(path)] == [1, 2]


def test_a_journal_that_was_moved_away_is_noticed(tmp_path, told):
    journal = Journal(tmp_path / "journal")
    assert journal.is_in_place()
    (tmp_path / "journal").rename(tmp_path / "elsewhere")
    assert not journal.is_in_place()
    Journal(tmp_path / "journal").close()
    assert not journal.is_in_place()
    journal.close()
