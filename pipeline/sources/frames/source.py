"""Folders of screens and action texts: `atari_alien/episode_000_rand0.2/frame_000000.png` and `action_000000.txt`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3
from jaxtyping import UInt8

from pipeline.command import again
from pipeline.dataset.ends import implied_discounts
from pipeline.dataset.rewards import HAS_REWARDS
from pipeline.episode import INFO, Episode, with_last_row
from pipeline.errors import InvalidEpisode, InvalidInput, unknown_name
from pipeline.frames.store import NO_PICTURE, EpisodeFrames
from pipeline.machine.ahead import ahead
from pipeline.machine.files import read_json
from pipeline.machine.threads import available_cores
from pipeline.sources.contract import PicturedSource
from pipeline.sources.files import local_path
from pipeline.sources.frames import names
from pipeline.sources.frames.actions import ActionReader, ActionsSeen
from pipeline.sources.frames.screens import ScreenKind, has_alpha, observations, read_screens
from pipeline.sources.frames.tree import EpisodeFiles, episode_files, episode_folders, folders_of, read_action
from pipeline.sources.provenance import made_from
from pipeline.sources.quirks import ZERO_REWARDS, Quirk, Quirks
from pipeline.wording import check_choice, few

PROVENANCE = "provenance.json"
WANTED = "a folder with atari_alien/episode_000_rand0.2/frame_000000.png and action_000000.txt in it"


class FramesSource(PicturedSource):
    """Episodes of an environment's folder, by the names of their own folders.

    A step is a screen with an action; the screen after the last one is the last observation, where it is there. There
    are no rewards.

    Args:
        path: the folder of the environments' folders, or one of these.
        observation: `rgb` stores the screens, `grey84` what agents see of an Atari console.
        environment: the name of the environment's folder; unset: the one that is called as the task.
    """

    name = "frames"

    def __init__(
        self, path: str, observation: str = "rgb", environment: str | None = None, cache: str | None = None
    ) -> None:
        check_choice("source.observation", observation, list(ScreenKind))
        self.path, self.environment, self.kind = path, environment, ScreenKind(observation)
        self.cache = cache
        self._quirks: dict[str, Quirks] = {}
        self._scans: dict[Path, _Scan] = {}

    def present(self, domain: str) -> Sequence[str]:
        """The names of the environments' folders, as they are."""
        root = self._root()
        return [root.name] if episode_folders(root, root) else [each.name for each in _environments(root)]

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        """Size and checksum of all files of the task's folder that count, and where an export of ours came from."""
        root, place = self._root(), self._place(domain, task)
        scan = self._scans[place] = _scan(place, root, domain, task)
        stated = {"actions": scan.reader.stated} if scan.reader.stated else {}
        return {
            "source": self.name,
            names.ENVIRONMENT: place.name,
            "files": scan.files,
            "bytes": scan.bytes,
            "digest": scan.digest,
            "observation": str(self.kind),
            HAS_REWARDS: False,
            **stated,
            **made_from(_provenance(root, domain, task)),
        }

    def count(self, domain: str, task: str) -> int:
        """Those that have a step."""
        return self._scanned(domain, task).episodes

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """As of `Source`. Raises InvalidInput for a file that is damaged, and for screens of several sizes."""
        return (episode for episode, _ in self.pictured(domain, task, start))

    def pictured(self, domain: str, task: str, start: int = 0) -> Iterator[tuple[Episode, EpisodeFrames]]:
        """The episodes with their screens' own files."""
        root, place = self._root(), self._place(domain, task)
        reader = self._scanned(domain, task).reader
        self._quirks[task] = quirks = Quirks()
        quirks.note("no_rewards", "Folders of screens have no rewards; zeros stand for them.", rule=ZERO_REWARDS)
        files = islice(episode_files(place, root, quirks), start, None)
        with ThreadPoolExecutor(available_cores(), "screens") as pool:
            yield from ahead(_episode(each, self.kind, reader, quirks, pool) for each in files)

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What is odd about the folders, and what was left out."""
        return self._quirks.get(task, ())

    def _root(self) -> Path:
        root = local_path(self.path, WANTED, self.cache)
        if not root.is_dir():
            raise InvalidInput(f"source.path={self.path} is a file. Wanted: {WANTED}.")
        return root

    def _place(self, domain: str, task: str) -> Path:
        """The folder of the environment."""
        root = self._root()
        if episode_folders(root, root):
            return root
        there = _environments(root)
        if self.environment is not None:
            found = [each for each in there if each.name == self.environment]
            if not found:
                raise unknown_name(f"folder in {self.path}", self.environment, [each.name for each in there])
            return found[0]
        wanted = names.spellings(domain, task)
        found = [each for each in there if names.folder_letters(each.name) in wanted]
        if not found:
            raise unknown_name(f"task in {self.path}", task, [each.name for each in there])
        if len(found) > 1:
            raise InvalidInput(
                f"source.path={self.path} holds {few([each.name for each in found])}, which are all called as the task "
                f"{task}. Name one: {again(source__environment=found[0].name)}"
            )
        return found[0]

    def _scanned(self, domain: str, task: str) -> _Scan:
        place = self._place(domain, task)
        if place not in self._scans:
            self._scans[place] = _scan(place, self._root(), domain, task)
        return self._scans[place]


@dataclass(frozen=True)
class _Scan:
    """What all files of an environment say together."""

    episodes: int
    files: int
    bytes: int
    digest: str
    reader: ActionReader


def _scan(place: Path, root: Path, domain: str, task: str) -> _Scan:
    """One pass over all files; one episode's are in memory at a time."""
    whole, seen = blake3(), ActionsSeen()
    episodes = files = size = 0
    for episode in episode_files(place, root, Quirks()):
        episodes += 1
        for path in episode.paths():
            data = path.read_bytes()
            whole.update(f"{episode.folder.name}/{path.name}\0{len(data)}\0".encode(errors="surrogateescape"))
            whole.update(data)
            files, size = files + 1, size + len(data)
        for name in episode.actions:
            seen.see(read_action(episode.folder / name))
    return _Scan(episodes, files, size, whole.hexdigest(), ActionReader(domain, task, seen, str(place)))


