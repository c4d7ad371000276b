"""What a view gives of each state: arrays of the dataset, frame stacks, and what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from pipeline.dataset.columns import RowSpec
from pipeline.dataset.reader import EpisodeDataset
from pipeline.errors import InvalidInput, unknown_name
from pipeline.views.buffers import Buffers
from pipeline.views.normalize import FieldStatistics, normalize_rows, statistics_identity
from pipeline.views.origins import Origins
from pipeline.views.pictures import FRAME, PicturesOfRows
from pipeline.views.places import Places, Runs
from pipeline.views.rows import RETURN_TO_GO, RowReader
from pipeline.views.view import Samples
from pipeline.wording import check_count, check_type

COMPUTED = {
    "mask": RowSpec(np.dtype(np.bool_), ()),
    "timestep": RowSpec(np.dtype(np.int64), ()),
    RETURN_TO_GO: RowSpec(np.dtype(np.float64), ()),
    "terminated": RowSpec(np.dtype(np.bool_), ()),
    "truncated": RowSpec(np.dtype(np.bool_), ()),
    "episode": RowSpec(np.dtype(np.int64), ()),
}
"""Fields that no array holds:

* `mask`: whether a row is a state of the episode, and no padding
* `timestep`: the state's number in its episode
* `return_to_go`: the sum of discounted rewards from the state to the end of its episode
* `terminated`, `truncated`: whether the step from this state ended the episode so
* `episode`: its number in the dataset, once a sample

The field `frame` is a row's picture, see `pipeline.views.pictures`.
"""


class Fields:
    """The fields of a view over one dataset.

    Args:
        dataset: whose arrays are read.
        names: of the fields; `observation` stands for all arrays of a nested observation.
        frame_stack: observations that are given together, the newest last.
        discount: of `return_to_go`.
        full_actions: actions of an Atari game become their places among all 18.
        float64: whether float64 stays so.
        also: names that the view itself knows, for the message of an unknown one.
        statistics: by which arrays are normalised: see `pipeline.views.normalize`.

    Raises UnknownName for a field that there is not, InvalidInput for what cannot be made.
    """

    def __init__(
        self,
        dataset: EpisodeDataset,
        names: Sequence[str],
        frame_stack: int = 1,
        discount: float = 1.0,
        full_actions: bool = False,
        float64: bool = False,
        also: Sequence[str] = (),
        statistics: Mapping[str, FieldStatistics] | None = None,
    ) -> None:
        check_count("frame_stack", frame_stack)
        check_discount("discount", discount)
        self._also, self._statistics = tuple(also), dict(statistics or {})
        self.dataset, self._reader, self._buffers = dataset, RowReader(dataset), Buffers()
        self.frame_stack, self._discount, self._float64 = frame_stack, discount, float64
        self._pictures = PicturesOfRows(dataset) if FRAME in names and FRAME not in self._reader.names() else None
        self.names = [each for name in names for each in self.named(name)]
        self._origins, self._full_actions = Origins(dataset, frame_stack, full_actions), full_actions
        if full_actions and "action" in self._statistics:
            raise InvalidInput("Actions by their place among all 18 have no mean: leave action out of normalize=.")

    def spec(self, name: str) -> RowSpec:
        """The dtype and shape of one row of a field, as the view gives it."""
        if name == FRAME and self._pictures is not None:
            return self._pictures.row
        row = COMPUTED.get(name) or self._reader.spec(name)
        real = np.dtype(np.float64 if self._float64 else np.float32)
        dtype = real if row.dtype == np.float64 or name in self._statistics else row.dtype
        if name == "action" and self._full_actions:
            return RowSpec(np.dtype(np.int64), row.shape)
        return RowSpec(dtype, (self.frame_stack, *row.shape) if self._stacks(name) else row.shape)

    def action_meanings(self) -> set[tuple[int, ...]]:
        """What the numbers of an Atari game's actions mean, see `Origins.meanings`; empty without that field."""
        return self._origins.meanings() if "action" in self.names else set()

    def read(
        self,
        episodes: Int64[np.ndarray, " n"],
        rows: Int64[np.ndarray, "n length"],
        there: Bool[np.ndarray, "n length"] | None = None,
        names: Sequence[str] | None = None,
        into: tuple[Samples, Int64[np.ndarray, " n"]] | None = None,
    ) -> Samples:
        """The fields at some rows of some episodes, all or those of these `names`: (n, length, ...), `episode` (n,).

        Rows that are not `there` are zeros; None stands for the rows that are states. The last row of an episode, which
        is none, is read where it is said to be there. `into` are the arrays of a larger batch and the places of these
        samples in it: what is read from files is written there, the arrays are given back.
        """
        if there is None:
            there = (rows >= 0) & (rows < self._reader.lengths[episodes][:, None])
        names = self.names if names is None else names
        if into is None:
            specs = {name: self.spec(name) for name in names if name not in COMPUTED or name == RETURN_TO_GO}
            arrays = self._buffers.take({name: ((*rows.shape, *row.shape), row.dtype) for name, row in specs.items()})
            at = None
        else:
            arrays, at = into
        places = Places(episodes, rows, there, self.frame_stack, self._origins, at)
        return {name: self._read(name, places, arrays) for name in names}

    def identity(self) -> dict[str, Any]:
        """Which episodes the samples are made of."""
        return {
            "dataset": self.dataset.name, "episodes": len(self.dataset), "digest": self.dataset.digest(),
            "normalize": statistics_identity(self._statistics),
        }  # fmt: skip

    def _read(self, name: str, places: Places, arrays: Samples) -> Shaped[np.ndarray, "n ..."]:
        episodes, rows, there = places.episodes, places.rows, places.there
        if name == "mask":
            return there
        if name == "episode":
            return episodes
        if name == "timestep":
            return np.where(there, rows, 0)
        if name in ("terminated", "truncated"):
            last = rows == (self._reader.lengths[episodes] - 1)[:, None]
            return last & there & self._reader.per_episode(name)[episodes][:, None]
        if name == RETURN_TO_GO and (beyond := rows >= self._reader.lengths[episodes][:, None]).any():
            places = replace(places, there=there & ~beyond)
        spec = self.spec(name)
        given = arrays[name]
        statistics = self._statistics.get(name)
        out = given if statistics is None else np.empty(given.shape, self._reader.spec(name).dtype)
        if self._stacks(name):
            flat = _flat(out, spec.shape[1:])
            self._copy(name, places.stacked_runs, flat)
            places.fill_stacks(flat)
        else:
            self._copy(name, places.runs, _flat(out, spec.shape))
        if statistics is not None:
            _normalize_samples(out, statistics, given, places.at)
        if not places.whole:
            _flat(given, spec.shape)[places.missing] = 0
        return given

    def _copy(self, name: str, runs: Runs, out: Shaped[np.ndarray, "rows ..."]) -> None:
        if name == RETURN_TO_GO:
            self._reader.read_returns(self._discount, *runs.before(out))
        elif name == FRAME and self._pictures is not None:
            self._pictures.read(*runs.before(out))
        elif name == "action" and self._full_actions:
            own = np.zeros(out.shape, self._reader.spec(name).dtype)
            self._reader.read(name, *runs.before(own))
            rows = runs.rows()
            out[rows] = self._origins.joystick_places(np.repeat(runs.episodes, runs.counts), own[rows])
        else:
            self._reader.read(name, *runs.before(out))

    def _stacks(self, name: str) -> bool:
        return self.frame_stack > 1 and name.split("/")[0] == "observation"

    def named(self, name: str) -> list[str]:
        """The field of this name; of a nested observation all those inside. Raises UnknownName."""
        known = self._reader.names()
        if name in COMPUTED or name in known or (name == FRAME and self._pictures is not None):
            return [name]
        if inside := [each for each in known if each.startswith(f"{name}/")]:
            return inside
        computed = [*COMPUTED, FRAME, *self._also]
        there = f"Arrays of the dataset: {', '.join(known)}.\nFields that are computed: {', '.join(computed)}."
        raise unknown_name(f"field of {self.dataset.name}", name, [*known, *computed], there)


