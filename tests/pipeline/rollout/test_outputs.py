"""What a policy tells of its decisions is kept by workers, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.policies.outputs import VALUE
from pipeline.policies.random import Random
from tests.conftest import collected


class Teller(Random):
    """Tells how many decisions there were in a slot."""

    def __init__(self) -> None:
        super().__init__()
        self._count = dict[int, int]()

    def start(self, slot, environment):
        super().start(slot, environment)
        self._count[slot] = 0

    def act(self, decisions):
        for decision in decisions:
            self._count[decision.slot] += 1
        return super().act(decisions)

    def outputs(self, slot):
        return {VALUE: np.float32(self._count[slot])}


def test_workers_keep_them(toy: Domain, tmp_path: Path):
    made = collected(toy, Workspace(str(tmp_path)), policy=Teller, outputs=True, episodes=3, workers=2, randomness=0.5)
    for episode in EpisodeDataset.of(made):
        assert episode.steps[f"info/{VALUE}"].tolist() == [*range(1, episode.length + 1), 0]
