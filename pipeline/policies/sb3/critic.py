"""What an actor-critic of Stable-Baselines3 says of an observation besides the action: entropy and value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.policies.outputs import ENTROPY, VALUE
from pipeline.policies.sb3.network import RECURRENT, split_inputs

TELLING = ("ppo", "a2c", "trpo", "ppo_lstm", "maskableppo")
"""The algorithms whose policy learns a value of observations, and whose distribution has an entropy."""

CRITIC_MEMORY = (f"{RECURRENT}critic_hidden", f"{RECURRENT}critic_cell")


class Critic:
    """Asks the value network, and the distribution for its entropy.

    Attributes:
        names: of what it tells. A distribution that is squashed (gSDE with bounds) has no entropy.
        memory: names of the memory of a recurrent value network.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        squashed = getattr(policy.action_dist, "bijector", None) is not None
        self.names: tuple[str, ...] = (VALUE,) if squashed else (ENTROPY, VALUE)
        self._recurrent = hasattr(policy, "lstm_actor")
        self.memory = CRITIC_MEMORY if getattr(policy, "lstm_critic", None) is not None else ()

    def forward(self, inputs: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Any]]:
        """What it tells, one number a row each, and the new memory of the value network."""
        observation, wanted = split_inputs(inputs)
        distribution = self._policy.get_distribution(observation, **wanted)
        if not self._recurrent:
            return self._numbers(distribution, self._policy.predict_values(observation)), ()
        (distribution, _), (values, memory) = distribution, self._remembering(observation, wanted, inputs)
        return self._numbers(distribution, values), memory

    def _remembering(
        self, observation: Any, wanted: Mapping[str, Any], inputs: Mapping[str, Any]
    ) -> tuple[Any, Sequence[Any]]:
        if not self.memory:
            return self._policy.predict_values(observation, **wanted), ()
        from sb3_contrib.common.recurrent.type_aliases import RNNStates

        own = tuple(inputs[name].transpose(0, 1).contiguous() for name in self.memory)
        states = RNNStates(wanted["lstm_states"], own)
        _, values, _, new = self._policy.forward(observation, states, wanted["episode_starts"], deterministic=True)
        return values, [each.transpose(0, 1).contiguous() for each in new.vf]

    def _numbers(self, distribution: Any, values: Any) -> list[Any]:
        rows = values.reshape(-1)
        return [rows] if self.names == (VALUE,) else [distribution.entropy().reshape(-1), rows]
