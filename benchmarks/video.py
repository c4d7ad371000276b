"""Pictures to H.264: our writer against what the encoder alone takes, in seconds and in bytes.

The limit is PyAV with the same settings, fed with frames that already have the encoder's colours. OpenCV's writer is
the peer where its build writes H.264; the wheels of opencv-python do not.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ |= {"OPENCV_LOG_LEVEL": "SILENT", "OPENCV_FFMPEG_LOGLEVEL": "-8"}  # it tells at length what it cannot write

import av
import cv2
import numpy as np

from benchmarks.measure import Row, best_of, print_table
from benchmarks.png import screens
from pipeline.frames.video import CRF, FPS, KEYFRAMES, SETTINGS, video_frames, write_video

GAMES = ("pong", "spaceinvaders")
SIDE = 480


def scene(count: int) -> list[np.ndarray]:
    """A made-up 480 x 480 camera picture: smooth shades with a little noise, over which a box and a disc move."""
    rng = np.random.default_rng(0)
    across, up = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    shades = np.stack([80 + across / 6, 90 + up / 6, 120 + (across + up) / 12], axis=-1)
    still = np.clip(shades + rng.normal(0, 2, shades.shape), 0, 255).astype(np.uint8)
    found = []
    for step in range(count):
        picture = still.copy()
        left = 40 + 3 * step % 360
        picture[200:260, left : left + 60] = (200, 60, 40)
        middle = 240 + 120 * np.array([np.cos(step / 20), np.sin(step / 20)])
        picture[(across - middle[0]) ** 2 + (up - middle[1]) ** 2 < 40**2] = (40, 90, 200)
        found.append(picture)
    return found


def bare(path: Path, planes: Sequence[np.ndarray], width: int, height: int) -> None:
    """The encoder and the container, and nothing else."""
    with av.open(path, "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options=SETTINGS | {"crf": str(CRF), "g": str(KEYFRAMES)})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.thread_count = width, height, "yuv420p", 1
        for each in planes:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(each, "yuv420p")))
        container.mux(stream.encode())


def by_opencv(path: Path, pictures: Sequence[np.ndarray]) -> bool:
    """Whether OpenCV could open an H.264 writer; then the file is written."""
    height, width, _ = pictures[0].shape
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"avc1"), FPS, (width, height))
    if not writer.isOpened():
        return False
    for picture in pictures:
        writer.write(picture[..., ::-1])
    writer.release()
    return True


def measure(games: tuple[str, ...] = GAMES, count: int = 200, repeats: int = 2, quick: bool = False) -> list[Row]:
    """One row per game, and one for larger pictures; none has a goal, so quick has none."""
    if quick:
        return []
    with tempfile.TemporaryDirectory() as folder:
        rows = [_row(Path(folder), f"screens of {game}", screens(game, count), repeats) for game in games]
        rows.append(_row(Path(folder), f"pictures of {SIDE} x {SIDE}", scene(count), repeats))
    return rows


def _row(folder: Path, name: str, pictures: list[np.ndarray], repeats: int) -> Row:
    height, width, _ = pictures[0].shape
    planes = [frame.to_ndarray() for frame in video_frames(pictures)]
    ours, limit, peer = (folder / f"{each}.mp4" for each in ("ours", "limit", "peer"))
    functions = {"ours": lambda: write_video(ours, pictures), "limit": lambda: bare(limit, planes, width, height)}
    if able := by_opencv(peer, pictures):
        functions["peer"] = lambda: by_opencv(peer, pictures)
    best = best_of(repeats, **functions)
    speed = f"{len(pictures) / best['ours']:,.0f} frames/s, {ours.stat().st_size // len(pictures)} bytes a frame"
    return Row(
        f"{len(pictures)} {name} as H.264",
        best["ours"],
        peer="OpenCV's writer" if able else "",
        peer_s=best.get("peer"),
        limit="PyAV alone, frames already converted",
        limit_s=best["limit"],
        note=speed + ("" if able else "; this OpenCV writes no H.264"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    print_table(measure(count=parser.parse_args().count))


if __name__ == "__main__":
    main()
