"""What the actions of a JAT task can be: whole numbers that its environment knows, or forces within bounds."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from pipeline.domains.atari import minimal_actions
from pipeline.sources.jat.rows import Block
from pipeline.sources.quirks import Quirks

BABYAI_ACTIONS = 7
"""Turn left, turn right, go forward, pick up, drop, toggle, done."""

FORCES = {"metaworld": 1.0, "mujoco": 1.0}
"""Domains whose environments take forces, and the largest force of most tasks."""

OTHER_FORCES = {"humanoid": 0.4, "standup": 0.4, "pendulum": 3.0, "pusher": 2.0}
"""MuJoCo tasks with another one."""


def check_jat_actions(
    domain: str, task: str, block: Block, real: Bool[np.ndarray, "rows width"], quirks: Quirks
) -> None:
    """Raises InvalidInput for a choice that the environment does not have; forces beyond its bounds are counted.

    An environment cuts such a force, so a recording may hold it; of a domain that is not known, nothing is asked.
    """
    if domain in ("atari", "babyai"):
        many = len(minimal_actions(task)) if domain == "atari" else BABYAI_ACTIONS
        chosen = block.arrays["discrete_actions"]
        block.refuse(
            "discrete_actions",
            real & ((chosen < 0) | (chosen >= many)),
            f"Actions of {domain} {task} are 0 to {many - 1}, those that the environment has.",
        )
    elif domain in FORCES:
        most = OTHER_FORCES.get(task, FORCES[domain]) if domain == "mujoco" else FORCES[domain]
        beyond = (np.abs(block.arrays["continuous_actions"]) > np.float32(most)).any(axis=2) & real
        quirks.count(
            "actions_beyond_bounds",
            f"{{count}} steps have actions beyond {-most:g} to {most:g}, which the environment cuts to that; those are "
            f"stored unchanged.",
            int(beyond.sum()),
            rule="actions are stored as they are",
        )
