"""One episode: T transitions in T+1 rows, aligned as state, action, reward (RLDS semantics)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Num, Shaped, UInt8

from pipeline.digest import arrays_in, content_of, digest_content
from pipeline.errors import InvalidEpisode
from pipeline.exact import STORED_KINDS, WIDEST
from pipeline.keys import stays_inside

UNKNOWN = -1
"""`success` and `seed` of an episode whose source did not say."""

NEEDED = frozenset(["action", "reward", "discount"])
"""Step arrays that every episode has, besides an observation; their last rows are zeros."""

SUMMARY = {
    "seed": np.int64,
    "terminated": np.bool_,
    "truncated": np.bool_,
    "success": np.int8,
    "has_final_observation": np.bool_,
    "has_final_reward": np.bool_,
}
"""Facts kept once per episode, with their dtype on disk."""

INFO, PRESENT = "info/", "info_present/"
"""Prefixes of the arrays of infos, and of the masks that say at which steps an info was there."""

RESET = "reset_info/"
"""Prefix of the once-per-episode arrays of a reset's info."""

TEXTS = ("mission", "end_reason")
"""Texts kept once per episode, as UTF-8."""

INFO_TEXTS = "info_texts"
"""The texts of an episode's infos as one text, JSON, where there are any; see `texts_as_json`."""


