"""The videos of a report: which frames there are, which episodes are shown, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.artifacts.artifact import EPISODES, Artifact
from pipeline.dataset.prefix import of_leading_episodes
from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.frames.store import Frames
from pipeline.frames.thumbnail import episode_thumbnail
from pipeline.frames.video import Video, episode_video
from pipeline.report.figures import Shown
from pipeline.rollout.frames import FRAMES


def frames_there(workspace: Workspace, dataset: Artifact) -> Artifact | None:
    """Frames of leading episodes of a dataset: the fewest that cover all that are asked for, or else the most."""
    asked = dataset.episodes or dataset.manifest.counts["episodes"]
    counts: dict[int, Artifact] = {}
    for artifact in of_leading_episodes(workspace, dataset, FRAMES):
        counts.setdefault(artifact.parent(EPISODES).episodes or 0, artifact)
    covering = [count for count in counts if count >= asked]
    return counts[min(covering, default=max(counts))] if counts else None


def why_no_frames(dataset: Artifact, domain: str) -> str:
    """What a page says where there are none, with the command that makes them; `domain` are its words for a domain."""
    if "environment" not in dataset.manifest.parameters:
        return "there are no frames of these episodes, and no simulator here can play them again to make some."
    limit = f" episodes={dataset.episodes}" if dataset.episodes else ""
    command = f"python run.py stage=frames {domain} task={dataset.task} dataset={dataset.manifest.version}{limit}"
    return f"there are no frames of these episodes yet. Make them, then this page again: {command}"


def shown_episodes(dataset: EpisodeDataset, count: int) -> tuple[Shown, ...]:
    """Of the first `count` episodes those with the highest, the middle (the lower one of two) and the lowest return."""
    returns = dataset.per_episode("return")[:count]
    order = np.argsort(returns, kind="stable")
    ranks = {"highest": order[-1], "lowest": order[0], "middle": order[(len(order) - 1) // 2]}
    found = {int(episode): rank for rank, episode in reversed(ranks.items())}  # of one episode the first rank stays
    ends = dataset.texts("end_reason")
    return tuple(
        Shown(rank, episode, float(returns[episode]), int(dataset.lengths[episode]), ends[episode])
        for episode, rank in sorted(found.items(), key=lambda each: ("highest", "middle", "lowest").index(each[1]))
    )


def write_videos(frames: Artifact, shown: tuple[Shown, ...], folder: Path) -> tuple[dict[int, Video], list[str]]:
    """`episode-<n>.mp4` and its poster, `episode-<n>.png`, by episode; and why some could not be written."""
    reader, written, problems = Frames(frames), dict[int, Video](), list[str]()
    for number in (each.episode for each in shown):
        try:
            written[number] = episode_video(reader, number, folder / f"episode-{number}.mp4")
            episode_thumbnail(reader, number, folder / f"episode-{number}.png")
        except InvalidInput as error:
            problems.append(f"Episode {number} has no video: {error}")
    return written, problems
