"""What an episode says once, as plain values by name: how foreign forms keep it, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from pipeline.episode import INFO_TEXTS, SUMMARY, TEXTS, Episode, texts_as_json, texts_from_json

ONCE = (*SUMMARY, *TEXTS, INFO_TEXTS)
"""The names. All but the texts are numbers or truth values, with the dtypes of `SUMMARY`."""

_PLAIN: Mapping[str, type[bool | int]] = {n: bool if dtype is np.bool_ else int for n, dtype in SUMMARY.items()}


def once_of(episode: Episode) -> dict[str, bool | int | str]:
    """Seed, flags and texts by name; the texts of infos as one text, JSON, which is empty where there are none.

    Reset infos are arrays: they are kept apart.
    """
    numbers = {name: plain(getattr(episode, name)) for name, plain in _PLAIN.items()}
    texts = {name: getattr(episode, name) for name in TEXTS}
    return numbers | texts | {INFO_TEXTS: texts_as_json(episode.info_texts, episode.reset_texts)}


def with_once(
    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]],
    once: Mapping[str, Any],
    reset_info: Mapping[str, Num[np.ndarray, "..."]] | None = None,
) -> Episode:
    """The episode of these step arrays; what `once` lacks is unknown. The inverse of `once_of`."""
    length = len(next(iter(steps.values()))) - 1
    info_texts, reset_texts = texts_from_json(str(once.get(INFO_TEXTS, "")), length)
    known: dict[str, Any] = {name: str(once[name]) for name in TEXTS if name in once}
    for name, dtype in SUMMARY.items():
        if name in once:
            value = once[name]
            known[name] = value if dtype is np.bool_ and type(value) is bool else np.asarray(value, dtype).item()
    return Episode(
        steps=steps,
        **known,
        reset_info=reset_info or {},
        info_texts=info_texts,
        reset_texts=reset_texts,
    )
