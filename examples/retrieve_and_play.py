"""Retrieve and play, REGENT's baseline without a network: do what was done at the most similar state of the data.

python run.py stage=collect domain=metaworld task=pick-place    # the expert's 100 episodes: 20 seconds
python examples/retrieve_and_play.py                            # 5 seconds
"""

from __future__ import annotations

import sys

import numpy as np
from play import OUTPUTS, Act, play

from pipeline import EpisodeDataset, ExactIndex, Workspace
from pipeline.envs.metaworld import MetaWorld


def nearest(data: EpisodeDataset) -> Act:
    """The action of the data's nearest state, by the distance of the observations."""
    index = ExactIndex(data.state_rows("observation", 0, data.states).astype(np.float32))
    actions = data.state_rows("action", 0, data.states)
    return lambda observations, *_: actions[index.search(np.float32(observations[-1:]), k=1).rows[0, 0]]


def main(outputs: str = str(OUTPUTS)) -> None:
    """Play, without any training."""
    data = Workspace(outputs)["metaworld/pick-place/scripted-v1"]
    play(MetaWorld("pick-place"), nearest(data), data)


if __name__ == "__main__":
    main(*sys.argv[1:])
