"""Missions of BabyAI's episodes: from the raw JAT dataset, from REGENT's metadata, or as the tokens that rows hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64, Integer, Num

from pipeline.digest import short_hash
from pipeline.errors import InvalidInput
from pipeline.machine.files import is_plain_file
from pipeline.sources.jat.layout import Metadata, load_map
from pipeline.sources.jat.maps import EPISODES_TO_TEXT
from pipeline.sources.jat.rows import REWARDS, check_once, is_list, opened, train_paths
from pipeline.wording import json_words

TEXTS = "text_observations"
RAW_ROWS = 1024
"""Episodes of the raw dataset that are read at once."""

RAW = "Use the raw dataset that the tokenised one was made of."


@dataclass(frozen=True)
class RawTask:
    """What the raw dataset says about a task.

    Attributes:
        folder: with its files.
        lengths: (n,) int64, steps of each episode that has any.
        missions: of these episodes.
        empty: number of episodes without a step; they have no row.
    """

    folder: Path
    lengths: np.ndarray
    missions: list[str]
    empty: int


def read_raw(folder: Path) -> RawTask:
    """Missions and lengths of the raw dataset, one row an episode; only these two columns are read."""
    lengths: list[np.ndarray] = []
    missions: list[str] = []
    for path in train_paths(folder):
        with opened(path) as file:
            _check_columns(path, file.schema_arrow)
            row = 0
            for batch in file.iter_batches(RAW_ROWS, columns=[TEXTS, REWARDS]):
                steps, texts = _episodes(path, row, batch)
                lengths.append(steps)
                missions.extend(texts)
                row += batch.num_rows
    steps = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    return RawTask(folder, steps[steps > 0], missions, int(np.count_nonzero(steps == 0)))


def raw_metadata(raw: RawTask, width: int) -> Metadata:
    """The rows of each episode, computed from the lengths in the raw dataset."""
    numbers = np.arange(len(raw.lengths))
    owner = np.repeat(numbers, -(-raw.lengths // width))
    return Metadata(raw.folder, owner, dict(enumerate(raw.lengths.tolist())), raw.folder, RAW)


def missions_beside(folders: list[Path], metadata: Metadata | None) -> list[str] | None:
    """The missions of the episodes, in order, as the first folder with `eps_2_text.json` tells them, or None."""
    path = next((folder / EPISODES_TO_TEXT for folder in folders if is_plain_file(folder / EPISODES_TO_TEXT)), None)
    if path is None:
        return None
    stated = load_map(path)
    if strange := [text for text in stated.values() if not isinstance(text, str)]:
        raise InvalidInput(f"{path} must give each episode a text; it holds {json_words(strange[0])}. {RAW}")
    episodes = sorted(stated) if metadata is None else metadata.owner[metadata.first_rows[:-1]].tolist()
    if missing := [episode for episode in episodes if episode not in stated]:
        raise InvalidInput(
            f"{path} must name the mission of every episode that has rows. It has {len(stated)} episodes; episode "
            f"{missing[0]} is missing. Use the file of this very dataset, or remove it."
        )
    return [stated[episode] for episode in episodes]


def token_name(tokens: Integer[np.ndarray, "n"]) -> str:
    """A name for a mission whose text is not known: `tokens 1 22 333 0`, its ids and its padding's once.

    No two missions of the same number of tokens share a name.
    """
    others = np.flatnonzero(tokens != tokens[-1])
    return " ".join(["tokens", *map(str, tokens[: others[-1] + 2 if len(others) else 1].tolist())])


class Missions:
    """Names the mission of each episode; `texts` are those of all episodes, None names them by their tokens."""

    def __init__(self, texts: list[str] | None) -> None:
        self.texts = texts
        self._tokens: dict[str, bytes] = {}
        self._texts: dict[bytes, str] = {}

    def identity(self) -> dict[str, Any]:
        """JSON facts: the same texts give the same, wherever they came from."""
        return {"named": "tokens"} if self.texts is None else {"named": "texts", "texts": short_hash(str(self.texts))}

    def of(self, episode: int, tokens: Integer[np.ndarray, "n"]) -> str:
        """The mission of an episode whose first step has these tokens.

        Raises InvalidInput where the same text had other tokens before, or the same tokens another text: the texts are
        then not those of these episodes.
        """
        if self.texts is None:
            return token_name(tokens)
        text, key = self.texts[episode], tokens.tobytes()
        if self._tokens.setdefault(text, key) != key or self._texts.setdefault(key, text) != text:
            raise InvalidInput(
                f"A mission's text and its tokens belong together. Episode {episode} has the text: {text}. An earlier "
                f"episode has these tokens and another text, or this text and other tokens: the texts are not those of "
                f"this dataset. Use its own, or name missions by their tokens with source.missions=tokens"
            )
        return text


def _episodes(path: Path, row: int, batch: Any) -> tuple[Int64[np.ndarray, "episodes"], list[str]]:
    """Steps of each episode of a batch, and the texts of those that have steps."""
    steps = pc.list_value_length(batch.column(REWARDS)).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    column = batch.column(TEXTS)
    stated = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
    if (differ := np.flatnonzero((steps > 0) & (stated != steps))).size:
        index = int(differ[0])
        raise InvalidInput(
            f"Every step of the raw dataset has its mission. {path}, row {row + index}: {TEXTS} has {stated[index]}, "
            f"{REWARDS} {steps[index]}. Download it again."
        )
    words = column.flatten().dictionary_encode()
    codes = words.indices.to_numpy(zero_copy_only=False)
    full = np.flatnonzero(steps)
    ends = np.cumsum(stated)[full]
    least, most = (_of_ranges(function, codes, ends - steps[full], ends) for function in (np.minimum, np.maximum))
    if (differ := np.flatnonzero(~(least == most))).size:  # a null is NaN, which differs
        raise InvalidInput(
            f"An episode of BabyAI has one mission. {path}, row {row + full[differ[0]]}: {TEXTS} holds several, or "
            f"none. Download it again, or use source.missions=tokens"
        )
    names = words.dictionary.to_pylist()
    return steps, [names[int(code)] for code in least]


def _of_ranges(
    function: np.ufunc, values: Num[np.ndarray, "n"], starts: Int64[np.ndarray, "m"], ends: Int64[np.ndarray, "m"]
) -> Num[np.ndarray, "m"]:
    """`function` over values[start:end] of each range; ranges ascend and hold something."""
    if not len(starts):
        return np.zeros(0)
    return function.reduceat(np.append(values, 0), np.stack([starts, ends], axis=1).ravel())[::2]


def _check_columns(path: Path, schema: Any) -> None:
    for name in (TEXTS, REWARDS):
        check_once(path, schema, name)
        kind = schema.field(name).type if name in schema.names else None
        if kind is None:
            raise InvalidInput(
                f"{path} needs a column {name}; it has {', '.join(schema.names) or 'none'}. "
                f"Point source.raw at the raw JAT dataset, jat-project/jat-dataset."
            )
        value = kind.value_type if is_list(kind) else None
        text = value is not None and (pa.types.is_string(value) or pa.types.is_large_string(value))
        if value is None or (name == TEXTS and not text):
            raise InvalidInput(
                f"{path}: column {name} must hold lists of {'texts' if name == TEXTS else 'numbers'}, it holds {kind}. "
                f"Point source.raw at the raw JAT dataset, jat-project/jat-dataset."
            )
