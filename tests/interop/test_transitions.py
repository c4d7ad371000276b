"""d3rlpy picks the same transitions from the same episodes, of one step and of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.views.transitions import Transitions
from tests.interop.side import read_by
from tests.pipeline.views.stored import episode_of, stored

pytestmark = pytest.mark.interop


def by_d3rlpy(path: str, n_step: int, discount: float) -> dict[str, object]:
    """All transitions of the episodes of an .npz: `observation`, `action`, `reward` one after the other."""
    import numpy as np
    from d3rlpy.dataset.components import Episode
    from d3rlpy.dataset.transition_pickers import BasicTransitionPicker, MultiStepTransitionPicker

    held = np.load(path)
    pick = BasicTransitionPicker() if n_step == 1 else MultiStepTransitionPicker(n_step, discount)
    picked = []
    for stop, length, terminated in zip(held["ends"], held["lengths"], held["terminated"], strict=True):
        rows = slice(stop - length, stop)
        episode = Episode(
            held["observation"][rows], held["action"][rows, None], held["reward"][rows, None], bool(terminated)
        )
        picked += [pick(episode, row) for row in range(episode.transition_count)]
    return {
        "observation": np.stack([each.observation for each in picked]),
        "action": np.concatenate([each.action for each in picked]),
        "reward": np.concatenate([each.reward for each in picked]),
        "next_observation": np.stack([each.next_observation for each in picked]),
        "terminated": np.array([bool(each.terminal) for each in picked]),
        "steps": np.array([each.interval for each in picked]),
    }


@pytest.mark.parametrize("n_step", [1, 3])
def test_d3rlpy_picks_the_same_transitions(tmp_path: Path, rng: np.random.Generator, n_step: int):
    """It holds no last observation: of an episode that was cut it leaves out the last step, as the view does."""
    lengths, ends = (5, 1, 7, 4, 2), (True, True, False, True, False)
    episodes = [
        episode_of(rng, length, end, nested=False, has_final_observation=False)
        for length, end in zip(lengths, ends, strict=True)
    ]
    states = {
        name: np.concatenate([episode.steps[name][:-1] for episode in episodes])
        for name in ("observation", "action", "reward")
    }
    np.savez(tmp_path / "held.npz", ends=np.cumsum(lengths), lengths=lengths, terminated=ends, **states)
    read = read_by("d4rl", by_d3rlpy, tmp_path / "held.npz", n_step, 0.9)
    view = Transitions.of(
        stored(Workspace(str(tmp_path / "outputs")), episodes),
        n_step=n_step, discount=0.9, float64=True, seed=None, fields=tuple(read),
    )  # fmt: skip
    batch = view.batch(np.arange(len(view)))
    for name, array in read.items():
        np.testing.assert_allclose(batch[name], array, rtol=1e-6, err_msg=name)
    assert len(view) == len(read["steps"])
