"""Any function, or object that can be called, as a policy."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.exact import STORED_KINDS, rounded
from pipeline.interfaces import ArraySpec, Decision, Environment
from pipeline.machine.source_code import name_and_source
from pipeline.observation import observation_arrays
from pipeline.policies.network import SLOTS
from pipeline.policies.normalize import PLAIN


class Function:
    """Plays what a function of yours answers.

    Batched, it is called as `function(observations, generators)` with a row for each of 8 slots, (8, ...) or a mapping
    of such, and 8 generators; a slot without an episode has zeros and None. It returns 8 actions. Otherwise it is
    called as `function(observation, generator)` and returns one action. All chance must come from the generators.

    An episode must not depend on the others: a row's answer may depend on that row alone. A matrix product over all
    rows may round a row by its place; one observation at a time is always safe.

    A class is made once in each process; a method `start(slot)` is called when an episode begins in a slot (slot 0
    where it is not batched): there it forgets what it remembers of that slot.

    Args:
        function: the function or class, or a `functools.partial` of it with its parameters.
        batched: whether it takes all slots at once.

    Raises InvalidInput for what cannot be called, or for actions that do not fit the environment.
    """

    def __init__(self, function: Callable[..., Any], batched: bool = True) -> None:
        if not callable(function):
            raise InvalidInput(
                f"A policy must be something to call; {function!r} is not. policy.function._target_=module.name"
            )
        self._function, self._batched = function, batched
        self.slots = SLOTS if batched else 1
        self.name: str = getattr(self._origin, "__name__", type(self._origin).__name__)
        self._spec: ArraySpec | None = None
        self._rows: dict[str, np.ndarray] | None = None

    @property
    def _origin(self) -> Any:
        """The function or class, without its parameters."""
        return self._function.func if isinstance(self._function, functools.partial) else self._function

    @property
    def _parameters(self) -> dict[str, Any]:
        if not isinstance(self._function, functools.partial):
            return {}
        positional = {"": list(self._function.args)} if self._function.args else {}
        return {**positional, **self._function.keywords}

    def identity(self) -> Mapping[str, Any]:
        """Where the function stands, BLAKE3 of that source file, and its parameters.

        Raises InvalidInput for parameters that are no JSON values, and for an object without a name in its module.
        """
        where, source = name_and_source(self._origin, self._parameters)
        return {
            "name": self.name,
            "function": where,
            "source": source,
            "parameters": self._parameters,
            "batched": self._batched,
            "width": self.slots,
        }

    @cached_property
    def _call(self) -> Callable[..., Any]:
        if not inspect.isclass(self._origin):
            return self._function
        made = self._function()
        if not callable(made):
            raise InvalidInput(f"An object of the class {self.name} cannot be called: give it a method __call__.")
        return made

    def start(self, slot: int, environment: Environment) -> None:
        """Read the actions' shape and dtype, and call the object's own `start` if it has one."""
        self._spec = environment.action_spec
        if hasattr(self._call, "start"):
            self._call.start(slot)

    def act(self, decisions: Sequence[Decision]) -> list[Shaped[np.ndarray, "..."]]:
        """The function's actions. Raises RuntimeError before the first `start`."""
        if self._spec is None:
            raise RuntimeError(f"The policy {self.name} does not know the actions yet: call start first.")
        if not self._batched:
            return [self._fitting(self._call(decision.observation, decision.rng), self._spec) for decision in decisions]
        answer = self._call(self._observations(decisions), self._generators(decisions))
        if len(answer) != SLOTS:
            raise InvalidInput(
                f"{self.name} must answer with {SLOTS} actions, one for each row; it gave {len(answer)}."
            )
        return [self._fitting(answer[decision.slot], self._spec) for decision in decisions]

    def _observations(self, decisions: Sequence[Decision]) -> Any:
        """Fresh rows: the function may write into them, or keep them."""
        first = observation_arrays(decisions[0].observation)
        rows = {name: np.zeros((SLOTS, *array.shape), array.dtype) for name, array in first.items()}
        for decision in decisions:
            for name, array in observation_arrays(decision.observation).items():
                rows[name][decision.slot] = array
        return rows[PLAIN] if set(rows) == {PLAIN} else rows

    def _generators(self, decisions: Sequence[Decision]) -> list[np.random.Generator | None]:
        by_slot = {decision.slot: decision.rng for decision in decisions}
        return [by_slot.get(slot) for slot in range(SLOTS)]

    def _fitting(self, action: Any, spec: ArraySpec) -> Shaped[np.ndarray, "..."]:
        given = np.asarray(action)
        if given.dtype.kind not in STORED_KINDS:
            raise InvalidInput(f"{self.name} must give numbers; it gave {type(action).__name__}.")
        if (fitting := rounded(given, spec.dtype)) is None:
            takes = "whole numbers" if (given.dtype.kind, spec.dtype.kind) in (("f", "i"), ("f", "u")) else spec.dtype
            raise InvalidInput(f"{self.name} gave {given.tolist()}; this environment takes {takes}.")
        return fitting
