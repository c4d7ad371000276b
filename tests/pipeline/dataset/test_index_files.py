"""Making an index keeps few files open."""

import resource
from pathlib import Path

import numpy as np

from pipeline.dataset.indexing import index_of
from pipeline.dataset.workspace import Workspace
from tests.conftest import made_episode
from tests.pipeline.views.stored import stored


def test_an_index_of_many_parts_of_bin_keeps_few_files_open(tmp_path: Path, rng: np.random.Generator):
    """A memory map has a file descriptor of its own, and a process may have so many of them."""
    workspace = Workspace(str(tmp_path), "bin")
    artifact = stored(workspace, [made_episode(rng, 2, seed=seed) for seed in range(30)], per_part=1).artifact
    assert artifact is not None
    for kept in artifact.path.parent.glob(".*.index"):
        kept.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len([*Path("/proc/self/fd").iterdir()]) + 60, hard))
    try:
        assert len(index_of(artifact).lengths) == 30
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
