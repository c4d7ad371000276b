"""A folder of episodes: which screens there are, which action belongs to each, and what is odd."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InvalidInput
from pipeline.sources.frames.names import EPISODE
from pipeline.sources.quirks import NO_STEP, Quirks

MOST_TEXT = 2**20
"""Bytes of an action's file."""

_FRAME, _ACTION = re.compile(r"frame_(\d{1,18})\.png"), re.compile(r"action_(\d{1,18})\.txt")


@dataclass(frozen=True)
class EpisodeFiles:
    """The files of one episode.

    Attributes:
        folder: where they lie.
        frames: the names of the screens at which there was an action, in the order of their numbers.
        numbers: of these screens.
        actions: the names of the actions' files.
        last: the name of the screen after the last action; None where there is none.
    """

    folder: Path
    frames: Sequence[str]
    numbers: Sequence[int]
    actions: Sequence[str]
    last: str | None

    def paths(self) -> Iterator[Path]:
        """All files that are read."""
        names = [*self.frames, *self.actions, *([self.last] if self.last else [])]
        return (self.folder / name for name in names)


def folders_of(place: Path, root: Path) -> list[Path]:
    """The folders in a folder by name, without hidden ones. Raises InvalidInput for a link that leads out of `root`."""
    with os.scandir(place) as entries:
        found = [entry for entry in entries if not entry.name.startswith(".") and Path(entry.path).is_dir()]
    for entry in found:
        _require_inside(entry, root)
    return sorted(Path(entry.path) for entry in found)


def episode_folders(place: Path, root: Path) -> list[Path]:
    """The folders `episode_*`, by name."""
    return [folder for folder in folders_of(place, root) if folder.name.startswith(EPISODE)]


def episode_files(place: Path, root: Path, quirks: Quirks) -> Iterator[EpisodeFiles]:
    """The episodes of an environment's folder that have a step, by the names of their folders."""
    unfinished = [folder for folder in folders_of(place, root) if folder.name.startswith(f"temp_{EPISODE}")]
    quirks.note("unfinished_episodes", "{count} folders temp_episode_* of a run that was stopped were left out.",
                len(unfinished), rule="whole ones have no temp_", dropped=len(unfinished), unit="folders")  # fmt: skip
    for folder in episode_folders(place, root):
        files = _files_of(folder, root, quirks)
        if files.frames:
            yield files
        else:
            quirks.count("empty_episodes", "{count} episodes have no screen with an action; they were left out.",
                         rule=NO_STEP, dropped=1, unit="episodes")  # fmt: skip


def _files_of(folder: Path, root: Path, quirks: Quirks) -> EpisodeFiles:
    frames, actions = dict[int, str](), dict[str, str]()
    digits, others = dict[int, str](), 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if frame := _FRAME.fullmatch(entry.name):
                number = int(frame[1])
                if number in frames:
                    raise InvalidInput(
                        f"{folder} holds {frames[number]} and {entry.name}, two screens of the number {number}. Move "
                        f"one of them away."
                    )
                frames[number], digits[number] = entry.name, frame[1]
            elif action := _ACTION.fullmatch(entry.name):
                actions[action[1]] = entry.name
            else:
                others += entry.name.startswith(("frame_", "action_"))
                continue
            _require_inside(entry, root)
            if not _is_file(entry):
                raise InvalidInput(f"{entry.path} must be a file. Move it away, or copy the file again.")
    decided = sorted(number for number in frames if digits[number] in actions)
    after = decided[-1] + 1 if decided else 0
    last = frames.get(after) if decided else None
    _note_holes(frames, decided, len(actions), last is not None, quirks)
    if [frames[number] for number in decided] != sorted(frames[number] for number in decided):
        quirks.count("sorted_by_number", "screens of {count} episodes were put into the order of their numbers.",
                     rule="numbers give the order")  # fmt: skip
    quirks.count("no_file_number", "{count} files frame_* or action_* have no number; they were left out.", others,
                 rule="a screen's name ends in its number", dropped=others, unit="files")  # fmt: skip
    return EpisodeFiles(
        folder, [frames[n] for n in decided], decided, [actions[digits[n]] for n in decided], last
    )  # fmt: skip


def _note_holes(frames: dict[int, str], decided: list[int], actions: int, last: bool, quirks: Quirks) -> None:
    without = len(frames) - len(decided) - last
    quirks.count("frames_without_action", "{count} screens have no action; they were left out.", without,
                 rule="a step is a screen and its action", dropped=without, unit="screens")  # fmt: skip
    unseen = actions - len(decided)
    quirks.count("actions_without_frame", "{count} actions have no screen; they were left out.", unseen,
                 rule="a step is a screen and its action", dropped=unseen, unit="actions")  # fmt: skip
    if decided:
        holes = decided[-1] - decided[0] + 1 - len(decided)
        quirks.count(
            "holes",
            "{count} numbers are missing between an episode's screens; the step before each leads over the hole.",
            holes,
            rule="steps follow one another",
        )
        if not last:
            quirks.count("no_final_observations", "{count} episodes have no screen after their last action.",
                         rule="marked as missing")  # fmt: skip


def _require_inside(entry: os.DirEntry[str], root: Path) -> None:
    """Raises InvalidInput for a link that leads out of the folder that was named."""
    if entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(os.path.realpath(root)):
        raise InvalidInput(
            f"{entry.path} is a link that leads out of {root}. Copy what it leads to, or remove it: nothing outside "
            f"is read."
        )


def _is_file(entry: os.DirEntry[str]) -> bool:
    return Path(entry.path).is_file() if entry.is_symlink() else entry.is_file()  # a link may lead in a circle


def read_action(path: Path) -> str:
    """The text of an action's file, as it is. Raises InvalidInput where it is none."""
    with path.open("rb") as file:
        data = file.read(MOST_TEXT + 1)
    if len(data) > MOST_TEXT:
        raise InvalidInput(
            f"{path} is larger than a megabyte, which no action is. Move it away: its screen is left out."
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is no text in UTF-8: byte {error.start} is {data[error.start]:#04x}. Write it again, or move it "
            f"away: its screen is then left out."
        ) from error
