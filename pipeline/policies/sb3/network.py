"""The policy network of a Stable-Baselines3 agent: what it says about an observation, and the action to take then."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra
from pipeline.policies import sampling
from pipeline.policies.normalize import PLAIN
from pipeline.policies.sb3.zip import CONTRIB, AgentFile, unpickled
from pipeline.policies.spaces import gymnasium_space
from pipeline.wording import first_line

RECURRENT = "recurrent/"
"""Begins the names of the inputs and outputs that hold a recurrent network's memory, (rows, layers, width)."""

HIDDEN, CELL = f"{RECURRENT}hidden", f"{RECURRENT}cell"
"""That of the part that acts."""


def build_policy(agent: AgentFile, device: str) -> Any:
    """The agent's `BasePolicy` with its weights, ready to predict. RUNS CODE of the zip: only for one that is trusted.

    Only the policy is built: no replay buffer, no optimizer state. Raises InvalidInput where a package is missing, or
    where the weights do not fit.
    """
    torch = _torch(agent.algorithm, device)
    kind, options = unpickled(agent, "policy_class"), unpickled(agent, "policy_kwargs") or {}
    if not isinstance(options, dict):
        raise InvalidInput(f"{agent.path} is damaged: its policy_kwargs are {type(options).__name__}, not a mapping.")
    options = dict(options)
    options.pop("device", None)
    layers = options.get("net_arch")
    if isinstance(layers, list) and layers and isinstance(layers[0], dict):
        options["net_arch"] = layers[0]  # as it was written before Stable-Baselines3 1.8
    if agent.algorithm in ("ppo", "a2c", "trpo", "ppo_lstm"):
        options["use_sde"] = bool(agent.data.get("use_sde", False))
    schedule = () if agent.algorithm == "ars" else (_no_learning,)
    with torch.random.fork_rng(devices=[]):  # first weights are drawn, and thrown away
        try:
            spaces = gymnasium_space(agent.observations), gymnasium_space(agent.actions)
            policy = kind(*spaces, *schedule, **options)
        except InvalidInput:
            raise
        except Exception as error:  # the class may be anybody's
            raise InvalidInput(f"The network of {agent.path} cannot be built: {error!r}") from error
    _load(policy, _weights(agent), agent)
    policy.set_training_mode(False)
    return policy.to(device)


def _torch(algorithm: str, device: str) -> Any:
    import_extra("policies", "stable_baselines3")
    if algorithm in CONTRIB:
        import_extra("policies", "sb3_contrib")
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidInput(f"policy.device={device}, but torch finds no GPU here. Leave it out for the CPU.")
    return torch


def _no_learning(_: float | int) -> float:
    return 0.0


def _weights(agent: AgentFile) -> Any:
    """The state dict in the zip; nothing in it is run."""
    import torch

    try:
        return torch.load(io.BytesIO(agent.member("policy.pth")), map_location="cpu", weights_only=True)
    except InvalidInput:
        raise
    except Exception as error:  # torch raises whatever it comes upon
        raise InvalidInput(f"{agent.path} is damaged: policy.pth cannot be read: {first_line(error)}") from error


def _load(policy: Any, weights: Mapping[str, Any], agent: AgentFile) -> None:
    """Agents from before Stable-Baselines3 1.7 have one copy of a shared feature extractor, not three."""
    try:
        missing, unknown = policy.load_state_dict(weights, strict=False)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise InvalidInput(f"The weights in {agent.path} do not fit its network: {error}") from error
    copies = ("pi_features_extractor.", "vf_features_extractor.")
    shared = getattr(policy, "share_features_extractor", False)
    if unknown or [name for name in missing if not (shared and name.startswith(copies))]:
        raise InvalidInput(
            f"The weights in {agent.path} do not fit its network: {[*missing, *unknown][:6]} do not match."
        )


