"""The pictures of a page: out of the frames, by replay in the simulator, or the observations themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import UInt8

from pipeline.episode import UNKNOWN
from pipeline.errors import InvalidInput, NoRenderer, PipelineError
from pipeline.frames.png import decode_png
from pipeline.frames.store import Frames
from pipeline.frames.video import check_encoder, decoded
from pipeline.report.figures import Match, Place
from pipeline.report.screens import Screens
from pipeline.report.sources import PageSources
from pipeline.rollout.replay import RowPictures, replay_frames

FRAMES, REPLAY, OBSERVATIONS, NONE = "frames", "replay", "observations", "none"
"""Where pictures come from, the nicest first."""


@dataclass(frozen=True)
class Pictures:
    """Pictures of some rows.

    Attributes:
        origin: FRAMES, REPLAY, OBSERVATIONS or NONE.
        why: why they are of no better origin; empty where there is nothing to say.
        wrong: the simulator gave other observations than were recorded, or failed: who reads the page should know.
    """

    frames: RowPictures
    origin: str
    why: str = ""
    wrong: bool = False


def best_pictures(sources: PageSources, places: Sequence[Place | Match]) -> str:
    """The origin that pictures of these rows have where everything works."""
    if sources.frames is not None and _last(places) < len(Frames(sources.frames)):
        return FRAMES
    if not _why_no_replay(sources):
        return REPLAY
    return OBSERVATIONS if sources.screens else NONE


def pictures_of(sources: PageSources, places: Sequence[Place | Match]) -> Pictures:
    """The pictures of some rows, of the best origin that works here. Never fails for want of pictures."""
    wanted: dict[int, list[int]] = {}
    for place in places:
        wanted.setdefault(place.episode, []).append(place.step)
    if best_pictures(sources, places) == FRAMES and sources.frames is not None:
        files = {number: Frames(sources.frames)[number] for number in wanted}
        return Pictures({(n, row): decode_png(files[n][row]) for n, rows in wanted.items() for row in rows}, FRAMES)
    why, wrong = _why_no_replay(sources), False
    if not why:
        try:
            return Pictures(_replayed(sources, wanted), REPLAY)
        except PipelineError as error:
            # NoRenderer, InvalidInput: nothing draws here, no such simulator, or another version of it
            why, wrong = str(error), not isinstance(error, NoRenderer | InvalidInput)
    if sources.screens:
        shown = {(n, row): sources.screens.picture(n, row) for n, rows in wanted.items() for row in rows}
        return Pictures(shown, OBSERVATIONS, why, wrong)
    return Pictures({}, NONE, why, wrong)


def picture_words(origin: str, screens: Screens | None) -> str:
    """What pictures of this origin are, in words; empty where there are none."""
    if origin == OBSERVATIONS and screens:
        return f"the observations themselves, {screens.words}"
    words = {FRAMES: "frames of the simulator", REPLAY: "drawn by the simulator, which replayed the episode"}
    return words.get(origin, "")


def film_of(sources: PageSources) -> tuple[str, int, Callable[[int], Iterable[UInt8[np.ndarray, "h w 3"]]]]:
    """What videos can be made of: FRAMES, OBSERVATIONS or NONE, of how many leading episodes, and each one's pictures.

    Ready for NONE are no episodes.
    """
    if sources.frames is not None:
        stored = Frames(sources.frames)
        return FRAMES, min(len(stored), len(sources.dataset)), lambda number: decoded(stored[number])
    if sources.screens is not None:
        return OBSERVATIONS, len(sources.dataset), sources.screens.pictures
    return NONE, 0, lambda number: ()


def no_encoder() -> str:
    """Why no video can be written here; empty where one can."""
    try:
        check_encoder()
    except InvalidInput as error:
        return str(error)
    return ""


def _last(places: Sequence[Place | Match]) -> int:
    return max(place.episode for place in places)


def _why_no_replay(sources: PageSources) -> str:
    recorded = sources.artifact.manifest.parameters
    if "environment" in recorded and not (sources.dataset.per_episode("seed") == UNKNOWN).any():
        return ""
    name = recorded.get("source", {}).get("source", "another dataset")
    return f"the episodes were read from a source ({name}) and cannot be played again in the simulator."


def _replayed(sources: PageSources, wanted: dict[int, list[int]]) -> RowPictures:
    environment = partial(sources.domain.environment, task=sources.artifact.task)
    episodes = {number: sources.dataset[number] for number in wanted}
    return replay_frames(environment, episodes, wanted, sources.artifact.manifest.parameters["environment"])
