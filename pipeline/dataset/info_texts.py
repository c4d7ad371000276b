"""The texts of infos of some episodes, read without any of their step arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.dataset.parts import split_texts
from pipeline.dataset.reader import EpisodeDataset
from pipeline.episode import INFO_TEXTS, texts_from_json

_ENDS, _BYTES = f"texts/{INFO_TEXTS}/ends", f"texts/{INFO_TEXTS}/bytes"

InfoTexts = tuple[Mapping[str, Sequence[str | None]], Mapping[str, str]]
"""Of one episode: T texts for each info that is one, and the texts of its reset."""


def info_texts_of(dataset: EpisodeDataset, start: int, stop: int) -> Iterator[InfoTexts]:
    """Those of the episodes [start, stop); empty where an episode has none."""
    for numbers, stored in dataset.parts_between(start, stop):
        first, last = max(start, numbers.start), min(stop, numbers.stop)
        if _ENDS not in stored:
            yield from (({}, {}) for _ in range(first, last))
            continue
        ends = np.concatenate([[0], stored[_ENDS][first - numbers.start : last - numbers.start]])
        if first > numbers.start:
            ends[0] = stored[_ENDS][first - numbers.start - 1 : first - numbers.start][0]
        texts = split_texts(stored[_BYTES][int(ends[0]) : int(ends[-1])], ends[1:] - ends[0])
        for text, length in zip(texts, dataset.lengths[first:last].tolist(), strict=True):
            yield texts_from_json(text, length)
