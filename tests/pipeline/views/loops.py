"""Plain loops over `EpisodeDataset`, row by row: what each view must equal. They share no code with the views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pipeline.dataset.reader import EpisodeDataset

Sample = dict[str, np.ndarray]


def rows_of(dataset: EpisodeDataset, name: str, episode: int) -> np.ndarray:
    """The T+1 rows of a step array of one episode; zeros for an info that it lacks."""
    steps = dataset[episode].steps
    return steps[name] if name in steps else dataset.episode_rows(name, episode, 0, int(dataset.lengths[episode]) + 1)


def named(dataset: EpisodeDataset, fields: Sequence[str]) -> list[str]:
    """The fields, where `observation` and `next_observation` mean all arrays of a nested observation."""
    inner = [name for name in dataset.array_names() if name.startswith("observation/")]
    whole = {"observation": inner, "next_observation": [f"next_{name}" for name in inner], "goal": []}
    whole["goal"] = [name.replace("observation", "goal", 1) for name in inner]
    return [each for field in fields for each in (whole.get(field) or [field])]


def padding_rule(dataset: EpisodeDataset) -> str:
    """What stands before an episode's first frame."""
    assert dataset.artifact is not None
    return str(dataset.artifact.manifest.parameters.get("source", {}).get("frame_stack", {}).get("padding", "repeat"))


def stacked(array: np.ndarray, row: int, frames: int, rule: str) -> np.ndarray:
    """The frames that end with `row`, oldest first."""
    shown = []
    for at in range(row - frames + 1, row + 1):
        if at >= 0:
            shown.append(array[at])
        else:
            shown.append(array[0] if rule == "repeat" else np.zeros_like(array[0]))
    return np.array(shown)


def returns_to_go(dataset: EpisodeDataset, episode: int, discount: float) -> list[float]:
    """Of each of the T+1 rows, the discounted sum of the rewards from it on."""
    rewards, out = rows_of(dataset, "reward", episode), [0.0]
    for reward in rewards[:-1][::-1]:
        out.insert(0, float(reward) + discount * out[0])
    return out


def row_value(dataset: EpisodeDataset, name: str, episode: int, row: int, **settings: Any) -> Any:
    """A field of one row of an episode."""
    last = int(dataset.lengths[episode]) - 1
    if name in ("terminated", "truncated"):
        return bool(dataset.per_episode(name)[episode]) and row == last
    once = {"mask": True, "timestep": row, "episode": episode}
    if name in once:
        return once[name]
    if name == "return_to_go":
        return returns_to_go(dataset, episode, settings.get("discount", 1.0))[row]
    array = rows_of(dataset, name, episode)
    frames = settings.get("frame_stack", 1)
    if frames > 1 and name.split("/")[0] == "observation":
        return stacked(array, row, frames, padding_rule(dataset))
    return array[row]


def window(
    dataset: EpisodeDataset, episode: int, rows: Sequence[int | None], fields: Sequence[str], **settings: Any
) -> Sample:
    """Rows of an episode one after the other; None is a row of padding."""
    sample = {}
    for name in named(dataset, fields):
        if name in ("length", "has_final_observation"):
            continue
        if name == "episode":
            sample[name] = np.array(episode)
            continue
        values = [None if row is None else row_value(dataset, name, episode, row, **settings) for row in rows]
        there = np.asarray(next(value for value in values if value is not None))
        sample[name] = np.array([np.zeros_like(there) if value is None else value for value in values], there.dtype)
    return sample


def windows(
    dataset: EpisodeDataset,
    length: int,
    fields: Sequence[str],
    skip: int = 1,
    padding: str | None = None,
    **settings: Any,
) -> Iterator[Sample]:
    """The samples of `Windows`, in their natural order."""
    for episode in range(len(dataset)):
        states = int(dataset.lengths[episode])
        for state in range(states):
            begin = state - (length - 1) * skip if padding == "left" else state
            rows = [begin + number * skip for number in range(length)]
            inside = [row if 0 <= row < states else None for row in rows]
            if padding is not None or None not in inside:
                yield window(dataset, episode, inside, fields, **settings)


def episodes(
    dataset: EpisodeDataset, fields: Sequence[str], final_observation: bool = False, **settings: Any
) -> Iterator[Sample]:
    """The samples of `Episodes`, in their natural order, without padding."""
    for episode in range(len(dataset)):
        length, known = int(dataset.lengths[episode]), dataset.per_episode("has_final_observation")[episode]
        rows = window(dataset, episode, range(length + final_observation), fields, **settings)
        yield rows | {
            name: np.array(value)
            for name, value in {"length": length, "has_final_observation": bool(known)}.items()
            if name in fields
        }


def transitions(
    dataset: EpisodeDataset,
    fields: Sequence[str],
    n_step: int = 1,
    discount: float = 0.99,
    final_observation: str = "drop",
    **settings: Any,
) -> Iterator[Sample]:
    """The samples of `Transitions` without goals, in their natural order."""
    ended, seen = dataset.per_episode("terminated"), dataset.per_episode("has_final_observation")
    for episode in range(len(dataset)):
        states = int(dataset.lengths[episode])
        usable = states - 1 if final_observation == "drop" and not ended[episode] and not seen[episode] else states
        for row in range(usable):
            following = min(row + n_step, usable)
            sample = transition(dataset, episode, row, following, fields, discount, **settings)
            if final_observation == "repeat" and following == states and not seen[episode]:
                before = transition(dataset, episode, row, states - 1, fields, discount, **settings)
                sample |= {name: array for name, array in before.items() if name.startswith("next_observation")}
            yield sample


def transition(
    dataset: EpisodeDataset,
    episode: int,
    row: int,
    following: int,
    fields: Sequence[str],
    discount: float,
    **settings: Any,
) -> Sample:
    """From one row of an episode to another."""
    rewards, discounts = rows_of(dataset, "reward", episode), rows_of(dataset, "discount", episode)
    weight, total = 1.0, 0.0
    for at in range(row, following):
        total += weight * float(rewards[at])
        weight *= discount * float(discounts[at])
    ends = following == int(dataset.lengths[episode])
    flags = {name: ends and bool(dataset.per_episode(name)[episode]) for name in ("terminated", "truncated")}
    once = {"reward": total, "bootstrap": 0.0 if flags["terminated"] else weight, "steps": following - row, **flags}
    sample = {}
    for name in named(dataset, fields):
        if name in once:
            sample[name] = np.array(once[name])
        elif name.startswith("next_"):
            value = row_value(dataset, name.removeprefix("next_"), episode, following, **settings)
            sample[name] = np.array(value)
        else:
            sample[name] = np.array(row_value(dataset, name, episode, row, discount=discount, **settings))
    return sample
