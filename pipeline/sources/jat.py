"""The tokenised JAT dataset of one vector task, from a folder or the Hugging Face hub, as whole episodes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.sources.jat_layout import METADATA, Layout, Metadata, read_layout, read_metadata
from pipeline.sources.jat_rows import ACTIONS, OBSERVATIONS, REWARDS, RowFile, read_blocks, row_files, vector_widths

NOT_VECTORS = ("atari", "babyai")
"""Domains of JAT whose observations are pictures or integers; refused before gigabytes of them are downloaded."""

REGENT = "dataset_jat_regent"
"""Folder of REGENT's repository that holds its metadata, one folder a task."""


class Chunk(NamedTuple):
    """The real steps of one row, n of them: observation (n, D), action (n, A), shifted reward (n,)."""

    observation: np.ndarray
    action: np.ndarray
    shifted: np.ndarray


class Found(NamedTuple):
    """The files of a task and what its metadata says."""

    files: list[RowFile]
    metadata: Metadata | None


class JatSource:
    """JAT episodes of a vector domain (metaworld, mujoco), train split only.

    JAT dropped the last observation and the last reward of every episode: `has_final_observation` and
    `has_final_reward` are False, both are zeros here. JAT shifts rewards right by one; here they follow their
    action again.

    Args:
        path: local folder with `{domain}-{task}/*.parquet`; without it the files come from the hub.
        repo_id, revision: dataset repository on the hub and its branch, tag or commit.
        cache: folder for downloads; unset: the hub client's own.
        row_width: steps per row, padding included.
    """

    name = "jat"

    def __init__(
        self,
        path: str | None = None,
        repo_id: str = "jat-project/jat-dataset-tokenized",
        revision: str = "main",
        cache: str | None = None,
        row_width: int = 256,
    ) -> None:
        if row_width < 1:
            raise InvalidInput(f"source.row_width must be the steps of a JAT row, 256 as published; it is {row_width}.")
        self.path = path
        self.repo_id = repo_id
        self.revision = revision
        self.cache = cache
        self.row_width = row_width
        self._downloaded: dict[str, Path] = {}
        self._notes: dict[str, str] = {}

    def identity(self, domain: str, task: str) -> dict[str, Any]:
        """Which data this is, by facts of its files that stay when the folder moves; downloads but reads no step."""
        files, metadata = self._find(domain, task)
        return {
            "source": self.name,
            "data": "local" if self.path is not None else f"{self.repo_id}@{self.revision}",
            "files": [file.facts() for file in files],
            "row_width": self.row_width,
            "boundaries": metadata.identity() if metadata else {"rule": "masks and first rewards"},
        }

    def count(self, domain: str, task: str) -> int | None:
        """Number of episodes where metadata files tell, else None."""
        metadata = self._find(domain, task).metadata
        return len(metadata.first_rows) - 1 if metadata else None

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """Episodes from number `start` on, in row order; rows before it are not read."""
        files, metadata = self._find(domain, task)
        layout = read_layout(files, self.row_width, metadata)
        if layout.inferred:
            self._notes[f"{domain}-{task}"] = (
                f"{domain}-{task}: no metadata files; {layout.inferred} of {len(layout.first_rows) - 1} episodes are "
                f"taken to end with a full row because the next row's first reward is 0.0."
            )
        firsts = layout.first_rows[start:]
        if len(firsts) < 2:
            return
        chunks = _chunks(files, layout, self.row_width, int(firsts[0]))
        for rows in np.diff(firsts):
            yield _episode(list(islice(chunks, int(rows))))

    def notes(self) -> list[str]:
        """How many boundaries were inferred, for each task that was read."""
        return list(self._notes.values())

    def _find(self, domain: str, task: str) -> Found:
        if domain in NOT_VECTORS:
            raise InvalidInput(
                f"Of JAT only vector domains are read so far: domain=metaworld or domain=mujoco, not domain={domain}."
            )
        name = f"{domain}-{task}"
        root = Path(self.path).expanduser() if self.path is not None else self._download(name)
        folder = root / name
        if not folder.is_dir():
            raise InvalidInput(self._no_folder(root, name))
        files = row_files(folder)
        return Found(files, read_metadata([folder, root / REGENT / name], files, self.row_width))

    def _no_folder(self, root: Path, name: str) -> str:
        if self.path is None:
            return (
                f"The dataset {self.repo_id} at {self.revision} has no files {name}/train-*. "
                f"Check source.repo_id, source.revision and the task."
            )
        if not root.is_dir():
            return f"source.path must be a folder with {name}/*.parquet in it. There is no folder {root}."
        there = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
        near = difflib.get_close_matches(name, there, n=3, cutoff=0.5)
        listed = near + [other for other in there if other not in near]
        more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
        hint = f" source.path is the folder above {name}." if root.name == name else ""
        return (
            f"No folder {name} in {root}. Folders there: {', '.join(listed[:8]) or 'none'}{more}.{hint} "
            f"Choose one of these tasks, or leave out source.path to download {name}."
        )

    def _download(self, name: str) -> Path:
        """The snapshot folder; what is in the cache already is not downloaded again."""
        if name in self._downloaded:
            return self._downloaded[name]
        # imported here because a local folder needs no hub client, and loading it takes a second
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        wanted = [f"{name}/train-*.parquet", *(f"{at}{name}/{file}" for at in ("", f"{REGENT}/") for file in METADATA)]
        # the HTTP library's own error (which library, depends on the client's version), OSError, a name it refuses
        failures: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, ValueError, RuntimeError)
        try:
            root = snapshot_download(
                self.repo_id, repo_type="dataset", revision=self.revision, cache_dir=self.cache, allow_patterns=wanted
            )
        except failures as error:
            raise InvalidInput(
                f"{name} of the dataset {self.repo_id} at {self.revision} could not be downloaded: "
                f"{str(error).strip() or type(error).__name__}\n"
                f"Check source.repo_id, source.revision and the network (HF_ENDPOINT, HF_TOKEN) and run again: what is "
                f"complete is kept. Or give a folder with source.path=FOLDER."
            ) from error
        self._downloaded[name] = Path(root)
        return self._downloaded[name]


def _chunks(files: Sequence[RowFile], layout: Layout, width: int, first_row: int) -> Iterator[Chunk]:
    widths = vector_widths(files, width)
    shapes = {OBSERVATIONS: (width, widths[OBSERVATIONS]), ACTIONS: (width, widths[ACTIONS]), REWARDS: (width,)}
    for block in read_blocks(files, shapes, first_row):
        real = layout.real(block, width)
        for name in (OBSERVATIONS, ACTIONS):
            block.check_finite(name, real)
        observations, actions, rewards = (block.arrays[name] for name in shapes)
        for i, length in enumerate(layout.lengths[block.first_row : block.first_row + len(real)]):
            yield Chunk(observations[i, :length], actions[i, :length], rewards[i, :length])


def _episode(chunks: Sequence[Chunk]) -> Episode:
    observation, action, shifted = (np.concatenate(part) for part in zip(*chunks, strict=True))
    reward = np.append(shifted[1:], 0.0).astype(np.float64)  # the reward after the last action is not in the dataset
    return Episode(
        steps={
            "observation": with_last_row("observation", observation),
            "action": with_last_row("action", action),
            "reward": with_last_row("reward", reward),
            "discount": with_last_row("discount", np.ones(len(reward))),
        },
        has_final_observation=False,
        has_final_reward=False,
    )
