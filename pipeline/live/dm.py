"""Episodes of a dm_env environment, recorded while something else steps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dm_env  # type: ignore[import-untyped]  # dm_env has no types
import numpy as np
from dm_env import specs
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.exact import NUMBERS, one_number
from pipeline.live.copies import action_copy
from pipeline.live.layout import ObservationLayout, OneArray, enumerate_as_texts, layout_copy, layout_dtypes
from pipeline.live.log import EpisodeLog
from pipeline.live.recording import Recording, asked, attempt

FIRST_UNSEEN = (
    "a time step after the last one of an episode did not begin a sequence: the environment resets itself inside of "
    "step. The next episode is stored from there on, without its first step"
)


class RecordDmEpisodes(dm_env.Environment):  # type: ignore[misc]  # dm_env has no types
    """Hands each finished episode of `environment` to `log`, and changes nothing that goes in or out.

    An episode whose last time step has discount 0 is terminated; with any other discount it is truncated. The action of
    a step that begins a sequence (the first one, or one after a last time step) is ignored, here as by the environment.
    A sequence that begins before the one under way has ended ends that one, with `end_reason` `source`. Lists and
    tuples of observations become `observation/0`, ..., mappings `observation/<key>`, in the dtypes and shapes of their
    specs where that loses nothing. dm_env has neither seeds nor infos. All other attributes are looked up on
    `environment`.

    A fault in recording loses that episode, with a warning in the manifest; the loop goes on.

    Raises:
        InvalidInput: `environment` is of another kind, observations are no arrays, actions, rewards or discounts are
            not one array, or not one number, or the log is closed.
    """

    def __init__(self, environment: dm_env.Environment, log: EpisodeLog) -> None:
        if not isinstance(environment, dm_env.Environment):
            raise InvalidInput(f"RecordDmEpisodes takes a dm_env.Environment; this is {type(environment).__name__}.")
        self._environment = environment
        spec = environment.action_spec()
        if not isinstance(spec, specs.Array):
            raise InvalidInput(f"An action must be one array; flatten it first. The action spec is {spec}.")
        for name, number in (("reward", environment.reward_spec()), ("discount", environment.discount_spec())):
            if not isinstance(number, specs.Array) or number.shape != ():
                raise InvalidInput(f"A {name} must be one number to be logged. The {name} spec is {number}.")
        layout = _layout(environment.observation_spec(), "observation")
        self._action, self._copy = (np.dtype(spec.dtype), tuple(spec.shape)), layout_copy(layout)
        self._log, self._recording = log, Recording(log, layout_dtypes(layout))
        self._guarded = (self._recording,)

    def reset(self) -> dm_env.TimeStep:
        if self._log.stopped:
            return self._environment.reset()
        self._log.require_open()
        timestep = asked(self._guarded, self._environment.reset)
        attempt(self._guarded, self._begin, timestep)
        return timestep

    def step(self, action: Any) -> dm_env.TimeStep:
        if self._log.stopped:
            return self._environment.step(action)
        applied = attempt(self._guarded, action_copy, action, *self._action) if self._recording.under_way else None
        timestep = asked(self._guarded, self._environment.step, action)
        attempt(self._guarded, self._add, applied, timestep)
        return timestep

    def observation_spec(self) -> Any:
        return self._environment.observation_spec()

    def action_spec(self) -> Any:
        return self._environment.action_spec()

    def reward_spec(self) -> Any:
        return self._environment.reward_spec()

    def discount_spec(self) -> Any:
        return self._environment.discount_spec()

    def close(self) -> None:
        self._recording.stop()
        self._environment.close()

    def _begin(self, timestep: dm_env.TimeStep) -> None:
        self._recording.begin(self._copy(timestep.observation))

    def _add(self, applied: Shaped[np.ndarray, "..."] | None, timestep: dm_env.TimeStep) -> None:
        if timestep.first():
            attempt(self._guarded, self._recording.finish_unseen)
            self._begin(timestep)
        elif applied is not None and self._recording.under_way:
            terminated = bool(timestep.last() and timestep.discount == 0)
            self._recording.add(
                applied,
                self._copy(timestep.observation),
                one_number(timestep.reward, "reward"),
                terminated=terminated,
                truncated=bool(timestep.last()) and not terminated,
                discount=one_number(timestep.discount, "discount"),
            )
        elif self._recording.ended and not timestep.last():
            self._log.note(FIRST_UNSEEN)
            self._begin(timestep)

    def __getattr__(self, name: str) -> Any:
        if name == "_environment":  # copying and unpickling look attributes up before `__init__` has run
            raise AttributeError(name)
        return getattr(self._environment, name)


def _layout(spec: Any, name: str) -> ObservationLayout:
    """The layout of an observation spec. Raises InvalidInput for what is no array of numbers."""
    if isinstance(spec, Mapping | list | tuple):
        parts = dict(spec) if isinstance(spec, Mapping) else dict(enumerate_as_texts(spec))
        if not parts:
            raise InvalidInput(f"The spec of {name} is empty: there is nothing to store.")
        return {key: _layout(part, f"{name}/{key}") for key, part in parts.items()}
    if not isinstance(spec, specs.Array) or np.dtype(spec.dtype).kind not in NUMBERS:
        raise InvalidInput(f"The {name} must be an array of numbers, or several, to be logged. Its spec is {spec}.")
    return OneArray(tuple(spec.shape), np.dtype(spec.dtype))
