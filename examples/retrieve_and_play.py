"""Retrieve and play, REGENT's baseline without a network: do what was done at the nearest state of the data.

python run.py stage=collect domain=metaworld task=pick-place    # 100 episodes of the expert: 20 seconds
python examples/retrieve_and_play.py                            # 5 seconds
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from play import OUTPUTS, SoFar, play

from pipeline import EpisodeDataset, ExactIndex, Workspace
from pipeline.envs.metaworld import MetaWorld


def retriever(data: EpisodeDataset) -> Callable[[SoFar], np.ndarray]:
    """Gives the action of the state whose observation is nearest to the newest one."""
    index = ExactIndex(data.state_rows("observation", 0, data.states).astype(np.float32))
    actions = data.state_rows("action", 0, data.states)

    def act(so_far: SoFar) -> np.ndarray:
        return actions[index.search(np.array(so_far.observations[-1:], np.float32), k=1).rows[0, 0]]

    return act


def main(outputs: str = str(OUTPUTS)) -> None:
    """Play at once: there is nothing to train."""
    data = Workspace(outputs)["metaworld/pick-place/scripted-v1"]
    play(MetaWorld("pick-place"), retriever(data), data)


if __name__ == "__main__":
    main(*sys.argv[1:])
