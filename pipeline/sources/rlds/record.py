"""A record as arrays and texts by key, before anything is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from pipeline.sources.rlds.example import read_example
from pipeline.sources.rlds.features import STEPS, EpisodeFeatures, LeafKind
from pipeline.sources.rlds.pictures import is_jpeg
from pipeline.sources.rlds.rows import NOTHING, array_rows, small_number, text_rows
from pipeline.sources.rlds.wire import MalformedRecord


@dataclass(frozen=True)
class RldsRecord:
    """What one record holds, by the keys of features.json joined by `/`.

    Attributes:
        rows: of every step array.
        steps: (rows, ...) arrays.
        step_texts: a text a row.
        once: arrays of the episode.
        once_texts: texts of the episode.
        lossy: names of step arrays that are pictures in JPEG.
    """

    rows: int
    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]]
    step_texts: Mapping[str, list[str]]
    once: Mapping[str, Shaped[np.ndarray, "..."]]
    once_texts: Mapping[str, str]
    lossy: Sequence[str] = ()


def rlds_record(data: bytes, features: EpisodeFeatures) -> RldsRecord:
    """Raises MalformedRecord where the bytes are no record with these features."""
    found = read_example(data)
    arrays: dict[str, np.ndarray] = {}
    texts: dict[str, list[str]] = {}
    for name, leaf in features.steps.items():
        values = found.get(f"{STEPS}/{name}", NOTHING)
        if leaf.kind == LeafKind.TEXT:
            texts[name] = text_rows(leaf, values)
        else:
            arrays[name] = array_rows(leaf, values)
    rows = _rows(arrays, texts)
    arrays |= {
        name: np.zeros((rows, *array.shape[1:]), array.dtype) for name, array in arrays.items() if not array.size
    }
    images = [name for name, leaf in features.steps.items() if leaf.kind == LeafKind.IMAGE]
    lossy = [name for name in images if is_jpeg(found[f"{STEPS}/{name}"])]
    once: dict[str, np.ndarray] = {}
    once_texts: dict[str, str] = {}
    for name, leaf in features.episode.items():
        values = found.get(name, NOTHING)
        if leaf.kind == LeafKind.TEXT:
            once_texts[name] = _single(text_rows(leaf, values), name)
        elif (number := small_number(leaf, values)) is not None:
            once[name] = number
        else:
            values_of_it = array_rows(leaf, values)
            empty = np.zeros(values_of_it.shape[1:], values_of_it.dtype)
            once[name] = np.asarray(_single(values_of_it, name)) if empty.size else empty
    return RldsRecord(rows, arrays, texts, once, once_texts, lossy)


def _rows(arrays: Mapping[str, Shaped[np.ndarray, "rows ..."]], texts: Mapping[str, list[str]]) -> int:
    """How many rows all have; an array whose rows are empty has any number of them."""
    counts = {name: len(array) for name, array in arrays.items() if 0 not in array.shape[1:]}
    counts |= {name: len(each) for name, each in texts.items()}
    if len(set(counts.values())) != 1:
        raise MalformedRecord(f"its steps need the same number of rows, they have {counts}")
    return next(iter(counts.values()))


def _single(values: list[str] | Shaped[np.ndarray, "n ..."], name: str) -> Any:
    if len(values) != 1:
        raise MalformedRecord(f"{name} should be there once, it is there {len(values)} times")
    return values[0]
