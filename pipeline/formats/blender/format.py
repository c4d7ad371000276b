"""RLHF-Blender: what people are shown and asked about: arrays, videos and thumbnails of one checkpoint."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from pipeline.command import again
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, unknown_name
from pipeline.formats.aspects import EVERYTHING, Aspect
from pipeline.formats.blender import files
from pipeline.formats.blender.arrays import episode_arrays, has_states, row_rewards, row_states, row_uncertainty
from pipeline.formats.blender.checks import BlenderArrays, wrong_files
from pipeline.formats.blender.facts import NO_CHECKPOINT, ONES, acts_by_chance, experiment_facts, known_facts
from pipeline.formats.blender.files import episode_file
from pipeline.formats.blender.laying import BlenderOut, blender_out
from pipeline.formats.blender.registration import Registration
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Format, Outgoing, Refusal
from pipeline.frames.png import decode_png
from pipeline.frames.store import EpisodeFrames
from pipeline.frames.thumbnail import write_thumbnail
from pipeline.frames.video import CRF, FPS, check_encoder, check_quality, decoded, write_video
from pipeline.machine.files import write_atomic, write_json
from pipeline.machine.threads import available_cores
from pipeline.sources.rlhf_blender.names import EPISODES, EXPERIMENT, REWARDS, UNCERTAINTY
from pipeline.wording import check_type, few

WAITING = 2**30
"""Bytes of pictures, as they are stored, that wait to be encoded."""

KEYFRAMES = 12
"""Frames from one that stands alone to the next, at most: RLHF-Blender shows single frames of its videos."""

log = logging.getLogger(__name__)


class BlenderFormat(Format):
    """`experiment.json`, and for each episode arrays, rewards, uncertainties, a video and a thumbnail.

    Args:
        fps: frames a second of the videos.
        crf: quality of the videos, 1 (large, near) to 51 (small, far).
        checkpoint: the number of the checkpoint; unset: the step of the policy's, -1 where it has none.
        env_id: what the environment is called; unset: its own id.
        observation: of nested observations, the one that becomes `obs`.
        registration: how exports are registered, and where their files lie.

    Attributes:
        env_id, observation, registration: the same.
    """

    name = "rlhf_blender"
    holds = EVERYTHING - {Aspect.DISCOUNTS, Aspect.FINAL_REWARD}
    refuses = frozenset({Refusal.NESTED})
    shows_frames = True

    def __init__(
        self,
        fps: float = FPS,
        crf: int = CRF,
        checkpoint: int | None = None,
        env_id: str | None = None,
        observation: str | None = None,
        registration: Registration | None = None,
    ) -> None:
        check_quality(fps, crf)
        check_type("format.checkpoint", checkpoint, int | None, "a whole number")
        if checkpoint is not None and checkpoint < -1:
            raise InvalidInput(f"format.checkpoint={checkpoint} must be at least 0, or -1 for none.")
        self._fps, self._crf, self._checkpoint = fps, crf, checkpoint
        self.env_id, self.observation = env_id, observation
        self.registration = registration or Registration()

    def identity(self) -> Mapping[str, Any]:
        named = {"checkpoint": self._checkpoint, "env_id": self.env_id}
        chosen = {"observation": self.observation} if self.observation else {}
        return {"version": 1, "fps": self._fps, "crf": self._crf, **named, **chosen}

    def out(self, asked: str, data: Sequence[Outgoing], link: bool) -> BlenderOut:
        (each,) = data
        facts = known_facts(each, self.env_id, self._checkpoint) | {"provenance": dict(each.provenance)}
        return blender_out(asked, facts, self.registration, self.place(data), link)

    def require(self, data: Sequence[Outgoing]) -> None:
        """Raises CannotHold for nested observations, InvalidInput where no video can be written."""
        check_encoder()
        for each in data:
            self._chosen(each)

    def lost(self, data: Outgoing) -> Iterable[Aspect]:
        """Besides what it never holds: the type of actions, and nested observations that are not chosen."""
        yield from super().lost(data)
        if data.rows["action"].dtype not in (np.int64, np.float32):
            yield Aspect.DTYPES
        if len(_observations(data)) > 1:
            yield Aspect.OBSERVATIONS

    def becomes(self) -> Mapping[Aspect, str]:
        return {
            Aspect.DTYPES: "actions stored as int64 or float32",
            Aspect.OBSERVATIONS: f"of nested ones only {self.observation}",
        }

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(".")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        (each,) = data
        assert each.frames is not None
        chosen = self._chosen(each)
        for kind in files.KINDS if has_states(each.rows) else files.KINDS[:-1]:
            (folder / kind).mkdir(exist_ok=True)
        under_way = deque[tuple[Future[None], int]]()
        with ThreadPoolExecutor(available_cores(), "blender") as pool:
            for number, episode in _unfinished(each, folder):
                _write_arrays(folder, number, *file_arrays(episode, chosen, acts_by_chance(each)))
                frames = each.frames[number]
                while len(under_way) >= 2 * available_cores() or sum(size for _, size in under_way) > WAITING:
                    under_way.popleft()[0].result()
                under_way.append((pool.submit(self._write_pictures, folder, number, frames), frames.png.nbytes))
            for future, _ in under_way:
                future.result()
        facts = experiment_facts(each, chosen, self.env_id, self._checkpoint)
        write_json(folder / EXPERIMENT, facts)
        _tell(f"{each.domain}/{each.task}", facts)

    def wrong(self, data: Sequence[Outgoing], path: Path) -> Iterator[str]:
        (each,) = data
        return wrong_files(
            each, path, partial(file_arrays, observation=self._chosen(each), is_random=acts_by_chance(each))
        )

    def _write_pictures(self, folder: Path, number: int, frames: EpisodeFrames) -> None:
        """The video of an episode is the last of its files: that it is there says that the others are."""
        last_two = (decode_png(frames[row]) for row in range(len(frames))[-2:])
        write_thumbnail(folder / episode_file(files.THUMBNAILS, number), last_two)
        write_video(folder / episode_file(files.RENDERS, number), decoded(frames), self._fps, self._crf, KEYFRAMES)

    def _chosen(self, data: Outgoing) -> str:
        """The array that becomes `obs`. Raises CannotHold where that is not clear."""
        names = _observations(data)
        nested = [name.removeprefix("observation/") for name in names if name != "observation"]
        if self.observation is not None:
            if self.observation not in nested:
                raise unknown_name("array of the observation", self.observation, nested)
            return f"observation/{self.observation}"
        if names != ["observation"]:
            raise CannotHold(
                f"rlhf_blender keeps one array of observations, {data.dataset.name} has {few(nested)}. "
                f"{holders(Refusal.NESTED)} holds them as they are. Or say which one it keeps:\n"
                f"{again(format__observation=nested[0])}"
            )
        return "observation"


def _tell(label: str, facts: Mapping[str, Any]) -> None:
    """What people should know of the files that they are shown."""
    if facts["uncertainty"] == ONES:
        log.info("export %s: uncertainty is 1 at every row: the dataset has no entropies (policy.outputs=true)", label)
    if facts["checkpoint"] == NO_CHECKPOINT:
        log.info(
            "export %s: its checkpoint is %s, and RLHF-Blender exports feedback on numbers from 0 on alone: "
            "format.checkpoint=0",
            label,
            NO_CHECKPOINT,
        )


def _observations(data: Outgoing) -> list[str]:
    return [name for name in data.rows if name.split("/")[0] == "observation"]


def _unfinished(data: Outgoing, folder: Path) -> Iterator[tuple[int, Episode]]:
    """The episodes that have no video, which is the last of their files, by number."""
    waiting = {n for n in range(len(data)) if not (folder / episode_file(files.RENDERS, n)).exists()}
    start = min(waiting, default=len(data))
    return ((number, episode) for number, episode in enumerate(data.episodes(start), start) if number in waiting)


def file_arrays(episode: Episode, observation: str, is_random: bool) -> tuple[BlenderArrays, BlenderArrays]:
    """The arrays of an episode's npz, and those of its other files by their kind."""
    beside = {REWARDS: row_rewards(episode), UNCERTAINTY: row_uncertainty(episode)}
    if (states := row_states(episode)) is not None:
        beside[files.ENV_STATES] = states
    return episode_arrays(episode, observation, is_random), beside


def _write_arrays(folder: Path, number: int, inside: BlenderArrays, beside: BlenderArrays) -> None:
    write_atomic(folder / episode_file(EPISODES, number), partial(_save_npz, arrays=inside))
    for kind, array in beside.items():
        write_atomic(folder / episode_file(kind, number), partial(np.save, arr=array))


def _save_npz(file: BinaryIO, arrays: Mapping[str, Any]) -> None:
    np.savez(file, **arrays)
