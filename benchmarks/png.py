"""Lossless pictures of Atari screens: our encoder against Pillow's, in seconds and in bytes."""

from __future__ import annotations

import argparse
import io

import numpy as np
from PIL import Image

from benchmarks.measure import Row, best_of, print_table
from pipeline.envs.atari.environment import Atari
from pipeline.frames.png import encode_png

GAMES = ("pong", "breakout", "spaceinvaders")


def screens(game: str, count: int) -> list[np.ndarray]:
    """The native screens of `count` random decisions."""
    environment, rng = Atari(game), np.random.default_rng(0)
    environment.reset(0)
    high, found = int(np.asarray(environment.action_spec.high)), []
    while len(found) < count:
        after = environment.step(np.asarray(rng.integers(high + 1)))
        found.append(environment.render().copy())
        if after.terminated or after.truncated:
            environment.reset(len(found))
    return found


def pillow(picture: np.ndarray) -> bytes:
    """With its default settings."""
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG")
    return held.getvalue()


def measure(games: tuple[str, ...] = GAMES, count: int = 500, repeats: int = 2, quick: bool = False) -> list[Row]:
    """One row per game; none has a goal, so quick has none."""
    rows = []
    if quick:
        return rows
    for game in games:
        pictures = screens(game, count)
        best = best_of(
            repeats,
            ours=lambda pictures=pictures: [encode_png(each) for each in pictures],
            pillow=lambda pictures=pictures: [pillow(each) for each in pictures],
        )
        ours, theirs = (sum(len(encode(each)) for each in pictures) // count for encode in (encode_png, pillow))
        rows.append(
            Row(
                f"{count} screens of {game} as PNG",
                best["ours"],
                peer="Pillow, as it comes",
                peer_s=best["pillow"],
                note=f"{best['ours'] / count * 1e6:.0f} us and {ours} bytes a screen, peer {theirs} bytes",
            )
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    print_table(measure(count=parser.parse_args().count))


if __name__ == "__main__":
    main()
