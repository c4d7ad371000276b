"""Foreign data out: what a form says of itself, and how episodes reach it. A new one inherits `Format`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import signature
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.origin import HELD
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats.absent import FinalObservation, filled
from pipeline.formats.aspects import EVERYTHING, Aspect, aspects_of, without
from pipeline.formats.held import HeldDigest
from pipeline.formats.places import Out
from pipeline.frames.store import EpisodeFrames, Frames, PictureBlock
from pipeline.interfaces import Environment
from pipeline.machine.ahead import ahead
from pipeline.sources.contract import Source


class CannotHold(InvalidInput):
    """A dataset that a form cannot hold at all."""


class Refusal(StrEnum):
    """Something of a dataset for which some forms refuse all of it; its value is how people call it."""

    NESTED = "nested observations"
    WIDE_REWARDS = "rewards beyond float32"
    NUL = "missions with the character NUL"
    LONG = "episodes of more than 2 GB"


@dataclass(frozen=True)
class Outgoing:
    """The episodes of one task on their way out.

    Attributes:
        domain, task: in our spelling.
        dataset: the episodes as they are in the store.
        provenance: JSON facts of what made them (`pipeline.formats.provenance`).
        final_observation: what stands for a last observation that a source did not have.
        frames: the drawn pictures of the episodes, at least of those; None for a form that does not show them.
        held: the digest of what the form holds of them.
        advance: is called with the number of episodes that were handed out.
        environment: makes the environment of the task, for what its identity does not say; None where it is not known.
    """

    domain: str
    task: str
    dataset: EpisodeDataset
    provenance: Mapping[str, Any]
    final_observation: FinalObservation | None = None
    frames: Frames | None = field(default=None, repr=False)
    held: HeldDigest | None = field(default=None, repr=False)
    advance: Callable[[int], object] = field(default=lambda count: None, repr=False)
    environment: Callable[[], Environment] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The name of the dataset: `scripted-v1`."""
        return str(self.provenance["dataset"])

    @property
    def rows(self) -> dict[str, RowSpec]:
        """One row of each step array; see `EpisodeDataset.rows`, and `beside` for an episode in these arrays."""
        return self.dataset.rows()

    def episodes(self, start: int = 0) -> Iterator[Episode]:
        """The episodes from number `start` on, some megabytes in memory at a time: the next ones are read meanwhile."""
        self.advance(start)
        for episode in self.dataset.prepared_ahead(start, self._leaving):
            yield episode
            self.advance(1)

    def _leaving(self, number: int, episode: Episode) -> Episode:
        leaving = filled(episode, self.final_observation)
        if self.held is not None:
            self.held.see(number, leaving)
        return leaving

    def drawn(self, start: int = 0) -> Iterator[tuple[Shaped[np.ndarray, "t ..."], EpisodeFrames]]:
        """The T actions and the T+1 pictures of the episodes from number `start` on. Reads no observation."""
        self.advance(start)
        for actions, block in self._drawn(start):
            ends = np.cumsum(block.rows - 1)
            for each, pictures in zip(np.split(actions, ends[:-1]), block.episodes(), strict=True):
                yield each, pictures
                self.advance(1)

    def drawn_blocks(self, start: int = 0) -> Iterator[tuple[Shaped[np.ndarray, "states ..."], PictureBlock]]:
        """The same of several episodes at a time, about 16 MB of pictures or one episode: the actions of all of them,
        one after the other, and the pictures. Many short episodes are written faster so.
        """
        self.advance(start)
        for actions, block in self._drawn(start):
            yield actions, block
            self.advance(len(block.numbers))

    def _drawn(self, start: int) -> Iterator[tuple[Shaped[np.ndarray, "states ..."], PictureBlock]]:
        """Blocks of pictures and their actions; a thread beside reads the next one."""
        assert self.frames is not None
        ends = np.concatenate([[0], self.dataset.state_ends])
        dataset, frames = copy(self.dataset), copy(self.frames)  # the thread opens files of its own
        blocks = frames.between(start, len(self))
        return ahead(
            (dataset.state_rows("action", int(ends[each.numbers.start]), int(ends[each.numbers.stop])), each)
            for each in blocks
        )

    def origin(self) -> dict[str, Any]:
        """What the form keeps in its own place, when the episodes are written: provenance, and `held`, their digest.

        By that the door sees whether they are still those.
        """
        return {**self.provenance, **({HELD: self.held.digest()} if self.held is not None else {})}

    def __len__(self) -> int:
        return len(self.dataset)


