"""Files of the DQN Replay Dataset in the two layouts, each with its own content, and what a bucket says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.sources.dqn_replay.bucket import NEEDED, Bucket, Listing, LogFile
from tests.gcs_server import BUCKET

GS = f"gs://{BUCKET}/dqn"
NAMES = [f"$store$_{field}" for field in NEEDED] + ["add_count", "invalid_range"]
"""As the bucket has them."""


def fill(folder: Path, numbers: list[int], names: list[str] = NAMES) -> None:
    """Files as the bucket has them, in a run's folder; each with its own content."""
    (folder / "replay_logs").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        for name in names:
            (folder / "replay_logs" / f"{name}_ckpt.{number}.gz").write_bytes(f"{name} {number} ".encode() * 100)


def fill_cache(folder: Path, numbers: list[int], fields: tuple[str, ...] = NEEDED) -> None:
    """Files as d4rl-atari's cache has them, in a run's folder."""
    for number in numbers:
        (folder / str(number)).mkdir(parents=True)
        for field in fields:
            (folder / str(number) / f"{field}.gz").write_bytes(f"{field} {number}".encode())


def every(listing: Listing) -> list[LogFile]:
    return [file for fields in listing.checkpoints.values() for file in fields.values()]


def refusal(bucket: Bucket, game: str = "Pong", run: int = 1) -> str:
    with pytest.raises(InvalidInput) as caught:
        bucket.listing(game, run)
    return str(caught.value)
