"""The table of what was odd: on a terminal and in a log."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.artifact import Artifact
from pipeline.campaign.quirks import quirk_lines
from pipeline.campaign.record import RunRecord
from pipeline.dataset.workspace import Workspace
from pipeline.sources.kabuki import KabukiSource
from tests.contracts.format import ingested
from tests.kabuki_files import kabuki_arrays, write_kabuki
from tests.manifests import as_before

SENTENCE = "1 episode lacks is_first at its beginning or is_last at its end: it was left out."


@pytest.fixture
def odd(tmp_path: Path) -> Artifact:
    """A dataset of a log of which an episode lacks its end, and an array has no row a step."""
    arrays = kabuki_arrays()
    arrays["is_last"][-1] = arrays["is_terminal"][-1] = False
    arrays["[extra]"] = np.zeros(3)
    write_kabuki(tmp_path / "log.hdf5", arrays)
    return ingested(KabukiSource(str(tmp_path / "log.hdf5")), Workspace(str(tmp_path / "outputs"), "bin"), "odd-v1")


def told(artifact: Artifact, folder: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        RunRecord(folder).done("ingest", artifact)
    return [record.message for record in caplog.records]


def test_what_was_odd_is_a_table_once_and_no_line_more(odd: Artifact, tmp_path: Path, caplog):
    head, reason, title, columns, *rows = told(odd, tmp_path, caplog)
    assert reason == "  new: no dataset of this name was there"
    assert f"digest {odd.manifest.digest[:16]}" in head
    assert title == "  odd in these data:"
    assert columns.split() == ["quirk", "found", "rule", "left", "out", "in", "words"]
    assert [row.split()[0] for row in rows] == ["unread_arrays", "incomplete", "empty_episodes"]
    assert "infos have a row of numbers for each step  1 array" in rows[0]
    assert rows[0].endswith("were not read: [extra].")  # no markup
    assert f"source.incomplete=drop                     1 episode  {SENTENCE}" in rows[1]
    assert SENTENCE in odd.manifest.warnings


def test_a_dataset_that_is_found_says_its_digest_again_and_no_more(odd: Artifact, tmp_path: Path, caplog):
    again = ingested(KabukiSource(str(tmp_path / "log.hdf5")), Workspace(str(tmp_path / "outputs"), "bin"), "odd-v1")
    line, reason = told(again, tmp_path, caplog)
    assert " found " in line
    assert line.endswith(f"digest {odd.manifest.digest[:16]})")
    assert reason.startswith("  found: same configuration, inputs ")


def test_nothing_is_said_where_nothing_was_odd():
    assert quirk_lines([]) == []


def test_a_manifest_of_before_gives_a_table_without_rules(odd: Artifact):
    quirks = [{key: quirk[key] for key in ("name", "count", "sentence")} for quirk in odd.manifest.quirks]
    old = as_before(odd.path, quirks=quirks).manifest
    assert old.quirks == quirks
    assert quirk_lines(old.quirks)[2].split(maxsplit=2) == ["incomplete", "1", SENTENCE]