@runtime_checkable
class Format(Protocol):
    """A form in which datasets leave: it writes the episodes of one task, or of several tasks, into a folder.

    Attributes:
        name: as in `format=NAME`; part of the identity.
        holds: the aspects of an episode that it holds. What it lacks of a dataset is printed before it is written, and
            kept in the manifest.
        refuses: for what it refuses a dataset; other forms can then be named (`pipeline.formats.choice.holders`).
        joins: several tasks become one output, of which its door gives the episodes of the task that is asked for.
            Else it is called for each task.
        marks_absence: its own readers see that a last observation is missing. Where they cannot, and it holds last
            observations, the user says what stands for those that a source did not have.
        tags: the names of tags of a dataset repository that its own readers ask for; publishing sets them.
        shows_frames: it writes the pictures that stage=frames draws (`Outgoing.drawn`); the export is made of them.
        takes_frames: it writes them where they are there already, and does without where they are not.
        viewer: the address of a page that shows such a dataset of the hub, with `{repo}` for its name.
        suffixes: how the name of its one file may end, its own first: `.hdf5`, `.h5`; none for a form that is a folder.
    """

    name: str
    holds: frozenset[Aspect] = EVERYTHING
    refuses: frozenset[Refusal] = frozenset()
    joins: bool = False
    marks_absence: bool = False
    shows_frames: bool = False
    takes_frames: bool = False
    suffixes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    viewer: str = ""

    def identity(self) -> Mapping[str, Any]:
        """JSON facts of every setting that changes what is written, and `version`, which rises when its bytes change.

        A setting has the name of the parameter of `__init__`, so that `of_identity` makes the form again.
        """
        return {"version": 1}

    @classmethod
    def of_identity(cls, identity: Mapping[str, Any]) -> Self:
        """The form with the settings that an export was made with; what `__init__` does not take is passed over."""
        known = signature(cls).parameters
        return cls(**{name: value for name, value in identity.items() if name in known})

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold for datasets that it cannot hold at all: which arrays, and which form can."""

    def lost(self, data: Outgoing) -> Iterable[Aspect]:
        """What of this dataset it does not hold. Reads no observation."""
        return [aspect for aspect in aspects_of(data.dataset) if aspect not in self.holds]

    def becomes(self) -> Mapping[Aspect, str]:
        """Words for what it stores otherwise, in the place of `changed`: `{Aspect.REWARDS: "stored as float32"}`."""
        return {}

    def held(self, data: Outgoing) -> Callable[[Episode], Episode]:
        """What reading an export back gives for each episode of a dataset: all but what is lost."""
        lost = [aspect for aspect in Aspect if aspect not in self.holds]
        return lambda episode: without(episode, lost)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        """What it writes, below the folder that is given to `write` and below `format.out`: a file, a folder, or `.`.

        It never leads out of that folder.
        """

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        """Write `place(data)` into `folder`. Streams: one part of a dataset is in memory at a time.

        `data` are the tasks: one, unless it `joins`. After a kill it is called again with what it had written there.
        Files that stand under their final names are finished; what is unfinished has a name that begins with a dot.
        """

    def signposts(self, data: Sequence[Outgoing], place: str) -> Mapping[str, bytes]:
        """Files that say where an export lies, by their names below `place`, the path or address that it is laid at.

        They are laid with it and are no part of it: what is exported is the same everywhere. Where it lies already,
        with other signposts, these are replaced. Raises InvalidInput for a place that its settings do not fit.
        """
        return {}

    def out(self, asked: str, data: Sequence[Outgoing], link: bool) -> Out | None:
        """Where `format.out` is a place of the form's own kind, which may hold other exports: that place.

        None: what it wrote appears there as it is, in one step (`pipeline.formats.laying`).
        """
        return None

    def source(self, path: Path) -> Source | None:
        """What reads it back: `path` is a `place` that was written. Never runs code of the data.

        None for a form that only goes out: it says itself what is `wrong`.
        """
        return None

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        """In what a `place` that was written is not what these datasets give, a sentence each, for a form without a
        door.

        Streams. Where there is a door, the episodes that it reads are compared instead (`pipeline.formats.checks`).
        """
        return iter(())
