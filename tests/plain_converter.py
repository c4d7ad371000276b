"""A folder tree of screens and actions as rows, in plain Python: written from the rules of the layout alone.

It shares nothing with the exports that it judges: it knows folders and files, and no dataset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class PlainEpisode:
    environment: str
    name: str
    randomness: str
    numbers: list[int]
    pictures: list[bytes]
    raw: list[str]

    @property
    def clean(self) -> list[str]:
        return [re.sub(r"^\d+:\s+", "", text) for text in self.raw]


def plain_episodes(root: Path) -> Iterator[PlainEpisode]:
    """Environments by name, their `episode_*` folders by name, in them each frame that has an action."""
    for environment in sorted(path for path in root.iterdir() if path.is_dir()):
        for folder in sorted(environment.glob("episode_*")):
            if not folder.is_dir():
                continue
            found = PlainEpisode(environment.name, folder.name, "0.0", [], [], [])
            if "_rand" in folder.name:
                found.randomness = folder.name.split("_rand")[-1]
            for frame in sorted(folder.glob("frame_*.png")):
                number = frame.stem.removeprefix("frame_")
                action = folder / f"action_{number}.txt"
                if action.exists():
                    found.numbers.append(int(number))
                    found.pictures.append(frame.read_bytes())
                    found.raw.append(action.read_text().strip())
            if found.pictures:
                yield found


def simple_rows(root: Path) -> list[dict[str, Any]]:
    return [
        {
            "environment": episode.environment,
            "episode": episode.name,
            "frame_number": number,
            "action": clean,
            "action_raw": raw,
            "image": picture,
        }
        for episode in plain_episodes(root)
        for number, picture, raw, clean in zip(
            episode.numbers, episode.pictures, episode.raw, episode.clean, strict=True
        )
    ]


def interleaved_rows(root: Path, profile: str = "readme") -> list[dict[str, Any]]:
    rows = []
    for episode in plain_episodes(root):
        count = len(episode.pictures)
        domain, _, game = episode.environment.partition("_")
        title = " ".join(word[0].upper() + word[1:] for word in [domain, *re.split("[-_]", game)])
        inputs = [text(f"{title} Environment (randomness={episode.randomness})", 0)]
        if profile == "readme":
            inputs.append(text(f"Episode {episode.name}. Starting game with {count} frames.", 1))
        for index, action in enumerate(episode.clean):
            inputs.append({"type": "image_gen", "has_loss": 1, "text": None, "image_index": index})
            if index < count - 1:
                inputs.append(text(action.lower(), 0))
        rows.append(
            {
                "inputs": inputs,
                "images": episode.pictures,
                "images_front": episode.pictures[:1],
                "environment": episode.environment,
                "episode": episode.name,
                "num_frames": count,
                "randomness": float(episode.randomness),
            }
        )
    return rows


def text(words: str, has_loss: int) -> dict[str, Any]:
    return {"type": "text", "has_loss": has_loss, "text": words, "image_index": None}
