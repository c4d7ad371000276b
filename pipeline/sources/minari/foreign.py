"""Episodes that Minari itself, or another program, has written, as ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.episode import INFO, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.exact import exactly
from pipeline.keys import apart, key_names
from pipeline.sources.flat import require_flags
from pipeline.sources.minari.jpeg import decoded_jpegs, jpeg_rows
from pipeline.sources.minari.layout import ACTIONS, INFOS, OBSERVATIONS, REWARDS, TERMINATIONS, TRUNCATIONS
from pipeline.sources.minari.raw import KeyPath, RawEpisode, RawLeaf
from pipeline.sources.minari.spaces import SpaceLeaf
from pipeline.sources.quirks import AS_DECODED, Quirks

INDEX = re.compile(r"_index_(\d+)")
"""How HDF5 sets name the parts of a tuple."""

STANDARD = {"id", "total_steps", "seed"}
"""What Minari itself says of an episode."""

MISSION = "mission"


@dataclass
class _Infos:
    """Infos of an episode: with their last row, their texts, and what the reset said, which is row 0 of T+1 rows."""

    steps: dict[str, np.ndarray] = field(default_factory=dict)
    texts: dict[str, list[str | None]] = field(default_factory=dict)
    resets: dict[str, np.ndarray] = field(default_factory=dict)
    reset_texts: dict[str, str] = field(default_factory=dict)


@dataclass
class ForeignReader:
    """Makes episodes of one dataset, and counts what is odd in them.

    Attributes:
        observations, actions: the arrays of its spaces; empty where the dataset does not say.
        quirks: where oddities are counted.
    """

    observations: Mapping[KeyPath, SpaceLeaf]
    actions: Mapping[KeyPath, SpaceLeaf]
    quirks: Quirks = field(default_factory=Quirks)

    def episode(self, raw: RawEpisode) -> Episode:
        """One episode. Raises InvalidInput where its arrays do not fit together."""
        rewards = self._rewards(raw)
        length = len(rewards)
        steps: dict[str, np.ndarray] = {"reward": with_last_row("reward", rewards)}
        steps["action"] = with_last_row("action", self._action(raw, length))
        arrays, mission, texts = self._observation(raw, length)
        terminated, truncated = (self._flag(raw, name, length) for name in (TERMINATIONS, TRUNCATIONS))
        steps["discount"] = implied_discounts(length, terminated)
        infos = self._infos(raw, length)
        for name, fact in self._facts(raw).items():
            (infos.reset_texts if isinstance(fact, str) else infos.resets)[name] = fact
        return Episode(
            steps={**steps, **arrays, **_apart(infos.steps)},
            seed=self._seed(raw),
            terminated=terminated,
            truncated=truncated,
            end_reason=implied_reason(terminated, truncated),
            mission=mission,
            reset_info=_apart(infos.resets),
            info_texts={**texts, **infos.texts},
            reset_texts=infos.reset_texts,
        )

    def _rewards(self, raw: RawEpisode) -> Float64[np.ndarray, "t"]:
        rewards = raw.array(REWARDS)
        if rewards.ndim == 2 and rewards.shape[1] == 1:
            rewards = rewards[:, 0]
        fitting = exactly(rewards, np.float64) if rewards.ndim == 1 and rewards.dtype.kind in "fiub" else None
        if fitting is None:
            raise InvalidInput(f"{raw.where}: rewards must be one number a step; {_listed(rewards)}.")
        return fitting

    def _flag(self, raw: RawEpisode, name: str, length: int) -> bool:
        flags = raw.array(name).reshape(-1)
        if len(flags) != length or flags.dtype.kind not in "biuf":
            raise InvalidInput(f"{raw.where}: {name} must be {length} flags, as there are rewards; {_listed(flags)}.")
        require_flags(flags, f"{raw.where}: {name}")
        inside = int(np.count_nonzero(flags[:-1]))
        self.quirks.count(
            "ends_inside",
            "{count} flags of an end stood before the last step; they end no episode.",
            inside,
            rule="a last step ends its episode",
            dropped=inside,
            unit="flags",
        )
        return bool(flags[-1])

    def _observation(
        self, raw: RawEpisode, length: int
    ) -> tuple[dict[str, Shaped[np.ndarray, "rows ..."]], str, dict[str, list[str | None]]]:
        """Arrays by their names, the mission, and texts that change."""
        found, texts, mission = {}, {}, ""
        for path, leaf in _tupled(raw.below(OBSERVATIONS)).items():
            value = self._numbers(raw, leaf, self.observations.get(path), (OBSERVATIONS, *path))
            if len(value) != length + 1:
                raise InvalidInput(
                    f"{raw.where}: {'/'.join((OBSERVATIONS, *path))} must have {length + 1} rows, one more than there "
                    f"are rewards; it has {len(value)}."
                )
            if isinstance(value, np.ndarray):
                found[path] = value
            elif len(set(value)) == 1 and not mission and value[0]:
                mission = value[0]
            else:
                texts[path] = value[:-1]
        if not found:
            raise InvalidInput(f"{raw.where} has no observations that are numbers.")
        names = key_names([("observation", *path) for path in found])
        arrays = {names["observation", *path]: value for path, value in found.items()}
        self.quirks.count(
            "varying_texts",
            "Texts of observations that change were kept as infos {count} times, without that of the last row.",
            len(texts),
            rule="infos have no last row",
            dropped=len(texts),
            unit="texts",
        )
        text_names = key_names([("observation", *path) for path in texts])
        return _apart(arrays), mission, {text_names["observation", *path]: each for path, each in texts.items()}

    def _action(self, raw: RawEpisode, length: int) -> Shaped[np.ndarray, "t ..."]:
        """One array of T rows; the parts of a Dict or Tuple are flattened and joined in the order of the space."""
        parts = _tupled(raw.below(ACTIONS))
        order = [path for path in self.actions if path in parts] or sorted(parts)
        if len(order) != len(parts) or not parts:
            raise InvalidInput(f"{raw.where}: its actions are {_paths(parts)}; the space has {_paths(self.actions)}.")
        arrays = []
        for path in order:
            array = self._numbers(raw, parts[path], self.actions.get(path), (ACTIONS, *path))
            if not isinstance(array, np.ndarray) or len(array) != length:
                raise InvalidInput(
                    f"{raw.where}: {'/'.join((ACTIONS, *path))} must be {length} actions, as there are rewards."
                )
            arrays.append(array)
        if order == [()]:
            return arrays[0]
        if len({array.dtype.kind in "iub" for array in arrays}) > 1:
            raise InvalidInput(
                f"{raw.where}: the parts of an action have no number type in common: "
                f"{', '.join(str(array.dtype) for array in arrays)}."
            )
        sentence = "The parts of an action were joined to one array, in this order: " + ", ".join(
            "/".join(path) for path in order
        )
        self.quirks.note("joined_actions", f"{sentence}.", rule="an action is one array")
        return np.concatenate([array.reshape(length, -1) for array in arrays], axis=1)

    def _numbers(self, raw: RawEpisode, leaf: RawLeaf, space: SpaceLeaf | None, path: KeyPath) -> Any:
        """An array in the shape of its space, or texts."""
        where = f"{raw.where}: {'/'.join(path)}"
        shape = space.shape if space else None
        if (space is None or space.is_picture) and (rows := jpeg_rows(leaf)) is not None:
            sentence = "{count} pictures are in JPEG: what that changed is lost for good."
            self.quirks.count("lossy_pictures", sentence, len(rows), rule=AS_DECODED)
            return decoded_jpegs(rows, shape, where)
        if not isinstance(leaf, np.ndarray):
            if any(isinstance(each, bytes) for each in leaf):
                raise InvalidInput(f"{where} holds bytes that are no JPEG.")
            return ["" if each is None else each for each in leaf]
        if leaf.ndim == 0:
            raise InvalidInput(f"{where} is one number, not one a step.")
        if shape is None or leaf.shape[1:] == shape:
            return leaf
        if leaf.size != len(leaf) * prod(shape):
            raise InvalidInput(f"{where} has rows of shape {[*leaf.shape[1:]]}; its space says {[*shape]}.")
        return leaf.reshape(len(leaf), *shape)

    def _infos(self, raw: RawEpisode, length: int) -> _Infos:
        infos, leaves = _Infos(), _tupled(raw.below(INFOS))
        for path, name in key_names(leaves).items():
            leaf = leaves[path]
            own_rows = (leaf.ndim > 0) if isinstance(leaf, np.ndarray) else not any(isinstance(e, bytes) for e in leaf)
            if not own_rows or len(leaf) not in (length, length + 1):
                self.quirks.count(
                    "unread_arrays",
                    "{count} infos were left out: not T or T+1 rows of numbers or texts.",
                    rule="infos have T or T+1 rows",
                    dropped=1,
                    unit="arrays",
                )
                continue
            has_reset = len(leaf) > length
            if isinstance(leaf, np.ndarray):
                infos.steps[f"{INFO}{name}"] = with_last_row(name, leaf[-length:])
                infos.resets |= {name: leaf[0]} if has_reset else {}
            else:
                infos.texts[name] = [None if text is None else str(text) for text in leaf[-length:]]
                infos.reset_texts |= {name: str(leaf[0])} if has_reset and leaf[0] is not None else {}
        return infos

    def _facts(self, raw: RawEpisode) -> dict[str, Any]:
        """Options of the reset and what else was said of the episode: numbers, and texts."""
        found: dict[str, Any] = {}
        for name, value in raw.facts.items():
            if name in STANDARD or value is None:
                continue
            path = tuple(name.split("/"))
            array = value if isinstance(value, str) else np.asarray(value)
            named = key_names([path if path[0] == "options" else ("metadata", *path)])
            if isinstance(array, str) or array.dtype.kind in "biuf":
                found[next(iter(named.values()))] = array
            else:
                self.quirks.count(
                    "unread_metadata",
                    "{count} facts of episodes were left out: not numbers or texts.",
                    rule="facts are numbers or texts",
                    dropped=1,
                    unit="facts",
                )
        return found

    def _seed(self, raw: RawEpisode) -> int:
        seed = raw.facts.get("seed")
        if seed is None:
            return UNKNOWN
        array = np.asarray(seed)
        if array.size == 1 and array.dtype.kind in "iu" and 0 <= int(array.reshape(())) < 2**63:
            return int(array.reshape(()))
        self.quirks.count(
            "other_seeds",
            "{count} seeds are not among the whole numbers from 0 to 2^63 - 1; they are unknown now.",
            rule="seeds are whole numbers below 2^63",
            dropped=1,
            unit="seeds",
        )
        return UNKNOWN


def _tupled(leaves: Mapping[KeyPath, RawLeaf]) -> dict[KeyPath, RawLeaf]:
    """With the parts of tuples by their numbers, as spaces have them."""
    return {tuple(INDEX.sub(r"\1", part) for part in path): leaf for path, leaf in leaves.items()}


def _apart(arrays: Mapping[str, Any]) -> dict[str, Any]:
    places = apart(tuple(arrays))
    return {places[name]: array for name, array in arrays.items()}


def _listed(array: Shaped[np.ndarray, "..."]) -> str:
    return f"there are {array.dtype}{[*array.shape]}"


def _paths(paths: Iterable[KeyPath]) -> str:
    return ", ".join("/".join(path) or "one array" for path in paths) or "none"
