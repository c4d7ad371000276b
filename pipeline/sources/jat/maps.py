"""REGENT's metadata maps of a dataset (`dataset_jat_regent/{task}/*.json`): episodes, rows and missions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pipeline.errors import InvalidInput
from pipeline.machine.files import write_json

REGENT = "dataset_jat_regent"
"""Folder of REGENT's repository that holds these files, with a folder for each task inside."""

ROWS_TO_EPISODES = "rows_tokenized_2_eps.json"
EPISODES_TO_ROWS = "eps_2_rows_tokenized.json"
LENGTHS = "ep_lens.json"
EPISODES_TO_TEXT = "eps_2_text.json"
TEXT_TO_EPISODES = "text_2_eps.json"
TEXT_TO_ROWS = "text_2_rows_tokenized.json"

BOUNDARIES = (ROWS_TO_EPISODES, EPISODES_TO_ROWS, LENGTHS)
"""Files that tell which rows make up which episode."""


def row_maps(lengths: Integer[np.ndarray, "episodes"], width: int) -> dict[str, Any]:
    """The three maps of a task, by file name: `lengths` (n,) are the states of each episode, `width` those of a row.

    Keys are texts, because JSON has no others; values keep the order of episodes and rows.
    """
    if len(lengths) and np.min(lengths) < 1:
        raise InvalidInput(f"Every episode needs at least 1 state; episode {int(np.argmin(lengths))} has none.")
    rows = -(-np.asarray(lengths, np.int64) // width)
    ends = np.cumsum(rows)
    owners = np.repeat(np.arange(len(rows)), rows).tolist()
    spans = zip((ends - rows).tolist(), ends.tolist(), strict=True)
    return {
        LENGTHS: {str(episode): length for episode, length in enumerate(np.asarray(lengths).tolist())},
        EPISODES_TO_ROWS: {str(episode): list(range(*span)) for episode, span in enumerate(spans)},
        ROWS_TO_EPISODES: {str(row): episode for row, episode in enumerate(owners)},
    }


def mission_maps(lengths: Integer[np.ndarray, "episodes"], missions: Sequence[str], width: int) -> dict[str, Any]:
    """The three maps of BabyAI's missions, by file name, beside those of `row_maps`.

    Missions stand in order of first appearance; `eps_2_text.json` is grouped by mission, too, as upstream's.
    """
    if len(missions) != len(lengths):
        raise InvalidInput(f"Each episode needs its mission; {len(lengths)} episodes have {len(missions)} missions.")
    rows = row_maps(lengths, width)[EPISODES_TO_ROWS]
    episodes: dict[str, list[int]] = {}
    for episode, mission in enumerate(missions):
        episodes.setdefault(mission, []).append(episode)
    return {
        EPISODES_TO_TEXT: {str(episode): mission for mission, listed in episodes.items() for episode in listed},
        TEXT_TO_EPISODES: episodes,
        TEXT_TO_ROWS: {
            mission: [row for episode in listed for row in rows[str(episode)]] for mission, listed in episodes.items()
        },
    }


def write_maps(folder: Path, maps: Mapping[str, Any]) -> None:
    """Write each map as a file of one line, whole or not at all. The folder must exist."""
    for name, value in maps.items():
        write_json(folder / name, value, indent=None)