@dataclass(frozen=True, eq=False)
class Episode:
    """T transitions of one agent in one environment, as T+1 rows.

    Row t holds observation t, the action taken after seeing it, and the reward and discount that followed. On the
    last row action, reward and discount are zeros. A *state* is a row that is not the last.

    Attributes:
        steps: arrays of T+1 rows. Always `observation` (or `observation/<key>` for nested spaces), `action`,
            `reward` (float64) and `discount` (float64 in [0, 1]); optionally `info/<key>`. dtypes are the source's.
            An info that only some steps have is zero at the others and has a mask, `info_present/<key>` (bool).
        seed: what the environment was reset with, or -1.
        terminated, truncated: why it ended, as in Gymnasium; both are False for a log that simply stops.
        success: 1, 0, or -1 where the task has no notion of success.
        end_reason: `terminated`, `time_limit`, `budget`, `gave_up` where the policy knew no way on, or `source` where a
            log does not say.
        has_final_observation: False where the source dropped the last observation; the last row is then zeros.
        has_final_reward: False where the source dropped the reward of the last transition; it is then zero.
        reset_info: numbers and arrays that the info of the reset held, by name.
        info_texts: T texts for each info that is a text at some step; None at the steps without one.
        reset_texts: texts that the info of the reset held.

    Raises:
        InvalidEpisode: an invariant does not hold; the message names the array.
    """

    steps: Mapping[str, Shaped[np.ndarray, "rows ..."]]
    seed: int = UNKNOWN
    terminated: bool = False
    truncated: bool = False
    success: int = UNKNOWN
    mission: str = ""
    end_reason: str = "source"
    has_final_observation: bool = True
    has_final_reward: bool = True
    reset_info: Mapping[str, Num[np.ndarray, "..."]] = field(default_factory=dict)
    info_texts: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    reset_texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = self.steps.keys()
        if missing := NEEDED - names:
            raise InvalidEpisode(f"An episode needs the arrays action, reward and discount; missing: {sorted(missing)}")
        if "observation" not in names and not any(name.startswith("observation/") for name in names):
            raise InvalidEpisode(f"An episode needs an observation array; it has {sorted(names)}")
        if len(set(map(len, self.steps.values()))) != 1 or self.rows < 2:
            rows = {name: len(array) for name, array in self.steps.items()}
            raise InvalidEpisode(f"All arrays of an episode need the same T+1 rows, at least 2; they have {rows}")
        if not all(map(stays_inside, (*names, *self.reset_info))):
            unsafe = min(name for name in (*names, *self.reset_info) if not stays_inside(name))
            raise InvalidEpisode(f"{unsafe!r} cannot name an array: it is no path inside a folder")
        self._check_texts()
        self._check_vectors()
        for name, array in self.steps.items():
            if (dtype := array.dtype).kind not in STORED_KINDS or dtype.itemsize > WIDEST:
                raise InvalidEpisode(
                    f"{name} must hold truth values, whole or real numbers of at most 64 bits, it is {dtype}"
                )
            if dtype.kind == "f" and name.startswith("observation") and np.count_nonzero(np.isnan(array)):
                raise InvalidEpisode(f"{name} holds NaN, first at step {int(np.argwhere(np.isnan(array))[0][0])}")
            if name.startswith(PRESENT) and not _is_mask(array, INFO + name.removeprefix(PRESENT) in names):
                raise InvalidEpisode(f"{name} must mark some of the steps of an info, and not all; it is {array}")
            if name in NEEDED and (array[-1] if array.ndim == 1 else np.count_nonzero(array[-1])):
                raise InvalidEpisode(f"{name} of the last row must be zeros, it is {array[-1]}")

    def _check_vectors(self) -> None:
        """`count_nonzero` takes a third of the time of `any` or of `min`, and every episode comes by."""
        for name in ("reward", "discount"):
            array = self.steps[name]
            if array.dtype != np.float64 or array.ndim != 1:
                raise InvalidEpisode(f"{name} must be a float64 vector, it is {array.dtype} of shape {array.shape}")
        reward, discount = self.steps["reward"], self.steps["discount"]
        if np.count_nonzero(np.isfinite(reward)) < len(reward):
            raise InvalidEpisode(f"reward holds NaN or infinity, first at step {_first_bad(reward)}")
        within = (discount >= 0) & (discount <= 1)  # NaN is not
        if np.count_nonzero(within) < len(discount):
            if not np.isfinite(discount).all():
                raise InvalidEpisode(f"discount holds NaN or infinity, first at step {_first_bad(discount)}")
            bad = int(np.argmin(within))
            raise InvalidEpisode(f"discount must lie in [0, 1], it is {discount[bad]} at step {bad}")

    def _check_texts(self) -> None:
        for name, texts in self.info_texts.items():
            if len(texts) != self.length:
                raise InvalidEpisode(f"The texts of info/{name} should be {self.length}, one a step; {len(texts)} are")
        for name, text in (("mission", self.mission), (INFO_TEXTS, texts_as_json(self.info_texts, self.reset_texts))):
            if text.isascii():
                continue
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise InvalidEpisode(
                    f"{name} cannot be written as UTF-8: {text[error.start]!a} is no character"
                ) from None

    @property
    def rows(self) -> int:
        """T+1."""
        return len(self.steps["reward"])

    @property
    def length(self) -> int:
        """T, the number of states."""
        return self.rows - 1

    @property
    def total_reward(self) -> float:
        """Undiscounted return, summed exactly so that it is the same on every machine."""
        return math.fsum(self.steps["reward"].tolist())

    @property
    def is_first(self) -> Bool[np.ndarray, "rows"]:
        """True on row 0."""
        return np.arange(self.rows) == 0

    @property
    def is_last(self) -> Bool[np.ndarray, "rows"]:
        """True on row T."""
        return np.arange(self.rows) == self.length

    @property
    def is_terminal(self) -> Bool[np.ndarray, "rows"]:
        """True on row T of an episode that terminated."""
        return self.is_last & self.terminated

    @property
    def nbytes(self) -> int:
        """Bytes of the step arrays and of what infos say besides; the unit in which parts are cut."""
        arrays = [*self.steps.values(), *self.reset_info.values()]
        return sum([array.nbytes for array in arrays]) + (len(self.texts()[INFO_TEXTS]) if self._has_texts else 0)

    def summary(self) -> dict[str, Shaped[np.ndarray, ""]]:
        """The once-per-episode facts as scalar arrays."""
        return {name: _fact(name, getattr(self, name)) for name in SUMMARY}

    def texts(self) -> dict[str, UInt8[np.ndarray, "n"]]:
        """The once-per-episode texts as UTF-8 bytes."""
        texts = {name: _utf8(getattr(self, name)) for name in TEXTS}
        if self._has_texts:
            known = texts_as_json(self.info_texts, self.reset_texts)
            texts[INFO_TEXTS] = np.frombuffer(known.encode(), np.uint8)
        return texts

    def content(self) -> list[bytes | memoryview]:
        """All that it is, in pieces: what `digest` digests, and `from_content` reads back."""
        reset = {f"{RESET}{name}": array for name, array in self.reset_info.items()}
        return content_of({**self.steps, **self.summary(), **self.texts(), **reset})

    def digest(self) -> bytes:
        """32 bytes that change with any content and with nothing else."""
        return digest_content(self.content())

    @staticmethod
    def from_content(content: bytes) -> Episode:
        """The episode of joined `content`; its arrays are views of that. Raises ValueError where it is damaged."""
        arrays = arrays_in(content)
        once: dict[str, Any] = {name: arrays.pop(name).item() for name in SUMMARY}
        once |= {name: arrays.pop(name).tobytes().decode() for name in (*TEXTS, INFO_TEXTS) if name in arrays}
        infos, reset = texts_from_json(once.pop(INFO_TEXTS, ""), len(arrays["reward"]) - 1)
        reset_info = {name.removeprefix(RESET): arrays.pop(name) for name in [*arrays] if name.startswith(RESET)}
        return Episode(arrays, **once, reset_info=reset_info, info_texts=infos, reset_texts=reset)

    @property
    def _has_texts(self) -> bool:
        return bool(self.info_texts or self.reset_texts)

    def __repr__(self) -> str:
        arrays = ", ".join(f"{name} {array.dtype}{list(array.shape)}" for name, array in sorted(self.steps.items()))
        return f"Episode(T={self.length}, return={self.total_reward:.4g}, end={self.end_reason}, {arrays})"


