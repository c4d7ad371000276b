"""The videos of a report: which frames there are, which episodes are shown, and their files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput
from pipeline.frames.thumbnail import write_thumbnail
from pipeline.frames.video import Video, write_video
from pipeline.report.curves import ranked
from pipeline.report.figures import Shown

RgbPicture = UInt8[np.ndarray, "h w 3"]


def shown_episodes(dataset: EpisodeDataset, count: int) -> tuple[Shown, ...]:
    """Of the first `count` episodes those with the highest, the middle and the lowest return."""
    returns = dataset.per_episode("return")[:count]
    ends = dataset.texts("end_reason")
    return tuple(
        Shown(rank, episode, float(returns[episode]), int(dataset.lengths[episode]), ends[episode])
        for episode, rank in ranked(returns).items()
    )


def write_videos(
    pictures: Callable[[int], Iterable[RgbPicture]], episodes: Iterable[int], folder: Path
) -> tuple[dict[int, Video], list[str]]:
    """`episode-<n>.mp4` and its poster, `episode-<n>.png`, by episode; and why some could not be written.

    `pictures` gives those of all rows of an episode; few of them are in memory at a time.
    """
    written, problems = dict[int, Video](), list[str]()
    for number in episodes:
        last_two: deque[RgbPicture] = deque(maxlen=2)
        try:
            written[number] = write_video(folder / f"episode-{number}.mp4", _kept(pictures(number), last_two))
            write_thumbnail(folder / f"episode-{number}.png", last_two)
        except InvalidInput as error:
            problems.append(f"Episode {number} has no video: {error}")
    return written, problems


def _kept(pictures: Iterable[RgbPicture], last: deque[RgbPicture]) -> Iterator[RgbPicture]:
    for picture in pictures:
        last.append(picture)
        yield picture
