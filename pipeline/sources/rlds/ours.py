"""How an export of ours spells what RLDS has no word for, and the names of the files."""

from __future__ import annotations

FIRST, LAST, TERMINAL = "is_first", "is_last", "is_terminal"
"""The flags of the steps."""

RESET_THERE = "reset_present/"
"""Prefix of the truth values that say which reset infos an episode has."""

EPISODE_ID = "episode_id"
"""The number of an episode in its dataset."""

INFO_FILE, FEATURES_FILE = "dataset_info.json", "features.json"

METADATA = "metadata.json"
"""Where TensorFlow Datasets keeps what a dataset says of itself (`builder.info.metadata`): our provenance."""

TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
"""How shards are named where dataset_info.json does not say."""
