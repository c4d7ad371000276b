"""How the episodes, screens and actions of a dataset are called: as their folders called them, or anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
from jaxtyping import Int64, Shaped

from pipeline.dataset.info_texts import InfoTexts, info_texts_of
from pipeline.formats.contract import Outgoing
from pipeline.formats.image_text.names import environment_name, episode_name, randomness, randomness_words
from pipeline.formats.image_text.words import ActionTexts
from pipeline.frames.store import PictureBlock
from pipeline.sources.frames import names as folders


@dataclass(frozen=True)
class EpisodeLabel:
    """How one episode is called.

    Attributes:
        name: `episode_000_rand0.2`.
        chance, chance_words: of a random action, as a number and as it stands in the name.
        texts: those of its actions, as their files hold them; None where they had none.
    """

    name: str
    chance: float
    chance_words: str
    texts: Sequence[str] | None = None


class Labels:
    """Those of the episodes of one task.

    Attributes:
        environment: the name of its folder.
        words: names of its actions.
    """

    def __init__(self, data: Outgoing) -> None:
        parameters = data.provenance["parameters"]
        self.environment = environment_name(data)
        self.words = ActionTexts(parameters)
        self._data, self._chance = data, randomness(parameters)
        self._has_texts = data.dataset.has_info_texts()

    def episodes(self, start: int, stop: int) -> list[EpisodeLabel]:
        """Those of the episodes [start, stop)."""
        numbers = range(start, stop)
        if not self._has_texts:
            return [self._new(number) for number in numbers]
        texts = info_texts_of(self._data.dataset, start, stop)
        return [self._as_it_was(each) or self._new(number) for number, each in zip(numbers, texts, strict=True)]

    def block(self, actions: Shaped[np.ndarray, "states ..."], block: PictureBlock) -> BlockLabels:
        """Those of some episodes, and of what was done in them."""
        episodes = self.episodes(block.numbers.start, block.numbers.stop)
        return BlockLabels(self._data, self.words, episodes, actions, block)

    def longest_text(self) -> int:
        """Bytes of the longest text of an action that came with the episodes; 0 where none did."""
        if not self._has_texts:
            return 0
        found = 0
        for texts, _ in info_texts_of(self._data.dataset, 0, len(self._data)):
            words = texts.get(folders.ACTION_TEXT, ())
            found = max(found, max((len(folders.clean(text).encode()) for text in set(words) if text), default=0))
        return found

    def _new(self, number: int) -> EpisodeLabel:
        return EpisodeLabel(episode_name(number, self._chance), self._chance, randomness_words(self._chance))

    def _as_it_was(self, texts: InfoTexts) -> EpisodeLabel | None:
        """How the folder of an episode called it; None where it came from none."""
        infos, reset = texts
        own, folder = infos.get(folders.ACTION_TEXT), reset.get(folders.FOLDER)
        if own is None or folder is None or not _is_folder_name(folder):
            return None
        words = folders.randomness_text(folder)
        chance = folders.randomness_number(words) or 0.0
        return EpisodeLabel(folder, chance, words, [text or "" for text in own])


@dataclass(frozen=True)
class BlockLabels:
    """The labels of the episodes of a block; their actions lie one after the other."""

    _data: Outgoing
    _words: ActionTexts
    episodes: Sequence[EpisodeLabel]
    _actions: Shaped[np.ndarray, "states ..."]
    _block: PictureBlock

    @property
    def names(self) -> pa.StringArray:
        """Of the episodes."""
        return pa.array([each.name for each in self.episodes], pa.string())

    @cached_property
    def texts(self) -> pa.StringArray:
        """As action files hold them: `8: DOWNRIGHT`."""
        return self._joined(self._words.raw, lambda text: text)

    @cached_property
    def raw(self) -> pa.StringArray:
        """The same without white space around it."""
        return self._joined(self._words.raw, str.strip)

    @cached_property
    def clean(self) -> pa.StringArray:
        """`DOWNRIGHT`."""
        return self._joined(self._words.clean, folders.clean)

    @cached_property
    def numbers(self) -> Int64[np.ndarray, "states"]:
        """Of the screens at which the actions were taken, in the names of their files."""
        lengths = self._block.rows - 1
        counted = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        kept = np.array([each.texts is not None for each in self.episodes])
        if not kept.any():
            return counted
        ends = np.concatenate([[0], self._data.dataset.state_ends])
        first, stop = (int(ends[number]) for number in (self._block.numbers.start, self._block.numbers.stop))
        stored = self._data.dataset.state_rows(f"info/{folders.FRAME_NUMBER}", first, stop)
        return np.where(np.repeat(kept, lengths), stored, counted)

    def _joined(
        self, make: Callable[[Shaped[np.ndarray, "n ..."]], pa.StringArray], change: Callable[[str], str]
    ) -> pa.StringArray:
        """The texts that came with the episodes, changed; made of the actions where none did."""
        if all(each.texts is None for each in self.episodes):
            return make(self._actions)
        pieces, start = [], 0
        for each, length in zip(self.episodes, (self._block.rows - 1).tolist(), strict=True):
            if each.texts is None:
                pieces.append(make(self._actions[start : start + length]))
            else:
                changed = {text: change(text) for text in set(each.texts)}
                pieces.append(pa.array([changed[text] for text in each.texts], pa.string()))
            start += length
        return pa.concat_arrays(pieces)


def _is_folder_name(name: str) -> bool:
    return name.startswith(folders.EPISODE) and PurePosixPath(name).name == name and "\0" not in name
