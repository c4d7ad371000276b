"""Agents that were trained with Stable-Baselines3 or sb3-contrib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.command import again
from pipeline.digest import digest_file
from pipeline.errors import InvalidInput
from pipeline.interfaces import ArraySpec, Decision, Environment, Observation
from pipeline.machine.extras import extra_versions
from pipeline.observation import observation_arrays
from pipeline.policies.inputs import Input, NetworkInputs
from pipeline.policies.network import SLOTS, SlotNetwork, zeros
from pipeline.policies.normalize import PLAIN, Scaling, read_scalings, statistics_beside
from pipeline.policies.outputs import no_outputs
from pipeline.policies.sampling import finite
from pipeline.policies.sb3.critic import TELLING, Critic
from pipeline.policies.sb3.network import CELL, HIDDEN, Head, build_policy, head
from pipeline.policies.sb3.zip import CONTRIB, AgentFile
from pipeline.policies.spaces import Space, check_actions, gymnasium_space
from pipeline.policies.stack import fit_observation
from pipeline.wording import first_line


class StableBaselines:
    """Plays a trained agent. Reads the weights at the first `start`, in the process that plays.

    Args:
        file: the agent's zip.
        algorithm: its algorithm, where the zip does not tell.
        deterministic: False draws actions as the agent did while it trained, from the episode's own generator: from
            its distribution, or for DQN and QRDQN a random one with the exploration rate in the zip. TD3, DDPG and ARS
            are deterministic either way.
        device: cpu, cuda, cuda:1 ...
        trust: loading such a zip runs code that is in it; only True does it.
        stack: observations that it sees at once; unset: as its observation space tells.
        padding: what a stack begins with: zero (VecFrameStack) or first (Gymnasium: the first observation repeated).
        normalize: VecNormalize statistics: auto (those that lie beside the zip), false, or a file.
        outputs: tell the entropy and the value of each decision.

    Raises InvalidInput without `trust`, for a file that is no agent, for `outputs` of an algorithm without, and at
    `start` or the first `act` for an environment whose actions or observations are not those of the agent.
    """

    slots = SLOTS

    def __init__(
        self,
        file: str | Path | None,
        algorithm: str | None = None,
        deterministic: bool = True,
        device: str = "cpu",
        trust: bool = False,
        stack: int | None = None,
        padding: str = "zero",
        normalize: str | Path | bool = "auto",
        outputs: bool = False,
    ) -> None:
        if file is None:
            raise InvalidInput(
                "Which agent? Give its zip, a folder of checkpoints or a file on the hub: policy.path=..."
            )
        if not trust:
            raise InvalidInput(
                f"Loading {file} runs code that is in it, as with every Stable-Baselines3 zip. "
                f"If you know where it comes from, allow it: {again(trust=True)}"
            )
        self._agent = AgentFile(Path(file), algorithm)
        self._deterministic, self._device = deterministic, device
        self._frames, self._padding, self._normalize = stack, padding, normalize
        self._outputs, self._newest = outputs, dict[int, dict[str, np.float32]]()
        self._specs: dict[int, ArraySpec] = {}
        self._inputs: NetworkInputs | None = None

    @property
    def name(self) -> str:
        """Such as ppo-2000000."""
        return self._agent.name

    def identity(self) -> Mapping[str, Any]:
        """Algorithm and step, BLAKE3 of the zip and its statistics, every option, and the versions that compute."""
        self._check_outputs()
        packages = ("torch", "stable-baselines3", *(["sb3-contrib"] if self._agent.algorithm in CONTRIB else []))
        return {
            "name": self.name,
            "algorithm": self._agent.algorithm,
            "step": self._agent.step,
            "weights": digest_file(self._agent.path),
            "normalize": digest_file(self._statistics) if self._statistics else None,
            "deterministic": self._deterministic,
            "stack": self._frames,
            "padding": self._padding,
            "width": SLOTS,
            "device": self._device.split(":")[0],
            "versions": extra_versions("policies", *packages),
            **({"outputs": True} if self._outputs else {}),
        }

    def _check_outputs(self) -> None:
        if self._outputs and self._agent.algorithm not in TELLING:
            raise no_outputs(f"{self._agent.path}, an agent of {self._agent.algorithm},")

    @cached_property
    def _statistics(self) -> Path | None:
        """The file of VecNormalize's statistics."""
        if self._normalize in (False, None):
            return None
        if self._normalize in ("auto", True):
            return statistics_beside(self._agent.path)
        path = Path(str(self._normalize)).expanduser()
        if not path.is_file():
            raise InvalidInput(
                f"There are no VecNormalize statistics {path}: policy.normalize=FILE.pkl, or false for none.\n"
                f"Those beside the agent, where there are some: {again(policy__normalize='auto')}"
            )
        return path

    @cached_property
    def _policy(self) -> Any:
        return build_policy(self._agent, self._device)

    @cached_property
    def _head(self) -> Head:
        return head(self._policy, self._deterministic, self._agent.exploration)

    @cached_property
    def _critic(self) -> Critic | None:
        """What tells the entropy and the value, if that was asked for."""
        self._check_outputs()
        return Critic(self._policy) if self._outputs else None

    @cached_property
    def _memory(self) -> dict[str, Any]:
        """The memory of a recurrent network, (SLOTS, layers, width); nothing of another one."""
        if not hasattr(self._policy, "lstm_actor"):
            return {}
        layers, _, width = self._policy.lstm_hidden_state_shape
        names = (HIDDEN, CELL, *(self._critic.memory if self._critic else ()))
        return {name: zeros((layers, width), np.dtype(np.float32)) for name in names}

    def start(self, slot: int, environment: Environment) -> None:
        """Begin an episode: check the actions, forget what the slot saw before."""
        check_actions(self._agent.actions, environment, str(self._agent.path))
        self._specs[slot] = environment.action_spec
        if self._inputs:
            self._inputs.clear(slot)
        for tensor in self._memory.values():
            tensor[slot] = 0

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """The agent's actions, within their bounds. Raises RuntimeError for a slot without `start`."""
        if self._inputs is None:
            self._inputs = self._inputs_for(decisions[0].observation)
        for decision in decisions:
            if decision.slot not in self._specs:
                raise RuntimeError(f"The policy {self.name} has no episode in slot {decision.slot}: call start first.")
            self._inputs.push(decision.slot, decision.observation)
        outputs = self._network([decision.slot for decision in decisions])
        for tensor, new in zip(self._memory.values(), outputs[len(outputs) - len(self._memory) :], strict=True):
            for decision in decisions:
                tensor.numpy()[decision.slot] = new[decision.slot]
        names = self._critic.names if self._critic else ()
        for decision in decisions:
            self._newest[decision.slot] = {
                name: np.float32(numbers[decision.slot]) for name, numbers in zip(names, outputs, strict=False)
            }
        rows = outputs[len(names) :]
        return [self._action(decision, [output[decision.slot, ...] for output in rows]) for decision in decisions]

    def outputs(self, slot: int) -> Mapping[str, np.float32]:
        """The entropy and the value of the newest decision in a slot, if that was asked for."""
        return self._newest.get(slot, {})

    def _action(self, decision: Decision, rows: Sequence[Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
        action, spec = self._head.choose(rows, decision.rng), self._specs[decision.slot]
        if self._agent.actions.kind == "box":
            low, high = np.asarray(self._agent.actions.spec.low), np.asarray(self._agent.actions.spec.high)
            action = finite(action).reshape(low.shape)
            if self._policy.squash_output:
                action = low + (0.5 * (action + 1.0) * (high - low))
            else:
                action = np.clip(action, low, high)
        return np.asarray(action, spec.dtype).reshape(spec.shape)

    @property
    def _wanted(self) -> Mapping[str, Space]:
        space = self._agent.observations
        return space.parts if space.kind == "dict" else {PLAIN: space}

    @cached_property
    def _network(self) -> SlotNetwork:
        assert self._inputs is not None
        rng, wanted = np.random.default_rng(0), self._wanted
        examples = {}
        for name, tensor in (self._inputs.tensors | self._memory).items():
            if tensor.is_floating_point():
                examples[name] = rng.standard_normal(tuple(tensor.shape)).astype(np.float32)
            else:
                space = gymnasium_space(wanted[name])
                space.seed(0)
                examples[name] = np.stack([space.sample() for _ in range(SLOTS)]).astype(tensor.numpy().dtype)
        return SlotNetwork(self._forward, self._inputs.tensors | self._memory, examples)

    def _forward(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        there = {name: tensor.to(self._device) for name, tensor in inputs.items()}
        try:
            if self._critic is None:
                return self._head.forward(there)
            numbers, memory = self._critic.forward(there)
            return *numbers, *self._head.forward(there), *memory
        except (ValueError, RuntimeError) as error:  # torch's distributions refuse what is not finite
            raise InvalidInput(f"The network of {self._agent.path} cannot play: {first_line(error)}") from error

    def _inputs_for(self, observation: Observation) -> NetworkInputs:
        """Rows for such observations. Raises InvalidInput where the agent was trained to see others."""
        seen, wanted = observation_arrays(observation), self._wanted
        if missing := set(wanted) - set(seen):
            raise InvalidInput(f"{self._agent.path} {_names_differ(missing, set(seen))}")
        scalings = read_scalings(self._statistics) if self._statistics else {}
        return NetworkInputs({name: self._input(name, seen[name], wanted[name], scalings.get(name)) for name in wanted})

    def _input(self, name: str, seen: Shaped[np.ndarray, "..."], wanted: Space, scaling: Scaling | None) -> Input:
        where = f" {name}" if name else ""
        whole = wanted.spec.dtype.kind in "iub"
        way = fit_observation(seen.shape, wanted.spec.shape, self._frames)
        if way is None or (
            not scaling and (whole != (seen.dtype.kind in "iub") or _narrower(wanted.spec.dtype, seen.dtype))
        ):
            raise InvalidInput(
                f"{self._agent.path} was trained to see{where} {wanted.spec.dtype} of shape {wanted.spec.shape}; this "
                f"environment shows {seen.dtype} of shape {seen.shape}.{_stack_hint(seen.shape, wanted.spec.shape)}"
            )
        if scaling and scaling.mean.shape not in (way.observation, way.shape):
            raise InvalidInput(
                f"The statistics {self._statistics} are of observations{where} of shape {scaling.mean.shape}; this "
                f"environment shows {seen.shape}. Others: policy.normalize=FILE.pkl; none: "
                f"{again(policy__normalize=False)}"
            )
        return Input(way, wanted.spec.dtype if whole else np.dtype(np.float32), self._padding, scaling)


def _narrower(wanted: np.dtype[Any], seen: np.dtype[Any]) -> bool:
    """Pictures are uint8; other whole numbers may be of another width."""
    return np.uint8 in (wanted, seen) and wanted != seen


def _names_differ(missing: set[str], seen: set[str]) -> str:
    if missing == {PLAIN}:
        return f"was trained to see one array; this environment shows several: {', '.join(sorted(seen))}."
    shows = "one array" if seen == {PLAIN} else ", ".join(sorted(seen))
    return f"was trained to see {', '.join(sorted(missing))}, too; this environment shows {shows}."


def _stack_hint(seen: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    if len(seen) == len(wanted) == 1 and seen[0] and wanted[0] > seen[0] and wanted[0] % seen[0] == 0:
        return f" If it saw {wanted[0] // seen[0]} of them at once: {again(policy__stack=wanted[0] // seen[0])}"
    return " Choose the task, and its version and options, that it was trained on."
