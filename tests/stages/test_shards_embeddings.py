"""Vectors that several jobs make: the same bytes, whatever the split, and whoever died in between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifacts.artifact import Artifact
from pipeline.artifacts.pieces import PIECES
from pipeline.campaign.stage import PiecesMade
from pipeline.dataset.workspace import Workspace
from pipeline.embedding.spill import Spill
from pipeline.errors import InvalidInput
from pipeline.regent.recipe import Recipe
from stages import embeddings
from tests.pipeline.embedding.encoders import Mixing, embedding
from tests.pipeline.embedding.pictures import DOMAIN, dataset, noise

LENGTHS = (7, 1, 20, 13)
CHOSEN = embedding(batch=3)


class Killed(Exception):
    """A job that ends where it stands."""


@pytest.fixture(scope="module", autouse=True)
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.embedding.build.BLOCK_STATES", 8)
        yield


@pytest.fixture(scope="module")
def shown() -> list[np.ndarray]:
    return noise(LENGTHS, values=4)


def embedded(place: Workspace, shards: str | int | None = None, force: bool = False, **given: Any) -> Any:
    recipe = Recipe(**{"domain": DOMAIN, "task": "pong", "dataset": "made-v1", "embedding": CHOSEN, **given})
    return embeddings.run(recipe=recipe, all_states=True, workspace=place, force=force, shards=shards)


def dies(place: Workspace, batches: int, shards: str | None) -> None:
    """A job that is killed when it has kept some batches."""
    with pytest.MonkeyPatch.context() as patch:
        kept, save = [0], Spill.save

        def saved(*asked: Any) -> None:
            if kept[0] == batches:
                raise Killed
            kept[0] += 1
            save(*asked)

        patch.setattr(Spill, "save", saved)
        with suppress(Killed):
            embedded(place, shards)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, shown: list[np.ndarray]) -> Artifact:
    place = Workspace(str(tmp_path_factory.mktemp("alone")))
    dataset(place, shown)
    return embedded(place)


ranges = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda ends: f"{min(ends)}-{max(ends)}")
jobs = st.tuples(st.one_of(ranges, ranges, st.none()), st.integers(0, 9) | st.none())


@settings(deadline=None, max_examples=3)
@given(jobs=st.lists(jobs, max_size=4))
def test_any_split_of_blocks_and_any_death_give_the_same_vectors(
    shown: list[np.ndarray], undisturbed: Artifact, jobs: list[tuple[str | None, int | None]]
):
    with tempfile.TemporaryDirectory() as folder:
        place = Workspace(folder, "bin")
        dataset(place, shown)
        for shards, batches in jobs:
            embedded(place, shards) if batches is None else dies(place, batches, shards)
        made = embedded(place)
        assert (made.manifest.digest, made.manifest.version) == (
            undisturbed.manifest.digest,
            undisturbed.manifest.version,
        )
        assert not list(made.path.parent.glob(f"{PIECES}*"))
        assert sorted(path.name for path in made.path.iterdir()) == ["arrays", "manifest.json"]


def test_blocks_are_there_once_and_changed_ones_are_made_again(
    shown: list[np.ndarray], undisturbed: Artifact, tmp_path: Path
):
    place = Workspace(str(tmp_path))
    dataset(place, shown)
    first = embedded(place, "1-2")
    assert isinstance(first, PiecesMade)
    assert "2 of 6 blocks of 10,000 states there (1-2), 4 missing (0, 3-5). Join them, and make the rest" in first.line
    (folder,) = (place.root / "pictures/pong/embeddings").glob(f"{PIECES}*")
    files = sorted(path.name for path in (folder / "spill").iterdir())
    assert files == ["16-24.safetensors", "8-16.safetensors"]
    changed = bytearray((folder / "spill" / files[0]).read_bytes())
    changed[-1] ^= 1
    (folder / "spill" / files[0]).write_bytes(changed)
    made = embedded(place)
    assert made.manifest.digest == undisturbed.manifest.digest
    assert embedded(place, "0-1").path == made.path
    assert not folder.exists()


def test_rows_of_fewer_episodes_need_no_job_and_notes_are_kept(shown: list[np.ndarray], tmp_path: Path):
    place = Workspace(str(tmp_path))
    dataset(place, shown)
    chosen = embedding(Mixing)
    embedded(place, episodes=3, embedding=chosen)
    before = embedded(place, 3, embedding=chosen).line
    assert "4 of 6 blocks of 10,000 states there (0-3), 2 missing (4-5)" in before
    embedded(place, "4-5", embedding=chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.embedding.engine.Engine.__init__", None)  # would fail if anything were computed
        made = embedded(place, embedding=chosen)
    (note,) = made.manifest.warnings
    assert "one at a time" in note


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"shards": "4-9"}, r"41 states of pictures/pong are blocks .* the last is 5\.[\s\S]*shards=\"4-5\""),
        ({"shards": 0, "force": True}, "force=true compares all"),
    ],
)
def test_shards_of_embeddings_that_cannot_be_are_refused(
    shown: list[np.ndarray], tmp_path: Path, asked: dict[str, Any], says: str
):
    place = Workspace(str(tmp_path))
    dataset(place, shown)
    with pytest.raises(InvalidInput, match=says):
        embedded(place, **asked)
