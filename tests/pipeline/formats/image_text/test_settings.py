"""Settings and datasets that make no image-text data, and what is said then."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, InvalidInput, UnknownName
from pipeline.formats.contract import CannotHold
from pipeline.formats.image_text import interleaved
from pipeline.formats.image_text.frames import FramesFormat
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.formats.image_text.simple import SimpleFormat
from tests.conftest import collected, made_episode, toy_domain
from tests.contracts.format import Listed, ingested
from tests.contracts.one_way import written


@pytest.fixture
def workspace(drawn: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(drawn, tmp_path / "outputs")
    return Workspace(str(tmp_path / "outputs"))


@pytest.mark.parametrize("window", [1, 0, -3, True, 2.5, "many", 10**20])
def test_a_window_is_a_whole_number_of_at_least_two_frames_that_can_be_counted(window: object):
    with pytest.raises(InvalidInput, match=rf"format\.window={window} must be a whole number of frames, at least 2"):
        InterleavedFormat(window=window)


def test_a_misspelt_profile_is_told_the_right_ones():
    with pytest.raises(UnknownName, match="readme"):
        InterleavedFormat("read_me")


def test_a_row_that_no_reader_takes_is_refused_before_anything_is_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(interleaved, "ROW_BYTES", 3000)
    with pytest.raises(CannotHold, match=r"toy/corner would hold .* Cut the episodes into windows: format\.window=2"):
        written(InterleavedFormat(), workspace)
    assert written(InterleavedFormat(window=2), workspace).built


@pytest.mark.parametrize("format", [SimpleFormat(), InterleavedFormat(), FramesFormat()])
def test_episodes_that_no_simulator_made_have_no_pictures(
    format: SimpleFormat | InterleavedFormat | FramesFormat, tmp_path: Path
):
    workspace = Workspace(str(tmp_path))
    ingested(Listed([made_episode(np.random.default_rng(0), 3)]), workspace)
    with pytest.raises(CannotHold, match=rf"format={format.name} shows pictures of the simulator, and listed-v1"):
        written(format, workspace, task=["corner"], dataset="listed-v1")


def test_of_several_tasks_the_one_without_pictures_is_named(workspace: Workspace):
    collected(toy_domain(), workspace, "key", episodes=1)
    with pytest.raises(ArtifactNotFound, match="of scripted-v1 of toy/key there are none") as caught:
        written(SimpleFormat(), workspace, task=["corner", "maze", "key"])
    assert caught.value.command.words()[:3] == ["stage=frames", "domain=toy", "task=key"]


def test_episodes_that_were_added_later_have_no_pictures_yet(workspace: Workspace):
    collected(toy_domain(), workspace, "corner", episodes=6, randomness=0.25)
    with pytest.raises(ArtifactNotFound, match="only of its first 4 episodes"):
        written(SimpleFormat(), workspace)
    assert written(SimpleFormat(), workspace, episodes=4).built
