"""Exports of ours, in the store and in both layouts of a tree, come in again as what the form holds."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.registration import Registration
from pipeline.formats.checks import wrong_export
from pipeline.sources.rlhf_blender.source import BlenderSource
from tests.contracts.format import place_of
from tests.contracts.one_way import written


@pytest.fixture(scope="module")
def stored(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("back") / "outputs"
    shutil.copytree(drawn, root)
    return Workspace(str(root))


def narrowed(episode: Episode) -> Episode:
    """With numbers as the form holds them: infos are Python's own."""
    wide = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_}
    steps = {
        name: array.astype(wide[array.dtype.kind]) if name.startswith("info/") else array
        for name, array in episode.steps.items()
    }
    action = steps["action"]
    return replace(episode, steps=steps | {"action": action.astype(np.int64 if action.dtype.kind in "iu" else "f4")})


@pytest.mark.parametrize("layout", [None, "backend", "documented"])
def test_an_export_comes_in_as_the_episodes_that_went_out(stored: Workspace, tmp_path: Path, layout: str | None):
    if layout is None:
        artifact = written(BlenderFormat(), stored)
        tree = place_of(artifact)
    else:
        form = BlenderFormat(registration=Registration(layout=layout, projection="none"))
        tree = tmp_path / "tree"
        artifact = written(form, stored, out=str(tree))
    dataset = EpisodeDataset.of(stored.dataset("toy", "corner", "scripted-v1"))
    source = BlenderSource(str(tree))
    back = list(source.episodes("toy", "corner"))
    assert [each.digest() for each in back] == [narrowed(each).digest() for each in dataset]
    assert all(episode.has_final_observation and episode.seed >= 0 for episode in back)
    identity = source.identity("toy", "corner")
    assert identity["made_from"]["digest"] == dataset.digest()
    assert {quirk.name for quirk in source.quirks("toy", "corner")} <= {"unread_folders", "no_policy_outputs"}
    assert not list(wrong_export(artifact, stored))


def test_an_export_that_does_not_fit_its_own_description_is_named(stored: Workspace, tmp_path: Path):
    tree = tmp_path / "tree"
    shutil.copytree(place_of(written(BlenderFormat(), stored)), tree)
    path = tree / "experiment.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"rows": [2, *facts["rows"][1:]]}))
    with pytest.raises(InvalidInput, match=r"says that episode 0 has 2 rows"):
        list(BlenderSource(str(tree)).episodes("toy", "corner"))
    path.write_text("{")
    with pytest.raises(InvalidInput, match=r"experiment\.json cannot be read.*move it away"):
        list(BlenderSource(str(tree)).episodes("toy", "corner"))
