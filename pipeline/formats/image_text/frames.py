"""`format=frames`: a folder for each episode, in it a PNG file for each screen and a text file for each action."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.episode import UNKNOWN
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.image_text.names import environment_name, episode_name, randomness
from pipeline.formats.image_text.words import ActionTexts
from pipeline.formats.provenance import PROVENANCE
from pipeline.machine.files import write_json

FORMAT = 1

FACTS = "episode.json"

LIVES = "info/lives"


class FramesFormat(Format):
    """`atari_alien/episode_000_rand0.2/frame_000000.png` and `action_000000.txt`, with `episode.json` beside them.

    Of an episode of T decisions there are T+1 screens and T actions: nothing was done at the last screen.

    Args:
        per_task: each task is an export of its own.
    """

    name = "frames"
    holds = frozenset(
        {Aspect.ACTIONS, Aspect.REWARDS, Aspect.ENDS, Aspect.END_REASON, Aspect.SEEDS, Aspect.SUCCESS, Aspect.MISSIONS}
    )
    shows_frames = True

    def __init__(self, per_task: bool = False) -> None:
        self.joins = not per_task

    def identity(self) -> Mapping[str, Any]:
        return {"version": FORMAT, "per_task": not self.joins}

    def becomes(self) -> Mapping[Aspect, str]:
        return dict.fromkeys((Aspect.DTYPES, Aspect.OBSERVATIONS), "dropped")

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath("." if self.joins else environment_name(data[0]))

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        place = folder / self.place(data)
        for each in data:
            task = self._folder(place, each)
            task.mkdir(parents=True, exist_ok=True)
            _write_episodes(each, task)
        write_json(place / PROVENANCE, [dict(each.provenance) for each in data])

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        return chain.from_iterable(_wrong_episodes(each, self._folder(path, each)) for each in data)

    def _folder(self, place: Path, data: Outgoing) -> Path:
        """Of one task."""
        return place / environment_name(data) if self.joins else place


def _write_episodes(data: Outgoing, folder: Path) -> None:
    """Each episode's folder appears whole; those that are there are left as they are."""
    chance = randomness(data.provenance["parameters"])
    done = next(n for n in range(len(data) + 1) if not (folder / episode_name(n, chance)).exists())
    for name, files in _episodes(data, done):
        unfinished = folder / f".{name}.partial"
        unfinished.mkdir(exist_ok=True)
        for file, content in files:
            (unfinished / file).write_bytes(content)
        unfinished.rename(folder / name)


def _episodes(data: Outgoing, start: int = 0) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The folders of a task's episodes: the name of each, and its files."""
    parameters = data.provenance["parameters"]
    texts, chance = ActionTexts(parameters), randomness(parameters)
    facts = _Facts(data, texts.names, chance)
    for number, (actions, pictures) in enumerate(data.drawn(start), start):
        files = [(f"frame_{row:06d}.png", pictures[row]) for row in range(len(pictures))]
        words = texts.raw(actions).to_pylist()
        files += [(f"action_{row:06d}.txt", text.encode()) for row, text in enumerate(words)]
        yield episode_name(number, chance), [*files, (FACTS, facts.of(number, actions))]


class _Facts:
    """What `episode.json` says: all of an episode but screens, observations and infos."""

    def __init__(self, data: Outgoing, names: Sequence[str], chance: float) -> None:
        parameters, dataset = data.provenance["parameters"], data.dataset
        environment = parameters.get("environment", {})
        self._data = data
        self._of_all = {
            "environment": environment_name(data),
            "domain": data.domain,
            "task": data.task,
            "policy": parameters.get("policy"),
            "randomness": chance,
            "frame_skip": environment.get("frame_skip"),
            "action_names": list(names) or None,
        }
        self._once = {
            name: dataset.per_episode(name).tolist() for name in ("seed", "terminated", "truncated", "success")
        }
        self._texts = {name: dataset.texts(name) for name in ("end_reason", "mission")}
        self._has_lives = LIVES in dataset.array_names()

    def of(self, number: int, actions: np.ndarray) -> bytes:
        """The file of one episode; `actions` are what was done in it."""
        dataset, length = self._data.dataset, len(actions)
        rewards = dataset.episode_rows("reward", number, 0, length)
        once: dict[str, Any] = {name: values[number] for name, values in {**self._once, **self._texts}.items()}
        for name in ("seed", "success"):
            once[name] = None if once[name] == UNKNOWN else once[name]
        facts = {**self._of_all, "episode": number, "length": length, **once}
        if self._has_lives:
            lives = dataset.episode_rows(LIVES, number, 0, length)
            facts["lives_lost_at"] = (1 + np.flatnonzero(np.diff(lives) < 0)).tolist()
        facts |= {"rewards": rewards.tolist(), "action_dtype": str(actions.dtype), "actions": actions.tolist()}
        return (json.dumps(facts, ensure_ascii=False) + "\n").encode()


def _wrong_episodes(data: Outgoing, folder: Path) -> Iterator[str]:
    """In what the folders of a task differ from what they should be."""
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    for name, files in _episodes(data):
        if name not in there:
            yield f"{folder.name}/{name} is missing"
            continue
        there.remove(name)
        wrong = [file for file, content in files if not _holds(folder / name / file, content)]
        more = {path.name for path in (folder / name).iterdir()} - {file for file, _ in files}
        if wrong or more:
            yield f"{folder.name}/{name} differs in {', '.join(sorted([*wrong, *more])[:5])}"
    for name in sorted(there - {PROVENANCE}):
        yield f"{folder.name}/{name} is none of the dataset"


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
