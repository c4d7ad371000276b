"""What is recorded of how a dataset's episodes were made. A derived dataset may have some of several makers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Integer

from pipeline.dataset.reader import EpisodeDataset
from pipeline.domains.atari import ACTIONS, minimal_actions
from pipeline.errors import InvalidInput

REPEAT, STACKS = "repeat", "stacks"


class Origins:
    """What the datasets that own the episodes of a dataset say in their manifests' parameters.

    Args:
        dataset: one whose observations are given in stacks of `frame_stack`.
        full_actions: whether `joystick_places` is wanted, too.

    Raises InvalidInput where observations are stacks already, and for full actions of another domain than Atari.
    """

    def __init__(self, dataset: EpisodeDataset, frame_stack: int = 1, full_actions: bool = False) -> None:
        self._name, index = dataset.name, dataset.index
        parameters = [owner.values["parameters"] for owner in index.owners] if index else [{}]
        several = index is not None and len(parameters) > 1
        self._owners = index.places(np.arange(len(dataset)))[0] if index is not None and several else None
        stacks = [_stack(each) for each in parameters]
        if frame_stack > 1 and (already := [stack for stack in stacks if stack.get("stored") == STACKS]):
            raise InvalidInput(
                f"The observations of {dataset.name} are stacks of {already[0].get('frames', 'several')} frames "
                f"already, as their source gave them: frame_stack={frame_stack} would stack them once more. Leave it "
                "out."
            )
        self._repeats = np.array([stack.get("padding", REPEAT) == REPEAT for stack in stacks])
        self._places = _joystick_places(dataset.name, parameters) if full_actions else None
        self._parameters = parameters

    def repeats(self, episodes: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Whether in the first stacks of each episode its first frame stands before it; else zeros do."""
        return self._repeats[self._owner(episodes)]

    def joystick_places(
        self, episodes: Int64[np.ndarray, " n"], actions: Integer[np.ndarray, "n ..."]
    ) -> Int64[np.ndarray, "n ..."]:
        """Actions of an Atari game, each of the episode given with it, by their place among all 18.

        Raises InvalidInput for an action that the game does not have.
        """
        assert self._places is not None
        owners = self._owner(episodes).reshape(-1, *[1] * (actions.ndim - 1))
        places = self._places[owners, actions.clip(0, len(ACTIONS) - 1)]
        if (wrong := (places < 0) | (actions < 0) | (actions >= len(ACTIONS))).any():
            raise InvalidInput(
                f"{self._name} has the action {actions[wrong][0]}, which its game does not have: full_actions=True "
                "cannot say its place among all 18."
            )
        return places

    def meanings(self) -> set[tuple[int, ...]]:
        """What the numbers of an Atari game's actions mean: the place of each among all 18; empty of another domain.

        There are several where the episodes of a derived dataset have different actions.
        """
        if not self._name.startswith("atari/"):
            return set()
        if self._places is not None:
            return {tuple(range(len(ACTIONS)))}
        return {tuple(row) for row in _joystick_places(self._name, self._parameters).tolist()}

    def _owner(self, episodes: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        return np.zeros(len(episodes), np.int64) if self._owners is None else self._owners[episodes]


def _joystick_places(name: str, parameters: Sequence[Mapping[str, Any]]) -> Int64[np.ndarray, "owners actions"]:
    """Of each owner, and of each action of its Atari game, the place among all 18."""
    domain, _, task = name.rpartition("/")[0].partition("/")
    if domain != "atari":
        raise InvalidInput(f"full_actions=True is for Atari games; {name} is none.")
    from pipeline.formats.lram.arrays import joystick  # loads HDF5, which other views do not need

    table = np.full((len(parameters), len(ACTIONS)), -1)
    for row, each in zip(table, parameters, strict=True):
        places = joystick(each) or minimal_actions(task)
        row[: len(places)] = places
    return table


def _stack(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the source or the simulator says of its stacks of frames."""
    for key in ("source", "environment"):
        facts = parameters.get(key)
        if isinstance(facts, Mapping) and isinstance(stack := facts.get("frame_stack"), Mapping):
            return stack
    return {}