def with_last_row(name: str, array: Shaped[np.ndarray, "t *each"]) -> Shaped[np.ndarray, "t+1 *each"]:
    """(T, ...) -> (T+1, ...): append the zero row that stands for what no one did or saw after the end."""
    if array.ndim == 0:
        raise InvalidEpisode(f"{name} must have a leading step axis")
    return np.concatenate([array, np.zeros((1, *array.shape[1:]), array.dtype)])


@lru_cache(maxsize=64)  # the same few come with every episode
def _fact(name: str, value: int) -> Shaped[np.ndarray, ""]:
    fact: np.ndarray = np.array(value, SUMMARY[name])
    fact.setflags(write=False)
    return fact


@lru_cache(maxsize=64)
def _utf8(text: str) -> UInt8[np.ndarray, "n"]:
    return np.frombuffer(text.encode(), np.uint8)


def texts_as_json(steps: Mapping[str, Sequence[str | None]], reset: Mapping[str, str]) -> str:
    """The texts of infos as JSON; the empty text where there are none.

    Of each name that text which holds from a step on, until the next one: `[[0, "left"], [7, null]]`.

    >>> texts_as_json({"door": ["shut", "shut", "open"]}, {"level": "one"})
    '{"reset": {"level": "one"}, "steps": {"door": [[0, "shut"], [2, "open"]]}}'
    """
    if not steps and not reset:
        return ""
    changes = {
        name: [[step, text] for step, text in enumerate(texts) if step == 0 or text != texts[step - 1]]
        for name, texts in steps.items()
    }
    return json.dumps({"reset": dict(reset), "steps": changes}, ensure_ascii=False, sort_keys=True)


def texts_from_json(text: str, length: int) -> tuple[dict[str, list[str | None]], dict[str, str]]:
    """Texts of T = `length` steps, and of the reset, by name; the inverse of `texts_as_json`.

    Raises InvalidEpisode for what it does not write.
    """
    if not text:
        return {}, {}
    try:
        known = json.loads(text)
        steps = {name: _spread(changes, length) for name, changes in known["steps"].items()}
        return steps, {name: _text(each) or "" for name, each in known["reset"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InvalidEpisode(f"The texts of its infos are damaged: {error}") from error


def _spread(changes: list[tuple[int, str | None]], length: int) -> list[str | None]:
    """A text for each of `length` steps, of those at which it changes."""
    starts = [step for step, _ in changes]
    ends = [*starts[1:], length]
    if starts[:1] != [0] or any(not start < end for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"they do not change at these steps of {length}: {starts[:5]}")
    return [_text(each) for (start, each), end in zip(changes, ends, strict=True) for _ in range(start, end)]


def _text(value: object) -> str | None:
    if not isinstance(value, str | None):
        raise TypeError(f"a {type(value).__name__} is no text")
    return value


def _is_mask(array: Shaped[np.ndarray, "rows ..."], has_info: bool) -> bool:
    return has_info and array.dtype == np.bool_ and bool(array.any() and not array[:-1].all() and not array[-1])


def _first_bad(array: Float64[np.ndarray, "rows"]) -> int:
    return int(np.argmin(np.isfinite(array)))
