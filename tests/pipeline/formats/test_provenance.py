"""What an export says of its origin names no folder of the machine that it was made on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.formats.provenance import provenance
from tests.conftest import made_episode
from tests.contracts.format import Listed, ingested


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("source.path=/home/anna/log.hdf5", "source.path=log.hdf5"),
        ("policy.path=~/agents/hopper", "policy.path=hopper"),
        ("policy.path=../agents", "policy.path=agents"),
        ("'x=[/home/anna/a.zip,/home/anna/b.zip]'", "'x=[a.zip,b.zip]'"),
        ("'source.path=/my data/log file.hdf5'", "'source.path=log file.hdf5'"),
        ("source.root=gs://bucket/dqn", "source.root=gs://bucket/dqn"),
        ("policy.path=runs/agent", "policy.path=runs/agent"),
        ("paths.root=/home/anna", ""),
        ("format.out=/home/anna/x.hdf5", ""),
        ("hydra.run.dir=/home/anna", ""),
        ('"half', None),
    ],
)
def test_of_each_path_in_the_command_its_name_stays(tmp_path: Path, word: str, kept: str | None):
    artifact = ingested(Listed([made_episode(np.random.default_rng(0), 3)]), Workspace(str(tmp_path)))
    artifact = replace(artifact, manifest=replace(artifact.manifest, command=f"python run.py stage=ingest {word}"))
    found = provenance(artifact, EpisodeDataset.of(artifact), {"format": "arrays"})
    assert found["command"] == ("" if kept is None else f"python run.py stage=ingest {kept}".rstrip())
    assert "/home/" not in json.dumps(found)
    assert found["digest"] == artifact.manifest.digest
