"""What a recording takes from a step: the action as its space holds it, the mission out of an observation."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import iterate
from jaxtyping import Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.envs.gym.actions import FlatActions
from pipeline.errors import InvalidInput
from pipeline.exact import rounded
from pipeline.interfaces import Observation
from pipeline.live.layout import MISSION, in_shape
from pipeline.observation import UNCHANGING


def take_mission(observation: Any) -> tuple[Observation, str]:
    """The observation without a text named `mission`, and that text."""
    if isinstance(observation, dict) and isinstance(mission := observation.get(MISSION), str):
        return {key: value for key, value in observation.items() if key != MISSION}, mission
    return observation, ""


def action_copy(action: Any, dtype: np.dtype, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """One action or a batch of them, in the dtype and shape of the action space.

    Raises InvalidInput where that would change it by more than rounding, such as 0.7 for an integer, 200 for int8.
    """
    array = _copy(action)
    if array.dtype == dtype and array.shape == shape:
        return array
    if array.shape != shape:
        array = in_shape(array, shape)
    fitting = rounded(array, dtype)
    if fitting is None or fitting.shape != shape:
        given = np.array2string(array, threshold=8)
        raise InvalidInput(
            f"An action is {array.dtype} of shape {array.shape}, but the action space holds {dtype} of shape {shape}, "
            f"which has no {given}."
        )
    return fitting


def _copy(action: Any) -> Shaped[np.ndarray, "..."]:
    if type(action) is np.ndarray:
        return action.copy()
    return np.array(action) if type(action) in UNCHANGING else np.array(np.asarray(action))


class ActionCopies:
    """Copies of the actions of one space: one array each, as `domain=gym` has it.

    The parts of a Dict or Tuple lie one after the other in one flat array; `layout` says where. `row` is that array.

    Raises InvalidInput for a space of other parts than arrays, and for a mixture of whole and real numbers.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._flat = FlatActions(space)
        self._dtype, self._shape = self.row = RowSpec(self._flat.spec.dtype, self._flat.spec.shape)
        self._joined = isinstance(space, spaces.Dict | spaces.Tuple)
        self._usual = None if self._joined else np.ndarray if self._shape else self._dtype.type
        self.layout = self._flat.layout if self._joined else []

    @property
    def note(self) -> str:
        """Where the parts lie, for people."""
        parts = (f"{part['name']} at {part['at'][0]} to {part['at'][1]}" for part in self.layout)
        return f"the parts of an action are one array: {', '.join(parts)}"

    def one(self, action: Any) -> Shaped[np.ndarray, "..."]:
        """One action."""
        if type(action) is self._usual and action.dtype == self._dtype and action.shape == self._shape:
            return action.copy()
        return self._flat.joined(action) if self._joined else action_copy(action, self._dtype, self._shape)

    def bytes_of(self, action: Any) -> bytes:
        """The bytes of one action, of which `array` makes it again."""
        if type(action) is self._usual and action.dtype == self._dtype and action.shape == self._shape:
            return action.tobytes()
        return self.one(action).tobytes()

    def array(self, action: bytes) -> Shaped[np.ndarray, "..."]:
        """The action of these bytes."""
        return np.frombuffer(action, self._dtype).reshape(self._shape)

    def batch(self, space: spaces.Space[Any], actions: Any, count: int) -> Shaped[np.ndarray, "count ..."]:
        """The actions of `count` environments; `space` is that of all of them together."""
        if not self._joined:
            shape = (count, *self._shape)
            if type(actions) is np.ndarray and actions.dtype == self._dtype and actions.shape == shape:
                return actions.copy()
            return action_copy(actions, self._dtype, shape)
        return np.stack([self._flat.joined(action) for action in iterate(space, actions)])
