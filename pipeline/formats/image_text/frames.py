"""`format=frames`: a folder for each episode, in it a PNG file for each screen and a text file for each action."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from pipeline.dataset.rewards import has_rewards
from pipeline.episode import UNKNOWN
from pipeline.formats.aspects import Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.image_text.labels import Labels
from pipeline.formats.image_text.names import environment_name, episode_name, randomness
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
    done = next((n for n, name in enumerate(_names(data)) if not (folder / name).exists()), len(data))
    for name, files in _episodes(data, done):
        unfinished = folder / f".{name}.partial"
        unfinished.mkdir(exist_ok=True)
        for file, content in files:
            (unfinished / file).write_bytes(content)
        unfinished.rename(folder / name)


def _names(data: Outgoing) -> list[str]:
    """Of the episodes' folders. Where two came from folders of one name, all are called anew."""
    kept = [each.name for each in Labels(data).episodes(0, len(data))]
    chance = randomness(data.provenance["parameters"])
    return kept if len(set(kept)) == len(kept) else [episode_name(number, chance) for number in range(len(kept))]


def _episodes(data: Outgoing, start: int = 0) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The folders of a task's episodes: the name of each, and its files."""
    labels, names = Labels(data), _names(data)
    facts = _Facts(data, labels)
    for actions, block in data.drawn_blocks(start):
        called = labels.block(actions, block)
        numbers, texts, first = called.numbers.tolist(), called.texts.to_pylist(), 0
        for number, label, pictures in zip(block.numbers, called.episodes, block.episodes(), strict=True):
            stop = first + len(pictures) - 1
            own = numbers[first:stop]
            screens = zip([*own, own[-1] + 1], (pictures[row] for row in range(len(pictures))), strict=True)
            files = [(f"frame_{screen:06d}.png", png) for screen, png in screens if png]
            files += [(f"action_{screen:06d}.txt", text.encode())
                      for screen, text in zip(own, texts[first:stop], strict=True)]  # fmt: skip
            yield names[number], [*files, (FACTS, facts.of(number, label.chance, actions[first:stop]))]
            first = stop


class _Facts:
    """What `episode.json` says: all of an episode but screens, observations and infos. Unknown rewards are null."""

    def __init__(self, data: Outgoing, labels: Labels) -> None:
        parameters, dataset = data.provenance["parameters"], data.dataset
        environment = parameters.get("environment", {})
        self._data = data
        self._of_all = {
            "environment": labels.environment,
            "domain": data.domain,
            "task": data.task,
            "policy": parameters.get("policy"),
            "randomness": None,
            "frame_skip": environment.get("frame_skip"),
            "action_names": labels.words.names or None,
        }
        self._once = {
            name: dataset.per_episode(name).tolist() for name in ("seed", "terminated", "truncated", "success")
        }
        self._texts = {name: dataset.texts(name) for name in ("end_reason", "mission")}
        self._has_rewards = has_rewards(parameters)
        self._has_lives = LIVES in dataset.array_names()

    def of(self, number: int, chance: float, actions: np.ndarray) -> bytes:
        """The file of one episode; `actions` are what was done in it."""
        dataset, length = self._data.dataset, len(actions)
        rewards = dataset.episode_rows("reward", number, 0, length).tolist() if self._has_rewards else None
        once: dict[str, Any] = {name: values[number] for name, values in {**self._once, **self._texts}.items()}
        for name in ("seed", "success"):
            once[name] = None if once[name] == UNKNOWN else once[name]
        facts = {**self._of_all, "randomness": chance, "episode": number, "length": length, **once}
        if self._has_lives:
            lives = dataset.episode_rows(LIVES, number, 0, length)
            facts["lives_lost_at"] = (1 + np.flatnonzero(np.diff(lives) < 0)).tolist()
        facts |= {"rewards": rewards, "action_dtype": str(actions.dtype), "actions": actions.tolist()}
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
