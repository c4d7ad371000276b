"""OGBench's own loader gives out what we hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.formats.ogbench import OgbenchFormat
from tests.interop.held import after, at_ends, held_episodes, laid, transitions
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_ogbench(path: str, pictures: bool) -> dict[str, object]:
    import numpy as np
    from ogbench.utils import load_dataset

    dtype = np.uint8 if pictures else np.float32
    regular = load_dataset(path, ob_dtype=dtype)
    compact = load_dataset(path, ob_dtype=dtype, compact_dataset=True)
    return regular | {f"compact/{name}": array for name, array in compact.items()}


@pytest.mark.parametrize("picture", [False, True], ids=["vectors", "screens"])
@pytest.mark.parametrize("compression", ["deflate", "none"])
def test_load_dataset_gives_the_transitions_of_both_files(tmp_path: Path, picture: bool, compression: str):
    episodes = held_episodes(picture)
    place = laid(OgbenchFormat(compression=compression), tmp_path, episodes)
    (train,) = [path for path in place.glob("*.npz") if not path.stem.endswith("-val")]
    read = [read_by("ogbench", by_ogbench, path, picture) for path in (train, train.with_name(f"{train.stem}-val.npz"))]
    assert sum(len(each["actions"]) for each in read) == sum(episode.length for episode in episodes)
    for each in read:
        mine = split_of(episodes, each["actions"])
        np.testing.assert_array_equal(each["observations"], transitions(mine, "observation"))
        np.testing.assert_array_equal(each["next_observations"], after(mine, "observation"))
        np.testing.assert_array_equal(each["actions"], transitions(mine, "action"))
        np.testing.assert_array_equal(each["terminals"].astype(bool), at_ends(mine))
        rows = np.concatenate([episode.steps["observation"] for episode in mine])
        np.testing.assert_array_equal(each["compact/observations"], rows)
        assert each["compact/valids"].sum() == len(each["actions"])


def split_of(episodes, actions):
    """The episodes of which these actions are, in order."""
    firsts = {row.tobytes() for row in actions}
    return [episode for episode in episodes if episode.steps["action"][0].tobytes() in firsts]
