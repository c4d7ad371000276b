"""Numbers that cannot be compared or cannot stand in the bins: found before anything is built, and named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from pipeline.command import again
from pipeline.errors import InvalidInput
from pipeline.regent.bins import as_compared
from pipeline.regent.chain import Chain
from pipeline.regent.rows import WINDOW, ReadStates, read_states

WHOLE = 2**24
"""Up to here float32 has a value of its own for each whole number."""
INTEGER, REAL = np.iinfo(np.int32), np.finfo(np.float32)
"""What the bins hold."""

MEND = "Clip or scale such numbers where they are made, as in a wrapper around the environment, and collect them again."
OTHER_WEIGHTS = "A network made it of a picture: give it other weights, embedding.weights=FILE."


@dataclass(frozen=True)
class _Number:
    """One number of a dataset's states: the flat state, its place in the row, and its value."""

    state: int
    place: int
    of: int
    value: Any


def check_vectors(chain: Chain) -> None:
    """Raises InvalidInput for the first vector that is not finite as float32, or holds a whole number beyond 2^24.

    Also where vectors lie so far apart that float32 cannot hold the distance between them.
    """
    least: Any = np.inf
    largest: Any = -np.inf
    for states, stored in _blocks(chain, chain.observed.read):
        fitting = _comparable(stored)
        if not fitting.all():
            raise _refused(chain, _first(states, stored, fitting))
        compared = as_compared(stored)
        least, largest = np.minimum(least, compared.min(axis=0)), np.maximum(largest, compared.max(axis=0))
    widths = np.subtract(largest, least, dtype=np.float64)
    if chain.recipe.retrieval.metric == "l2" and np.linalg.norm(widths) > REAL.max:
        place = int(np.argmax(widths))
        raise InvalidInput(
            f"Retrieval of {chain.label}: the {_array(chain)} of {chain.dataset.name} goes from {least[place]:g} to "
            f"{largest[place]:g} (number {place} of {len(widths)}, counted from 0), and float32 cannot hold a distance "
            f"so large. {_mend(chain)}"
        )


def check_rows(chain: Chain) -> None:
    """Raises InvalidInput for the first action or reward that the bins' float32 or int32 cannot hold, and for actions
    without numbers.
    """
    for name in ("action", "reward"):
        for states, stored in _blocks(chain, partial(chain.dataset.state_rows, name)):
            if not stored.size:
                each = f"{stored.dtype} {list(stored.shape[1:])}"
                raise InvalidInput(f"The bins of {chain.label} hold actions; those of {chain.dataset.name} are {each}.")
            fitting = _kept(stored)
            if not fitting.all():
                number = _first(states, stored, fitting)
                kind = "float32" if stored.dtype.kind == "f" else "int32"
                raise InvalidInput(
                    f"The bins of {chain.label} hold {kind}; the {name} of {_where(chain, number)}. {MEND}"
                )


def _blocks(chain: Chain, read: ReadStates) -> Iterator[tuple[Int[np.ndarray, "n"], Shaped[np.ndarray, "n *shape"]]]:
    """The states that query, which are all that the bins hold, and an array at them as it is stored."""
    for start in range(0, chain.plan.queries, WINDOW):
        states = chain.plan.states[start : start + WINDOW]
        yield states, read_states(read, states)


def _comparable(stored: Shaped[np.ndarray, "n d"]) -> Bool[np.ndarray, "n d"]:
    """Which numbers can be compared as float32: what is finite there, whole numbers without loss."""
    if stored.dtype.kind == "f":
        return np.isfinite(as_compared(stored))
    return _within(stored, -WHOLE, WHOLE)


def _kept(stored: Shaped[np.ndarray, "n *shape"]) -> Bool[np.ndarray, "n *shape"]:
    """Which numbers stay what they are in the bins, rounding aside; what is not finite stays so."""
    if stored.dtype.kind == "f":
        return ~np.isfinite(stored) | (np.abs(stored) <= REAL.max)
    return _within(stored, INTEGER.min, INTEGER.max)


def _within(stored: Shaped[np.ndarray, "*shape"], least: int, largest: int) -> Bool[np.ndarray, "*shape"]:
    if stored.dtype.itemsize < np.dtype(np.int32).itemsize:  # truth values, too
        return np.ones(stored.shape, np.bool_)
    return (stored >= least) & (stored <= largest)


def _first(
    states: Int[np.ndarray, "n"], stored: Shaped[np.ndarray, "n *shape"], fitting: Bool[np.ndarray, "n *shape"]
) -> _Number:
    rows, good = stored.reshape(len(states), -1), fitting.reshape(len(states), -1)
    row, place = (int(i) for i in np.argwhere(~good)[0])
    return _Number(int(states[row]), place, rows.shape[1], rows[row, place])


def _refused(chain: Chain, number: _Number) -> InvalidInput:
    why = "Retrieval compares finite numbers as float32, and whole ones up to 2^24; beyond, several become one."
    episode, _ = _place(chain, number.state)
    before = (
        f"\nOr use the {episode} episodes before it: {again(episodes=episode)}"
        if episode > 1 and not chain.plan.by_mission
        else ""
    )
    return InvalidInput(
        f"Retrieval of {chain.label}: the {_array(chain)} of {_where(chain, number)}. {why} {_mend(chain)}{before}"
    )


def _where(chain: Chain, number: _Number) -> str:
    """`toy/corner/random-v1 holds inf, at row 2 of episode 0 (number 1 of 4)`."""
    episode, row = _place(chain, number.state)
    place = f" (number {number.place} of {number.of}, counted from 0)" if number.of > 1 else ""
    return f"{chain.dataset.name} holds {number.value}, at row {row} of episode {episode}{place}"


def _place(chain: Chain, state: int) -> tuple[int, int]:
    """The episode of a flat state, and its row there."""
    episode = int(np.searchsorted(chain.dataset.state_ends, state, "right"))
    return episode, state - int(chain.dataset.state_ends[episode] - chain.dataset.lengths[episode])


def _array(chain: Chain) -> str:
    return f"vectors {chain.observed.network}" if chain.observed.network else "array observation"


def _mend(chain: Chain) -> str:
    return OTHER_WEIGHTS if chain.observed.network else MEND
