"""Datasets of very many parts, made in a minute: each part but the first is a link to the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.artifacts.artifact import EPISODES, PARTS, Artifact, Manifest, Part, Spec
from pipeline.dataset.grow import EPISODES_FORMAT
from pipeline.dataset.indexing import keep_index
from pipeline.dataset.parts import pack, part_name, save_part
from pipeline.dataset.summary import described, summary_of
from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.choice import open_arrays

FRAME = (84, 84)


def wide_dataset(
    workspace: Workspace, name: str, parts: int, episodes: int, length: int, frame: tuple[int, ...] = FRAME
) -> Path:
    """The folder of `atari/pong/<name>`: so many parts of so many episodes of `length` steps, in the room of one part.

    Frames are of noise in a corner, as a quiet game's. Its index is there, its manifest has a record of each file.
    """
    spec = Spec("atari", "pong", EPISODES, EPISODES_FORMAT, {}, name=name)
    folder = workspace.folder(spec)
    (folder / PARTS).mkdir(parents=True)
    rng = np.random.default_rng(0)
    first = folder / PARTS / part_name(0, episodes)
    table = save_part(
        workspace.storage, first, pack([_episode(rng, number, length, frame) for number in range(episodes)])
    )
    summary = summary_of(open_arrays(first))
    names = [part_name(number * episodes, episodes) for number in range(parts)]
    for each in names[1:]:
        (folder / PARTS / each).symlink_to(first.name)
    nbytes = summary.rows * sum(row.nbytes for row in summary.steps.values())
    listed = [Part(each, episodes, episodes * length, nbytes) for each in names]
    manifest = Manifest(
        kind=EPISODES,
        task=spec.label,
        version=name,
        fingerprint=spec.fingerprint,
        format=spec.format,
        parts=listed,
        files={f"{PARTS}/{each}/{path}": record for each in names for path, record in table.items()},
        **described([summary] * parts, listed),
        **Stopwatch().record(),
    )
    manifest.write(folder)
    keep_index(Artifact(folder, manifest))
    return folder


def _episode(rng: np.random.Generator, number: int, length: int, frame: tuple[int, ...]) -> Episode:
    frames = np.zeros((length + 1, *frame), np.uint8)
    if frame:
        frames[:, : frame[0] // 4, : frame[-1] // 4] = rng.integers(0, 255, (length + 1, frame[0] // 4, frame[-1] // 4))
    return Episode(
        steps={
            "observation": frames,
            "action": with_last_row("action", rng.integers(0, 6, length)),
            "reward": with_last_row("reward", rng.integers(-1, 2, length).astype(np.float64)),
            "discount": with_last_row("discount", np.ones(length)),
        },
        seed=number,
        terminated=True,
        end_reason="terminated",
    )