def _flat(array: Shaped[np.ndarray, "n length ..."], row: tuple[int, ...]) -> Shaped[np.ndarray, "rows ..."]:
    """The rows of all samples one after the other."""
    return array.reshape(math.prod(array.shape[: array.ndim - len(row)]), *row)


def _normalize_samples(
    raw: Shaped[np.ndarray, "n ..."],
    statistics: FieldStatistics,
    out: Shaped[np.ndarray, "n ..."],
    at: Int64[np.ndarray, " k"] | None,
) -> None:
    """Normalise all samples, or those at some places of a batch."""
    if at is None:
        normalize_rows(raw, statistics, out)
        return
    own = np.empty((len(at), *out.shape[1:]), out.dtype)
    normalize_rows(raw[at], statistics, own)
    out[at] = own


def check_fields(fields: Sequence[str]) -> None:
    """Raises InvalidInput for fields that are none, a text, or named twice."""
    if isinstance(fields, str):
        raise InvalidInput(f"fields={fields!r} is a text. Name fields in a list: fields=({fields!r},).")
    if not fields:
        raise InvalidInput("fields=() names no field; such as fields=('observation', 'action').")
    if twice := sorted({name for name in fields if list(fields).count(name) > 1}):
        raise InvalidInput(f"fields names {twice[0]} more than once.")


def check_discount(setting: str, value: object) -> None:
    """Raises InvalidInput for a discount that is no number from 0 to 1."""
    check_type(setting, value, int | float, "a number")
    if isinstance(value, int | float) and not 0 <= value <= 1:
        raise InvalidInput(f"{setting}={value:g} must lie between 0 and 1.")
