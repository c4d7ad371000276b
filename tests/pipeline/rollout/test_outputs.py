"""What a policy tells of its decisions is kept by workers, too."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain
from pipeline.envs.toy import Toy
from pipeline.policies.outputs import VALUE
from pipeline.policies.random import Random
from pipeline.rollout.audit import audit
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


class TellingIdentity(Teller):
    """As `policy.outputs=true` is recorded."""

    def identity(self):
        return {**super().identity(), "outputs": True}


def test_episodes_with_what_their_policy_said_replay(toy: Domain, tmp_path: Path):
    workspace = Workspace(str(tmp_path))
    made = collected(toy, workspace, policy=TellingIdentity, outputs=True, episodes=2, workers=1)
    assert [each.row for each in audit(partial(Toy, task="corner", max_steps=60), made, 1)] == [None, None]
