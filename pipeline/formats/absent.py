"""What stands for a last observation that a source did not have, in a form that cannot say that it is missing."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import without_absent
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.absent import with_observations


class FinalObservation(StrEnum):
    """`format.final_observation`."""

    DROP = "drop"
    """The last step: the observation before it becomes the last one."""
    REPEAT = "repeat"
    """The observation before it, once more."""
    ZERO = "zero"
    """Zeros."""


def filled(episode: Episode, rule: FinalObservation | None) -> Episode:
    """The episode as it leaves. Raises InvalidInput where nothing is left of it.

    `repeat` and `zero` keep `has_final_observation` False, so that the way back finds what was known.
    """
    if episode.has_final_observation or rule in (None, FinalObservation.ZERO):
        return episode
    if rule is FinalObservation.REPEAT:
        return with_observations(episode, _repeated)
    if episode.length < 2:
        raise InvalidInput(
            "An episode of one step has no last observation: nothing is left of it with "
            "format.final_observation=drop. Take repeat or zero."
        )
    return _shortened(episode)


def _shortened(episode: Episode) -> Episode:
    """Without its last step, so that it is a log that simply stops."""
    steps = {name: array[:-1].copy() for name, array in episode.steps.items()}
    for name, array in steps.items():
        if not name.startswith("observation"):
            array[-1] = 0
    texts = {name: list(each)[:-1] for name, each in episode.info_texts.items()}
    return replace(
        episode,
        steps=without_absent(steps),
        info_texts={name: each for name, each in texts.items() if any(text is not None for text in each)},
        terminated=False,
        truncated=False,
        end_reason="source",
        has_final_observation=True,
        has_final_reward=True,
    )


def _repeated(array: Shaped[np.ndarray, "rows ..."]) -> None:
    array[-1] = array[-2]
