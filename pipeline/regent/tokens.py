"""BabyAI's last 64 observation columns in REGENT's bins: the mission as GPT-2 tokens, as JAT's processor appends them.

Source: huggingface/jat, `jat/processing_jat.py`: the tokenizer's ids, padded on the right to 64.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from pipeline.dataset.reader import EpisodeDataset
from pipeline.digest import digest_file
from pipeline.domains.babyai import MISSION_TOKENS, TOKENS
from pipeline.errors import InvalidInput
from pipeline.machine.extras import import_extra
from pipeline.regent.rows import ReadStates

NO_TOKEN = -1
"""In every column where the tokens are not known."""

END = "<|endoftext|>"
"""Pads where the tokenizer's file names no padding: GPT-2 has no token of its own for it."""


@dataclass(frozen=True)
class Tokenizer:
    """What the config group `tokenizer` sets.

    Attributes:
        path: a `tokenizer.json` of the `tokenizers` library, such as GPT-2's.
    """

    path: str | None = None


def token_source(dataset: EpisodeDataset, tokenizer: Tokenizer) -> str:
    """Where the tokens come from: `stored`, the digest of the tokenizer's file, or `none`.

    Raises InvalidInput where there is no such file.
    """
    if MISSION_TOKENS in dataset.array_names():
        return "stored"
    if tokenizer.path is None:
        return "none"
    return digest_file(_file(tokenizer))


def read_tokens(dataset: EpisodeDataset, tokenizer: Tokenizer) -> ReadStates:
    """The (n, 64) int32 tokens of a range of flat states. Raises InvalidInput for a tokenizer that cannot be used."""
    if MISSION_TOKENS in dataset.array_names():
        return lambda start, stop: dataset.state_rows(MISSION_TOKENS, start, stop)
    if tokenizer.path is None:
        return lambda start, stop: np.full((stop - start, TOKENS), NO_TOKEN, np.int32)
    missions, episodes = np.unique(np.array(dataset.texts("mission"), object), return_inverse=True)
    table = _encoded(_file(tokenizer), missions.tolist())

    def read(start: int, stop: int) -> Int32[np.ndarray, "n 64"]:
        return table[episodes[np.searchsorted(dataset.state_ends, np.arange(start, stop), "right")]]

    return read


def _file(tokenizer: Tokenizer) -> Path:
    path = Path(str(tokenizer.path)).expanduser()
    if not path.is_file():
        raise InvalidInput(
            f"There is no tokenizer {path}. Give a tokenizer.json, such as that of openai-community/gpt2 on the hub: "
            "tokenizer.path=FILE"
        )
    return path


def _encoded(path: Path, missions: list[str]) -> Int32[np.ndarray, "missions 64"]:
    """The tokens of each mission, padded on the right."""
    library = import_extra("tokenizers", "tokenizers")
    try:
        encoder = library.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises a bare Exception
        raise InvalidInput(f"{path} is no tokenizer.json: {error}") from error
    encoder.no_truncation()
    pad = (encoder.padding or {}).get("pad_id", encoder.token_to_id(END))
    encoder.no_padding()
    if pad is None:
        raise InvalidInput(f"{path} names no padding and has no token {END} to pad with. Use GPT-2's tokenizer.json.")
    table = np.full((len(missions), TOKENS), pad, np.int32)
    for row, mission in enumerate(missions):
        ids = encoder.encode(mission).ids
        if len(ids) > TOKENS:
            raise InvalidInput(f"The mission {mission!r} has {len(ids)} tokens, there is room for {TOKENS}.")
        table[row, : len(ids)] = ids
    return table
