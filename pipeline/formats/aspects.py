"""What an episode may have that a form cannot hold: the aspects, what is left without some, and which two differ in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode


class Aspect(StrEnum):
    """Something that episodes may have; its value is how people call it."""

    FINAL_OBSERVATION = "final observation"
    FINAL_REWARD = "whether the last reward is known"
    ENDS = "terminated and truncated"
    END_REASON = "end reason"
    DISCOUNTS = "discounts"
    SEEDS = "seeds"
    SUCCESS = "success"
    MISSIONS = "missions"
    INFOS = "infos"
    INFO_TEXTS = "texts of infos"
    RESET_INFOS = "reset infos"
    DTYPES = "dtypes"
    OBSERVATIONS = "observations"
    ACTIONS = "actions"
    REWARDS = "rewards"


EVERYTHING = frozenset(Aspect)
"""What a form holds that loses nothing."""

OF_EVERY_DATASET = (Aspect.DTYPES, Aspect.OBSERVATIONS, Aspect.ACTIONS, Aspect.REWARDS)
"""These no form that a door reads leaves out: what it does not hold as it was comes back as something else."""


def lost_words(lost: Iterable[Aspect], becomes: Mapping[Aspect, str]) -> list[str]:
    """What becomes of aspects that a form does not hold, in words: `reset infos: dropped`.

    `becomes` are the form's words for what does not stay as it was: `rewards: stored as float32`.
    """
    words = dict.fromkeys(OF_EVERY_DATASET, "changed") | dict(becomes)
    return [f"{aspect}: {words.get(aspect, 'dropped')}" for aspect in lost]


def aspects_of(dataset: EpisodeDataset) -> Iterator[Aspect]:
    """The aspects that some episode of a dataset has. Reads no step but the discounts, and those once.

    Those of every dataset are among them: dtypes, observations, actions and rewards.
    """
    once = {name: dataset.per_episode(name) for name in ("terminated", "truncated", "has_final_observation")}
    if once["has_final_observation"].any():
        yield Aspect.FINAL_OBSERVATION
    if not dataset.per_episode("has_final_reward").all():
        yield Aspect.FINAL_REWARD
    flags = zip(once["terminated"].tolist(), once["truncated"].tolist(), strict=True)
    reasons = [implied_reason(*each) for each in flags]
    if once["terminated"].any() or once["truncated"].any():
        yield Aspect.ENDS
    if dataset.texts("end_reason") != reasons:
        yield Aspect.END_REASON
    if dataset.has_own_discounts:
        yield Aspect.DISCOUNTS
    if (dataset.per_episode("seed") != UNKNOWN).any():
        yield Aspect.SEEDS
    if (dataset.per_episode("success") != UNKNOWN).any():
        yield Aspect.SUCCESS
    if any(dataset.texts("mission")):
        yield Aspect.MISSIONS
    if any(name.startswith(INFO) for name in dataset.array_names()):
        yield Aspect.INFOS
    if dataset.has_info_texts():
        yield Aspect.INFO_TEXTS
    if dataset.reset_specs():
        yield Aspect.RESET_INFOS
    yield from OF_EVERY_DATASET


def without(episode: Episode, lost: Collection[Aspect]) -> Episode:
    """What is left of an episode in a form that loses some aspects.

    What becomes of dtypes, and of observations, actions and rewards that do not stay as they were, a form says itself.
    """
    changed: dict[str, Any] = {}
    steps = dict(episode.steps)
    if Aspect.INFOS in lost:
        steps = {name: array for name, array in steps.items() if not name.startswith((INFO, PRESENT))}
    if Aspect.INFO_TEXTS in lost:
        changed |= {"info_texts": {}, "reset_texts": {}}
    if Aspect.RESET_INFOS in lost:
        changed["reset_info"] = {}
    if Aspect.FINAL_OBSERVATION in lost:
        changed["has_final_observation"] = False
        steps = {name: _last_row_zero(name, array) for name, array in steps.items()}
    if Aspect.FINAL_REWARD in lost:
        changed["has_final_reward"] = True
    ends = (episode.terminated, episode.truncated)
    if Aspect.ENDS in lost:
        ends = (False, False)
        changed |= {"terminated": False, "truncated": False}
    if Aspect.END_REASON in lost:
        changed["end_reason"] = implied_reason(*ends)
    if Aspect.DISCOUNTS in lost:
        steps["discount"] = implied_discounts(episode.length, ends[0])
    if Aspect.SEEDS in lost:
        changed["seed"] = UNKNOWN
    if Aspect.SUCCESS in lost:
        changed["success"] = UNKNOWN
    if Aspect.MISSIONS in lost:
        changed["mission"] = ""
    return replace(episode, steps=steps, **changed)


def differing(episode: Episode, other: Episode) -> set[Aspect]:
    """The aspects in which two episodes differ."""
    names = {*episode.steps, *other.steps}
    found = {aspect for name in names if (aspect := _difference(name, episode, other))}
    for aspect, once in _ONCE.items():
        if any(_once(episode, name) != _once(other, name) for name in once):
            found.add(aspect)
    return found


_ONCE: dict[Aspect, tuple[str, ...]] = {
    Aspect.FINAL_OBSERVATION: ("has_final_observation",),
    Aspect.FINAL_REWARD: ("has_final_reward",),
    Aspect.ENDS: ("terminated", "truncated"),
    Aspect.END_REASON: ("end_reason",),
    Aspect.SEEDS: ("seed",),
    Aspect.SUCCESS: ("success",),
    Aspect.MISSIONS: ("mission",),
    Aspect.INFO_TEXTS: ("info_texts", "reset_texts"),
    Aspect.RESET_INFOS: ("reset_info",),
}


def _once(episode: Episode, name: str) -> Any:
    value = getattr(episode, name)
    if name == "info_texts":
        return {key: list(texts) for key, texts in value.items()}
    if name == "reset_info":
        return {key: (array.dtype, array.shape, array.tobytes()) for key, array in value.items()}
    return value


def _difference(name: str, episode: Episode, other: Episode) -> Aspect | None:
    """In what two episodes differ in one of their step arrays."""
    one, two = (each.steps.get(name) for each in (episode, other))
    if one is not None and two is not None and one.shape == two.shape:
        if one.dtype == two.dtype and one.tobytes() == two.tobytes():
            return None
        if one.dtype != two.dtype and (one == two).all():
            return Aspect.DTYPES
        if name.startswith("observation") and one.dtype == two.dtype and one[:-1].tobytes() == two[:-1].tobytes():
            return Aspect.FINAL_OBSERVATION
    if name.startswith((INFO, PRESENT)):
        return Aspect.INFOS
    whole = {"discount": Aspect.DISCOUNTS, "reward": Aspect.REWARDS, "action": Aspect.ACTIONS}
    return whole.get(name, Aspect.OBSERVATIONS)


def _last_row_zero(name: str, array: Shaped[np.ndarray, "rows ..."]) -> Shaped[np.ndarray, "rows ..."]:
    last = array[-1].tobytes()
    if not name.startswith("observation") or last == bytes(len(last)):
        return array
    array = array.copy()
    array[-1] = 0
    return array
