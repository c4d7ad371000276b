"""Names in a LeRobotDataset v3.0: its files, and the columns that every one of them has."""

from __future__ import annotations

VERSION = "v3.0"

INFO = "meta/info.json"
STATISTICS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
EPISODES = "meta/episodes"
REPERTOIRE = "meta/repertoire.json"
"""What only we write: which column holds which array, and where the episodes came from."""

DATA, FINAL, VIDEOS = "data", "final", "videos"
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = f"{DATA}/{FILE}"
VIDEO_PATH = f"{VIDEOS}/{{video_key}}/chunk-{{chunk_index:03d}}/file-{{file_index:03d}}.mp4"
CHUNK = 1000
"""Files of one folder."""

BASE = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""The columns that every set has, with their dtypes."""

REWARD, DISCOUNT = "next.reward", "next.discount"
TERMINATED, TRUNCATED, DONE, SUCCESS = "next.terminated", "next.truncated", "next.done", "next.success"
IS_LAST = "is_last"
"""With `last_row=row`: the row of the last observation, at which no action was taken."""

RESET = "reset_info/"
"""Prefix of the columns of meta/episodes that hold what a reset told."""

LAST_ROWS = BESIDE, ROW, DROP = ("beside", "row", "drop")
"""Where the last observation lies: in `final/`, as one more row of the episode, or nowhere."""


def file_name(folder: str, number: int) -> str:
    """The path of the file with this number, counted over all chunks."""
    return f"{folder}/{FILE.format(chunk_index=number // CHUNK, file_index=number % CHUNK)}"
