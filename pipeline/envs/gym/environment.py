"""Any Gymnasium environment: a registered one, or one of the user's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from pipeline.command import again
from pipeline.envs.gym.actions import FlatActions
from pipeline.envs.gym.infos import final_observation, kept_info, success_of
from pipeline.envs.gym.make import EnvironmentRecipe, Made
from pipeline.envs.gym.names import task_of_id
from pipeline.envs.gym.observations import Observations
from pipeline.envs.gym.pictures import draw
from pipeline.envs.gym.resets import ResetCount, count_resets
from pipeline.envs.gym.versions import environment_versions
from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput
from pipeline.exact import one_number
from pipeline.interfaces import ArraySpec, Observation, Player, Transition

log = logging.getLogger(__name__)


class Gym:
    """One Gymnasium environment: its observations, actions, rewards and ends as it gives them.

    Observation: what `gym_observations.Observations` makes of its space. Action: the one array of
    `gym_actions.Actions`. Success is what the info `is_success` or `success` says. Infos are copied and handed on.

    Each episode begins with `reset(seed=...)`. What outlives a reset inside the environment, and chance that it draws
    from elsewhere, are out of reach; `fresh` makes a new environment for each episode.

    Args:
        task: the slug of the id, as the domain calls it.
        env_id: a registered id, `module:id`, or with `entry_point` a new one.
        entry_point: `module:Class` of an environment that nobody registers.
        packages: modules to import first.
        env_kwargs: arguments of the environment; `max_episode_steps` among them is the time limit.
        max_steps: the time limit; None for the one in `env_kwargs`, else the registered one.
        fresh: make a new environment for each episode.
        mission: key of the text that is the episode's mission; None where every text is an observation.
        rounding: real numbers in observations are rounded to the dtype of their space.

    Attributes:
        mission: the text of the present episode's mission.
        reset_info: the info of its reset, copied.

    Raises InvalidInput for impossible settings; at first use InvalidInput or UnknownName for an environment that cannot
    be found or made, or whose spaces cannot be stored.
    """

    def __init__(
        self,
        task: str,
        env_id: str | None,
        entry_point: str | None = None,
        packages: str | Sequence[str] = (),
        env_kwargs: Mapping[str, Any] | None = None,
        max_steps: int | None = None,
        fresh: bool = False,
        mission: str | None = "mission",
        rounding: bool = False,
    ) -> None:
        if task != task_of_id(env_id):
            raise InvalidInput(f"The task {task} is not that of domain.env_id={env_id}, which is {task_of_id(env_id)}.")
        self._recipe = EnvironmentRecipe(env_id, entry_point, packages, env_kwargs, max_steps)
        self._fresh, self._mission_key, self._rounding = bool(fresh), mission, bool(rounding)
        self.mission = ""
        self.reset_info: Mapping[str, Any] = {}
        self._made: Made | None = None
        self._resets: ResetCount
        self._learned: tuple[Observations, FlatActions, dict[str, str]] | None = None
        self._used = self._running = False

    @property
    def _here(self) -> Made:
        """The environment; made at first use."""
        if self._made is None:
            self._made, self._used = self._recipe.make(), False
            self._resets = count_resets(self._made.env)
        return self._made

    @property
    def _known(self) -> tuple[Observations, FlatActions, dict[str, str]]:
        """Observations, actions and versions, learned from the first environment made; they outlive `close`."""
        if self._learned is None:
            env = self._here.env
            observations = Observations(env.observation_space, self._mission_key, self._rounding)
            self._learned = observations, FlatActions(env.action_space), environment_versions(env)
        return self._learned

    @property
    def action_spec(self) -> ArraySpec:
        """The action space as one array. Bounds of real numbers may be infinite."""
        return self._known[1].spec

    def identity(self) -> Mapping[str, Any]:
        """Id, entry point, arguments, versions, options, and how the one array of an action is laid out."""
        _, actions, versions = self._known
        facts = self._recipe.identity()
        if facts["max_steps"] is None:
            log.info("%s has no time limit; domain.max_steps=N sets one", facts["id"])
        return {
            "simulator": "gymnasium",
            **facts,
            "versions": versions,
            "fresh": self._fresh,
            "mission": self._mission_key,
            "rounding": self._rounding,
            "action_layout": actions.layout,
        }

    def reset(self, seed: int) -> Observation:
        """Begin an episode with `reset(seed=seed)`."""
        if self._fresh and self._used:
            self.close()
        observations, env = self._known[0], self._here.env
        self._used, self._running = True, False
        answer = env.reset(seed=int(seed))
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise InvalidInput("reset() must return an observation and an info, as Gymnasium's environments do.")
        observation, self.mission = observations.read(answer[0])
        self.reset_info = kept_info(answer[1])
        self._running = True
        return observation

    def step(self, action: Shaped[np.ndarray, "..."]) -> Transition:
        """Apply one action. Raises InvalidInput where what comes back is not what the space promises."""
        if self._made is None or self._learned is None or not self._running:
            raise RuntimeError("The episode is over, or none has begun: call reset first.")
        observations, actions, _ = self._learned
        resets = self._resets.count
        answer = self._made.env.step(actions.taken_apart(action))
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise InvalidInput(
                "step() must return five values, as Gymnasium's environments do: observation, reward, terminated, "
                "truncated, info. Environments of the old Gym gave four."
            )
        seen, reward, terminated, truncated, info = answer
        if (terminated or truncated) and (last := final_observation(info)) is not None:
            seen = last
        elif self._resets.count > resets:
            raise InvalidInput(
                "The environment was reset inside of step(), so what it shows is of another episode already. Take away "
                "what resets it, or let it hand out the last observation as info['final_obs'] where an episode ends."
            )
        observation, mission = observations.read(seen)
        if mission != self.mission:
            raise InvalidInput(
                f"The text {self._mission_key} changed in the middle of an episode: {mission!r} after "
                f"{self.mission!r}. Store it with every observation instead: domain.mission=null"
            )
        terminated, truncated = bool(terminated), bool(truncated)
        self._running = not (terminated or truncated)
        reward, discount = one_number(reward, "reward"), 0.0 if terminated else 1.0
        kept = kept_info(info)
        success = success_of(kept) if kept else UNKNOWN
        return Transition(observation, reward, terminated, truncated, discount, success, kept)

    def render(self) -> UInt8[np.ndarray, "h w 3"]:
        """The picture that the environment draws of itself. Raises NoRenderer where it cannot."""
        if self._made is None or not self._used:
            raise RuntimeError("There is nothing to draw yet: call reset first.")
        return draw(self._made)

    def picture_identity(self) -> Mapping[str, Any]:
        """How it draws; the arguments and versions that change pictures may change episodes, too."""
        return {"render_mode": "rgb_array"}

    def expert(self) -> Player:
        """Raises InvalidInput: Gymnasium knows no experts."""
        raise InvalidInput(
            "Gymnasium's environments have no scripted expert. Take a trained agent (policy=sb3), a function of "
            f"yours (policy=callable), or play at random: {again(policy='random')}"
        )

    def close(self) -> None:
        """Free the environment; the next reset makes a new one."""
        if self._made is not None:
            self._made.env.close()
        self._made, self._running = None, False
