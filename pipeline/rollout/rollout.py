"""Whole episodes of a policy in one environment, or in several copies of it side by side."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.plain import AnyEpisode
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, PipelineError, TaskFailed
from pipeline.exact import rounded
from pipeline.interfaces import (
    ArraySpec,
    Decision,
    Environment,
    GaveUp,
    Observation,
    OpenLoop,
    Policy,
    Telling,
    Transition,
)
from pipeline.observation import observation_copy
from pipeline.policies.outputs import name_taken
from pipeline.rollout.builder import EpisodeBuilder
from pipeline.wording import error_text

IDLE_SECONDS = 0.01
"""How long slots rest when no episode may begin yet."""

CHECKED = 64
"""Steps that are checked for NaN at a time."""


@dataclass(frozen=True)
class Start:
    """An episode to be played: its number in the dataset, the simulator's seed and the policy's generator."""

    index: int
    seed: int
    rng: np.random.Generator


@dataclass(frozen=True)
class Played:
    """A finished episode. `pictures`: what `watch` gave for each of its T+1 rows; `notes` are those of the builder."""

    index: int
    episode: AnyEpisode
    pictures: Sequence[Any] = ()
    notes: Sequence[str] = ()


Watch = Callable[[Environment], Any]
"""Called once for every row of an episode, while the environment stands there."""


def rollout(
    environment: Environment, policy: Policy, seed: int, rng: np.random.Generator, limit: int | None = None
) -> Episode:
    """One episode from `seed` to its end, or to the end of the first `limit` decisions; as in `play`."""
    episode = next(play([environment], policy, iter([Start(0, seed, rng)]), limit)).episode
    assert isinstance(episode, Episode)
    return episode


def play(
    environments: Sequence[Environment],
    policy: Policy,
    starts: Iterator[Start | None],
    limit: int | None = None,
    watch: Watch | None = None,
    plain: bool = False,
) -> Iterator[Played]:
    """Play the episodes that `starts` names, one in each environment at a time; yields each as it ends.

    `starts` is asked whenever an environment is free; None says that no episode may begin at the moment.
    The last observation is kept. Actions are stored as they were applied: in the dtype of the environment's action
    spec, and those that the environment `sent` in the place of the policy's. `info/<key>` is kept wherever its values
    are numbers of one shape; a key that only some steps have gets a mask. `end_reason` is `terminated`, `time_limit`,
    `gave_up` where the policy did, or `budget` where only `limit` ended the episode.

    What a `Telling` policy says of a decision becomes infos of the step. An `OpenLoop` policy plays in the first
    environment alone: nothing is gained by more. `plain` makes plain episodes (`pipeline.dataset.plain`) of those that
    can be.

    Raises:
        TaskFailed: the simulator raised an error or gave NaN; the message names the seed and the step.
        InvalidInput: the policy's action does not fit the action spec, or `limit` is below 1.
    """
    if limit is not None and limit < 1:
        raise InvalidInput(f"An episode needs at least one decision, limit={limit} was asked for.")
    telling = policy if isinstance(policy, Telling) else None
    if telling is None and isinstance(policy, OpenLoop) and _stands_for_act(policy):
        yield from _play_open_loop(environments[0], policy, starts, limit, watch, plain)
        return
    slots: dict[int, _Slot] = {}
    more = True
    while True:
        for number in range(len(environments)) if more and len(slots) < len(environments) else ():
            if number in slots:
                continue
            try:
                start = next(starts)
            except StopIteration:
                more = False
                break
            if start is None:
                break
            slots[number] = _Slot.begin(environments[number], start, watch)
            policy.start(number, environments[number])
        if not slots:
            if not more:
                return
            time.sleep(IDLE_SECONDS)
            continue
        # a policy gets its own copy: Meta-World's door experts write into what they are handed
        decisions = [
            Decision(number, observation_copy(slot.observation), slot.start.rng) for number, slot in slots.items()
        ]
        try:
            actions = policy.act(decisions)
        except Exception:
            for slot in slots.values():
                slot.check()  # it may have failed for what it was shown
            raise
        for decision, action in zip(decisions, actions, strict=True):
            slot = slots[decision.slot]
            if telling:
                slot.outputs = telling.outputs(decision.slot)
            if slot.take(policy, action) or slot.steps == limit:
                del slots[decision.slot]
                yield slot.end(plain)
            elif slot.restarted:
                policy.start(decision.slot, slot.environment)


def _play_open_loop(
    environment: Environment,
    policy: OpenLoop,
    starts: Iterator[Start | None],
    limit: int | None,
    watch: Watch | None,
    plain: bool,
) -> Iterator[Played]:
    """As `play`, where nothing needs to be copied for the policy, and no decision handed to it."""
    for start in starts:
        if start is None:
            time.sleep(IDLE_SECONDS)
            continue
        slot = _Slot.begin(environment, start, watch)
        policy.start(0, environment)
        for action in _upcoming(policy, start.rng, slot.spec):
            if slot.step(action) or slot.steps == limit:
                break
        yield slot.end(plain)


def _stands_for_act(policy: OpenLoop) -> bool:
    """Whether `upcoming` gives what `act` does: not where a class has inherited it and changes `act` alone."""
    own = (vars(kind) for kind in type(policy).__mro__)
    return next(("upcoming" in each for each in own if "act" in each or "upcoming" in each), False)


def _upcoming(policy: OpenLoop, rng: np.random.Generator, spec: ArraySpec) -> Iterator[Shaped[np.ndarray, "..."]]:
    """The actions of one episode, without end."""
    while True:
        several = policy.upcoming(rng)
        if not len(several):
            raise InvalidInput(f"The policy {policy.name} gave no action; at least one was asked for.")
        several = _fitting(policy, several, spec.dtype, (len(several), *spec.shape))
        for number in range(len(several)):
            yield several[number, ...]


@dataclass(slots=True)
class _Slot:
    """One environment with its episode in the making."""

    environment: Environment
    start: Start
    spec: ArraySpec
    observation: Observation
    building: EpisodeBuilder
    watch: Watch | None
    pictures: list[Any] = field(default_factory=list)
    outputs: Mapping[str, np.float32] = field(default_factory=dict)
    steps: int = 0
    checked: int = 0
    gave_up: bool = False
    restarted: bool = False

    @staticmethod
    def begin(environment: Environment, start: Start, watch: Watch | None) -> _Slot:
        observation = reset_environment(environment, start.seed)
        mission, reset_info = str(getattr(environment, "mission", "")), getattr(environment, "reset_info", {})
        building = EpisodeBuilder(observation, start.seed, mission, reset_info)
        slot = _Slot(environment, start, environment.action_spec, observation, building, watch)
        slot.look()
        return slot

    def take(self, policy: Policy, action: Shaped[np.ndarray, "..."] | GaveUp) -> bool:
        """What the policy wants; says whether the episode is over."""
        if not isinstance(action, GaveUp):
            return self.step(_fitting(policy, action, self.spec.dtype, self.spec.shape))
        if not self.steps:
            self.step(_fitting(policy, action.idle, self.spec.dtype, self.spec.shape))
        self.gave_up = True
        return True

    def step(self, action: Shaped[np.ndarray, "..."]) -> bool:
        """Apply one action; says whether the episode is over."""
        try:
            transition = self.environment.step(action)
        except PipelineError:
            self.check()
            raise
        except Exception as error:
            self.check()  # it may have failed for NaN that it gave before
            raise _failed_at(error, self.start.seed, self.steps) from error
        observation, self.restarted = transition.observation, transition.restarts
        self.observation = observation
        self.building.add_step(
            action if transition.sent is None else np.array(transition.sent, self.spec.dtype),
            observation,
            transition.reward,
            transition.terminated,
            transition.truncated,
            transition.discount,
            transition.success,
            _joined_infos(transition.info, self.outputs) if self.outputs else transition.info,
        )
        self.steps += 1
        if self.steps - self.checked == CHECKED:
            self.check()
        if self.watch is not None:
            self.look()
        return transition.terminated or transition.truncated

    def check(self) -> None:
        """Raises TaskFailed for the first of the steps since the last check that has NaN: one by one costs more."""
        with np.errstate(over="ignore"):  # once for all of them: it takes as long as ten checks
            for step, reward, observation in self.building.steps_from(self.checked):
                _check_numbers(reward, observation, self.start.seed, step)
        self.checked = self.steps

    def look(self) -> None:
        if self.watch is not None:
            self.pictures.append(self.watch(self.environment))

    def end(self, plain: bool) -> Played:
        if plain and (quickly := self.building.build_plain()) is not None:
            return Played(self.start.index, quickly, self.pictures)
        try:
            episode = self.building.build("gave_up" if self.gave_up else "budget")
        except Exception:
            self.check()  # an episode holds no NaN, but does not know of which seed it is
            raise
        return Played(self.start.index, episode, self.pictures, self.building.notes)


def reset_environment(environment: Environment, seed: int) -> Observation:
    """The first observation. Raises TaskFailed with the seed where the simulator fails or gives NaN."""
    try:
        observation = environment.reset(seed)
    except PipelineError:
        raise
    except Exception as error:  # a simulator may raise anything; the message must say which episode to look at
        raise TaskFailed(f"The simulator failed in the reset with seed {seed}: {error_text(error)}") from error
    with np.errstate(over="ignore"):
        has_nan = _has_nan(observation)
    if has_nan:
        raise TaskFailed(f"The simulator gave NaN in the observation of the reset with seed {seed}.")
    return observation


def step_environment(environment: Environment, action: Shaped[np.ndarray, "..."], seed: int, step: int) -> Transition:
    """What follows an action. Raises TaskFailed with the seed and the step where the simulator fails or gives NaN."""
    try:
        transition = environment.step(action)
    except PipelineError:
        raise
    except Exception as error:
        raise _failed_at(error, seed, step) from error
    with np.errstate(over="ignore"):
        _check_numbers(transition.reward, transition.observation, seed, step)
    return transition


def _failed_at(error: Exception, seed: int, step: int) -> TaskFailed:
    """A simulator may raise anything; the message must say which episode to look at."""
    return TaskFailed(f"The simulator failed at step {step} of the episode with seed {seed}: {error_text(error)}")


def _check_numbers(reward: float, observation: Observation, seed: int, step: int) -> None:
    """As `_has_nan`."""
    if not math.isfinite(reward):
        raise TaskFailed(f"The simulator gave the reward {reward} at step {step} with seed {seed}.")
    if _has_nan(observation):
        raise TaskFailed(f"The simulator gave NaN in the observation after step {step} with seed {seed}.")


def _joined_infos(info: Mapping[str, Any], outputs: Mapping[str, np.float32]) -> dict[str, Any]:
    """The infos of a step, and what the policy said besides. Raises InvalidInput where both have a name."""
    if twice := sorted(outputs.keys() & info.keys()):
        raise name_taken(twice[0])
    return {**info, **outputs}


def _fitting(
    policy: Policy, action: Shaped[np.ndarray, "..."], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Shaped[np.ndarray, "..."]:
    """A copy in the dtype of the action spec, of an action or of several: a policy may use one buffer for all."""
    if type(action) is np.ndarray and action.dtype == dtype and action.shape == shape:  # nearly always
        return action.copy()
    given = np.array(action)
    if given.shape != shape:
        raise InvalidInput(
            f"The policy {policy.name} gave an action of shape {given.shape}, the environment takes {shape}."
        )
    fitting = rounded(given, dtype)
    if fitting is None:
        raise InvalidInput(
            f"The policy {policy.name} gave the action {given.tolist()}, {given.dtype}; the environment takes "
            f"{dtype}, which cannot hold it."
        )
    return fitting


def _has_nan(observation: Observation) -> bool:
    """Squares may become infinite, so NumPy's warning of that is to be turned off."""
    if isinstance(observation, Mapping):
        return any(_has_nan(value) for value in observation.values())
    array = np.asarray(observation)
    if array.dtype.kind != "f":
        return False
    flat = array.ravel()
    return bool(np.isnan(flat.dot(flat)))  # a sum of squares is NaN only where a number is; faster than isnan of each
