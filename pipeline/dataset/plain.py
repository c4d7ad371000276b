"""Plain episodes: one array of observations, no infos, no mission. For whoever makes many short ones.

An `Episode` is checked array by array, and its content is put together from fourteen pieces; for 22 steps that takes
longer than to play them. Of a plain one all but three arrays and its seed follow from its length and its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from pipeline.dataset.bundle import Bundle
from pipeline.dataset.columns import STEPS, RowSpec, rows_of
from pipeline.dataset.parts import ENDS
from pipeline.digest import DIGEST_BYTES, digest_content
from pipeline.episode import SUMMARY, TEXTS, UNKNOWN, Episode
from pipeline.exact import stored_as_is

CHANGING = ("action", "observation", "reward", "seed")
"""What the length and the end of a plain episode do not settle."""

WIDEST_ROW = 1024
"""Bytes of a row; where they are more, their copies take longer than what an `Episode` does."""

REAL = "f"

_KINDS = [(True, False), (False, True), (True, True)]
"""How an episode may end: terminated, truncated."""


class PlainRows:
    """One row of each array of plain episodes.

    Attributes:
        action, observation: their rows; reward and discount are float64.
        signature: as `rows_of` of such an episode.
        nbytes: of one row of all arrays.
    """

    def __init__(self, action: RowSpec, observation: RowSpec) -> None:
        self.action, self.observation = action, observation
        self.signature = rows_of(_stand_in(self, 2, True, False))
        self.nbytes = sum(RowSpec(dtype, shape).nbytes for _, dtype, shape in self.signature)


@dataclass(slots=True, eq=False)
class PlainEpisode:
    """T steps, the last of which terminated the episode or cut it off at its time limit.

    Attributes:
        of: its rows.
        rows: T+1.
        arrays: the bytes of `action`, `observation` and `reward`, T+1 rows each.
        terminated, truncated: one of them, at least.
        seed: as of an `Episode`.
    """

    of: PlainRows
    rows: int
    arrays: tuple[bytes, bytes, bytes]
    terminated: bool
    truncated: bool
    seed: int = UNKNOWN

    @property
    def length(self) -> int:
        """T, the number of states."""
        return self.rows - 1

    @property
    def nbytes(self) -> int:
        """As `Episode.nbytes`."""
        return self.rows * self.of.nbytes

    def __len__(self) -> int:
        """T, as an `EpisodeBuilder` says it."""
        return self.rows - 1

    def content(self) -> list[bytes]:
        """As `Episode.content`, in one piece."""
        *before, end = _frame(self.of, self.rows, self.terminated, self.truncated)
        changing = (*self.arrays, self.seed.to_bytes(8, "little", signed=True))
        return [b"".join([*chain.from_iterable(zip(before, changing, strict=True)), end])]

    def digest(self) -> bytes:
        """As `Episode.digest`."""
        return digest_content(self.content())


AnyEpisode = Episode | PlainEpisode


def plain_rows(actions: Shaped[np.ndarray, "n ..."], observations: Any) -> PlainRows | None:
    """The rows of episodes of such arrays; None where they are too wide to be worth it, or of types of their own."""
    if not isinstance(observations, np.ndarray):
        return None
    each = RowSpec(actions.dtype, actions.shape[1:]), RowSpec(observations.dtype, observations.shape[1:])
    if not all(stored_as_is(row.dtype) for row in each):
        return None
    rows = _rows_of(*each)
    return rows if rows.nbytes <= WIDEST_ROW else None


@lru_cache(maxsize=64)  # a frame is kept for each
def _rows_of(action: RowSpec, observation: RowSpec) -> PlainRows:
    return PlainRows(action, observation)


def plain_episode(
    rows: PlainRows,
    actions: Shaped[np.ndarray, "t ..."],
    observations: Shaped[np.ndarray, "t+1 ..."],
    rewards: Float64[np.ndarray, "t"],
    terminated: bool,
    truncated: bool,
    seed: int = UNKNOWN,
) -> PlainEpisode | None:
    """A plain episode of copies of these arrays, whose rows are `rows`. None where an `Episode` would refuse them:
    rewards that are not finite, or so large that this is not certain; NaN in the observations.

    A sum of squares is NaN where one of them is, and takes a tenth of the time of a look at each.
    """
    observation = observations.tobytes()
    with np.errstate(over="ignore"):  # squares may be infinite
        if not math.isfinite(rewards.dot(rewards)):
            return None
        if rows.observation.dtype.kind == REAL:
            numbers = np.frombuffer(observation, rows.observation.dtype)
            if math.isnan(numbers.dot(numbers)):
                return None
    arrays = actions.tobytes() + bytes(rows.action.nbytes), observation, rewards.tobytes() + bytes(8)
    return PlainEpisode(rows, len(rewards) + 1, arrays, terminated, truncated, seed)


def bundles_of(numbered: Sequence[tuple[int, AnyEpisode]]) -> Iterator[tuple[int, Bundle]]:
    """Bundles of episodes that are given with their numbers, in order; each comes with that of its first one."""
    alike = groupby(enumerate(numbered), lambda each: (each[1][0] - each[0], _arrays_of(each[1][1])))
    for _, group in alike:
        members = [each for _, each in group]
        plain = [(each, each.digest()) for _, each in members if isinstance(each, PlainEpisode)]
        bundle = bundle_plain(plain) if plain else Bundle.of([each for _, each in members if isinstance(each, Episode)])
        yield members[0][0], bundle


def _arrays_of(episode: AnyEpisode) -> tuple[Any, ...]:
    """What episodes of one bundle have in common: names, dtypes and shapes, and whether infos are texts."""
    if isinstance(episode, PlainEpisode):
        return (episode.of,)
    return rows_of(episode), bool(episode.info_texts or episode.reset_texts)


def bundle_plain(episodes: Sequence[tuple[PlainEpisode, bytes]]) -> Bundle:
    """A bundle of plain episodes of the same rows, each with its digest."""
    plain, digests = [each for each, _ in episodes], b"".join(digest for _, digest in episodes)
    steps, ends = _steps(plain[0].of, plain), np.cumsum([each.rows for each in plain], dtype=np.int64)
    stops, rewards = ends.tolist(), steps["reward"].tolist()
    returns = [math.fsum(rewards[start:stop]) for start, stop in zip([0, *stops[:-1]], stops, strict=True)]
    kinds = [_KINDS.index((each.terminated, each.truncated)) for each in plain]
    arrays = {f"{STEPS}{name}": array for name, array in steps.items()} | _facts_of(plain[0].of, np.asarray(kinds))
    arrays[ENDS], arrays["episodes/return"] = ends, np.asarray(returns, np.float64)
    arrays["episodes/seed"] = np.asarray([each.seed for each in plain], SUMMARY["seed"])
    arrays["episodes/digest"] = np.frombuffer(bytearray(digests), np.uint8).reshape(len(plain), DIGEST_BYTES)
    return Bundle(arrays)


def _facts_of(of: PlainRows, kinds: Int64[np.ndarray, " n"]) -> dict[str, Shaped[np.ndarray, "..."]]:
    """The once-per-episode facts and texts of episodes that end in the ways `_KINDS[kinds]`."""
    shortest = [_stand_in(of, 2, *kind) for kind in _KINDS]
    summaries, texts = [each.summary() for each in shortest], [each.texts() for each in shortest]
    facts = {f"episodes/{name}": np.stack([each[name] for each in summaries])[kinds] for name in SUMMARY}
    for name in TEXTS:
        facts[f"texts/{name}/bytes"] = np.concatenate([texts[kind][name] for kind in kinds.tolist()])
        facts[f"texts/{name}/ends"] = np.cumsum(np.asarray([len(each[name]) for each in texts])[kinds], dtype=np.int64)
    return facts


def _steps(of: PlainRows, episodes: Sequence[PlainEpisode]) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """The step arrays of all, one after the other."""
    specs = (of.action, of.observation, RowSpec(np.dtype(np.float64), ()))
    columns = [b"".join(each) for each in zip(*(each.arrays for each in episodes), strict=True)]
    ends = np.cumsum([each.rows for each in episodes])
    action, observation, reward = (
        np.frombuffer(bytearray(column), spec.dtype).reshape(ends[-1], *spec.shape)
        for column, spec in zip(columns, specs, strict=True)
    )
    discount = np.ones(len(reward), np.float64)
    discount[ends - 1] = 0.0
    discount[ends[[each.terminated for each in episodes]] - 2] = 0.0
    return {"action": action, "discount": discount, "observation": observation, "reward": reward}


@lru_cache(maxsize=4096)  # lengths come again; most of a frame is discounts, 8 bytes a step
def _frame(of: PlainRows, rows: int, terminated: bool, truncated: bool) -> tuple[bytes, ...]:
    """What stands before, between and behind the three arrays in the content of such an episode."""
    episode = _stand_in(of, rows, terminated, truncated)
    names = sorted([*episode.steps, *episode.summary(), *episode.texts()])
    pieces, frame, begin = episode.content(), [], 0
    for name in CHANGING:
        place = 2 * names.index(name) + 1  # each array is two pieces, its head and itself
        frame.append(b"".join(pieces[begin:place]))
        begin = place + 1
    return (*frame, b"".join(pieces[begin:]))


def _stand_in(of: PlainRows, rows: int, terminated: bool, truncated: bool) -> Episode:
    """An episode of that length and end, full of zeros."""
    discount = np.ones(rows, np.float64)
    discount[-1] = 0.0
    if terminated:
        discount[-2] = 0.0
    steps: dict[str, Any] = {
        "observation": np.zeros((rows, *of.observation.shape), of.observation.dtype),
        "action": np.zeros((rows, *of.action.shape), of.action.dtype),
        "reward": np.zeros(rows, np.float64),
        "discount": discount,
    }
    return Episode(
        steps, terminated=terminated, truncated=truncated, end_reason="terminated" if terminated else "time_limit"
    )