def _environments(root: Path) -> list[Path]:
    """The folders in which episodes lie. Raises InvalidInput where there are none."""
    found = [folder for folder in folders_of(root, root) if episode_folders(folder, root)]
    if not found:
        raise InvalidInput(f"No folder in source.path={root} holds a folder {names.EPISODE}*. Wanted: {WANTED}.")
    return found


def _episode(
    files: EpisodeFiles, kind: ScreenKind, reader: ActionReader, quirks: Quirks, pool: Executor
) -> tuple[Episode, EpisodeFrames]:
    texts = [read_action(files.folder / name) for name in files.actions]
    shown = [files.folder / name for name in (*files.frames, *([files.last] if files.last else []))]
    pictures, screens = read_screens(shown, len(texts) + 1, pool)
    alpha = sum(has_alpha(each) for each in pictures)
    quirks.count("transparent", "{count} screens have an alpha channel; observations are without it.", alpha,
                 rule="screens are red, green and blue", dropped=alpha, unit="channels")  # fmt: skip
    try:
        episode = _with_facts(files, texts, observations(screens, kind, files.folder), reader, quirks)
    except InvalidEpisode as error:
        raise InvalidInput(f"{files.folder}: {error}") from error
    return episode, EpisodeFrames.of(pictures if files.last else [*pictures, NO_PICTURE])


def _with_facts(
    files: EpisodeFiles,
    texts: Sequence[str],
    screens: UInt8[np.ndarray, "rows ..."],
    reader: ActionReader,
    quirks: Quirks,
) -> Episode:
    length, folder = len(texts), files.folder.name
    if names.RANDOMNESS_MARK not in folder:
        quirks.count("no_randomness", "{count} episodes say no randomness in their names; it counts as 0.0.",
                     rule="no randomness is 0.0")  # fmt: skip
    chance = names.randomness_number(names.randomness_text(folder))
    if chance is None:
        quirks.count("odd_randomness", "the randomness of {count} episodes is no number; it counts as 0.0.",
                     rule="no randomness is 0.0")  # fmt: skip
    steps = {
        "action": reader.read(texts, quirks),
        "reward": np.zeros(length),
        f"{INFO}{names.FRAME_NUMBER}": np.array(files.numbers, np.int64),
    }
    return Episode(
        {
            "observation": screens,
            **{name: with_last_row(name, array) for name, array in steps.items()},
            "discount": implied_discounts(length, False),
        },
        has_final_observation=files.last is not None,
        has_final_reward=False,
        reset_info={names.RANDOMNESS: np.array(chance or 0.0)},
        info_texts={names.ACTION_TEXT: texts},
        reset_texts={names.FOLDER: folder},
    )


def _provenance(root: Path, domain: str, task: str) -> Mapping[str, Any] | None:
    """What an export of ours says of a task."""
    for path in (root / PROVENANCE, root.parent / PROVENANCE):
        if path.is_file():
            found = read_json(path)
            each = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
            return next((entry for entry in each if (entry.get("domain"), entry.get("task")) == (domain, task)), None)
    return None