@runtime_checkable
class Head(Protocol):
    """The last part of the way from an observation to an action."""

    def forward(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        """Tensors of as many rows as the inputs have. Those of a recurrent network end in its new memory."""

    def choose(self, rows: Sequence[Shaped[np.ndarray, "..."]], rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
        """An action of one row of these, as the network gives it: not yet clipped, nor scaled to its bounds."""


def head(policy: Any, deterministic: bool, exploration: float) -> Head:
    """How this policy chooses: the likeliest action, or one drawn as the algorithm does when it explores.

    TD3, DDPG and ARS explore only while they train (with noise on actions or weights): they choose alike either way.
    """
    if deterministic or not (hasattr(policy, "get_distribution") or hasattr(_actor(policy), "action_dist")):
        values = hasattr(policy, "q_net") or hasattr(policy, "quantile_net")
        return Greedy(policy, exploration if values and not deterministic else 0.0)
    return Sampled(policy)


class Greedy:
    """The best action; a uniformly random one of n with the chance that DQN calls its exploration rate."""

    def __init__(self, policy: Any, exploration: float) -> None:
        self._policy, self._exploration = policy, exploration

    def forward(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        observation, memory = split_inputs(inputs)
        given = self._policy._predict(observation, deterministic=True, **memory)
        return _joined(given, bool(memory))

    def choose(self, rows: Sequence[Shaped[np.ndarray, "..."]], rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
        if self._exploration and rng.random() < self._exploration:
            return np.asarray(rng.integers(int(self._policy.action_space.n)))
        return rows[0]


class Sampled:
    """An action drawn from the distribution that the network describes.

    With generalised state-dependent exploration each action is drawn from its own marginal: a normal distribution whose
    deviation depends on the state.
    """

    def __init__(self, policy: Any) -> None:
        from stable_baselines3.common.distributions import BernoulliDistribution, SquashedDiagGaussianDistribution

        self._policy = policy
        kind = policy.action_dist if hasattr(policy, "get_distribution") else _actor(policy).action_dist
        self._squashes = (
            isinstance(kind, SquashedDiagGaussianDistribution) or getattr(kind, "bijector", None) is not None
        )
        self._switches = isinstance(kind, BernoulliDistribution)
        self._ends = np.cumsum(_choices(policy.action_space))

    def forward(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        observation, memory = split_inputs(inputs)
        if hasattr(self._policy, "get_distribution"):
            given = self._policy.get_distribution(observation, **memory)
        else:
            actor = _actor(self._policy)
            *parameters, more = actor.get_action_dist_params(observation)
            given = actor.action_dist.proba_distribution(*parameters, **more)
        ours, *new_memory = _joined(given, bool(memory))
        return *_parameters(ours), *new_memory

    def choose(self, rows: Sequence[Shaped[np.ndarray, "..."]], rng: np.random.Generator) -> Shaped[np.ndarray, "..."]:
        if self._switches:
            return sampling.bernoulli(rows[0], rng)
        if len(self._ends):
            several = np.split(rows[0], self._ends[:-1])
            return np.asarray([sampling.categorical(logits, rng) for logits in several])
        drawn = sampling.normal(rows[0], rows[1], rng)
        return np.tanh(drawn) if self._squashes else drawn


def _parameters(given: Any) -> Sequence[Any]:
    """A distribution of Stable-Baselines3 in numbers: mean and deviation, or the logits of all choices."""
    import torch

    inner = getattr(given, "distributions", None) or given.distribution
    if hasattr(inner, "loc"):
        return inner.loc, inner.scale
    return (torch.cat([each.logits for each in (inner if isinstance(inner, list) else [inner])], dim=-1),)


def _choices(space: Any) -> list[int]:
    """How many values each part of an action may have; none for real numbers."""
    if hasattr(space, "nvec"):
        return [int(size) for size in space.nvec]
    if type(space).__name__ == "MultiBinary":
        return [2] * int(space.n)
    return [int(space.n)] if hasattr(space, "n") else []


def _actor(policy: Any) -> Any:
    return getattr(policy, "actor", None)


def split_inputs(inputs: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The observation, and what a recurrent policy wants besides."""
    seen = {name: tensor for name, tensor in inputs.items() if not name.startswith(RECURRENT)}
    observation = seen[PLAIN] if set(seen) == {PLAIN} else seen
    if HIDDEN not in inputs:
        return observation, {}
    hidden, cell = (inputs[name].transpose(0, 1).contiguous() for name in (HIDDEN, CELL))
    # memory is cleared when an episode starts, so for the network no row begins one
    return observation, {"lstm_states": (hidden, cell), "episode_starts": hidden.new_zeros(hidden.shape[1])}


def _joined(given: Any, recurrent: bool) -> tuple[Any, ...]:
    """A policy's answer, followed by the new memory as rows where it is recurrent."""
    if not recurrent:
        return (given,)
    answer, (hidden, cell) = given
    return answer, hidden.transpose(0, 1).contiguous(), cell.transpose(0, 1).contiguous()
