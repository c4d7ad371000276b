"""What both directions know of a Minari dataset: names of files and keys, ids, and where our arrays lie in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.dataset.columns import RowSpec, mask_of
from pipeline.episode import INFO, PRESENT
from pipeline.errors import InvalidInput

DATA, METADATA, MAIN = "data", "metadata.json", "main_data.hdf5"
"""A dataset is a folder with a folder `data` in it; HDF5 sets are one file there, others a folder an episode."""

EPISODE = "episode_"
"""Prefix of the groups of an HDF5 set."""

OBSERVATIONS, ACTIONS, REWARDS, INFOS = "observations", "actions", "rewards", "infos"
TERMINATIONS, TRUNCATIONS = "terminations", "truncations"

OF_STEPS = (ACTIONS, REWARDS, TERMINATIONS, TRUNCATIONS)
"""Arrays of T rows; all others have T+1. Tables pad them to T+1 with a row that stands for nothing."""

HDF5, ARROW, PARQUET = "hdf5", "arrow", "parquet"
DATA_FORMATS = (HDF5, ARROW, PARQUET)

RESET_PLACE, LAST_PLACE = "reset_info/", "last_row/"
"""Prefixes of attributes of an episode: the arrays of its reset, and last rows of infos that are not zeros."""

OWN = "repertoire"
"""The key of `metadata.json` below which an export keeps its provenance and the table of its arrays."""

ID_RULE = re.compile(r"(?:[-_\w][-_\w/]*[-_\w]+/)?[-_\w]+?-v\d+")
"""Ids as Minari 0.5.4 takes them: `(namespace/)name-vK`; a namespace has two characters at least."""

MARK = "_"
"""Prefix of a mask's name, as Gymnasium's vector environments mark which infos are there."""


def check_dataset_id(given: str) -> str:
    """An id that Minari takes and that leads to a folder below its root. Raises InvalidInput."""
    parts = given.split("/")
    if not ID_RULE.fullmatch(given) or "" in parts or DATA in parts[:-1]:
        raise InvalidInput(
            f"{given!r} is no id of a Minari dataset. Wanted: (namespace/)name-vK of letters, digits, - and _, as "
            f"metaworld/assembly/scripted-v1; a namespace has at least two characters, and no part of it is {DATA}."
        )
    return given


def default_dataset_id(domain: str, task: str, dataset: str) -> str:
    """`<domain>/<task>/<dataset>` in Minari's spelling.

    >>> default_dataset_id("metaworld", "assembly", "scripted-v1"), default_dataset_id("gym", "ALE.Pong", "mine")
    ('metaworld/assembly/scripted-v1', 'gym/ALE-Pong/mine-v0')
    """
    parts = [re.sub(r"[^-\w]", "-", part) for part in (domain, task, dataset)]
    parts[:-1] = [f"{part}_" if part == DATA else part for part in parts[:-1]]
    if not re.fullmatch(r".+-v\d+", parts[-1]):
        parts[-1] += "-v0"
    return check_dataset_id("/".join(parts))


@dataclass(frozen=True)
class ArrayPlace:
    """Where one of our step arrays lies in an episode, and one row of it.

    Attributes:
        name: ours, such as `info/a`.
        at: the path of the array in the episode, such as `infos/a`.
        row: dtype and shape of one row.
    """

    name: str
    at: str
    row: RowSpec

    @property
    def is_observation(self) -> bool:
        return self.at.split("/")[0] == OBSERVATIONS

    @property
    def is_info(self) -> bool:
        """Whether its row 0 belongs to the reset, so that row t+1 holds what step t said."""
        return self.name.startswith((INFO, PRESENT))


def array_places(rows: Mapping[str, RowSpec], discounts: bool) -> list[ArrayPlace]:
    """Where the arrays of a dataset lie; `discounts`: they are kept, for the ends of the episodes do not imply them.

    An info is `infos/<key>`, its mask `infos/_<key>`, with more of the mark where that name is taken.
    """
    kept = {name: row for name, row in rows.items() if name not in ("reward", *(() if discounts else ("discount",)))}
    places = {name: _plain_place(name) for name in kept if not name.startswith(PRESENT)}
    taken = set(places.values())
    for info in [name for name in kept if mask_of(name) in kept and name.startswith(INFO)]:
        folder, _, key = places[info].rpartition("/")
        at = f"{folder}/{MARK}{key}"
        while at in taken or any(each.startswith(f"{at}/") for each in taken):
            at = f"{folder}/{MARK}{at.rpartition('/')[2]}"
        places[mask_of(info)] = at
        taken.add(at)
    return [ArrayPlace(name, at, kept[name]) for name, at in sorted(places.items())]


def _plain_place(name: str) -> str:
    if name == "action":
        return ACTIONS
    first, _, rest = name.partition("/")
    if first == "observation":
        return f"{OBSERVATIONS}/{rest}" if rest else OBSERVATIONS
    if name.startswith(INFO):
        return f"{INFOS}/{rest}"
    return f"{INFOS}/{MARK * 2}{name}"


def table_as_json(places: Iterable[ArrayPlace]) -> dict[str, Any]:
    """The places as JSON; the inverse of `places_from_json`."""
    return {each.name: {"at": each.at, **row_as_json(each.row)} for each in places}


def places_from_json(table: Mapping[str, Any]) -> list[ArrayPlace]:
    """The places of a table that an export keeps. Raises KeyError, TypeError or ValueError where it is damaged."""
    rows = rows_from_json(table)
    return [ArrayPlace(name, str(each["at"]), rows[name]) for name, each in table.items()]


def row_as_json(row: RowSpec) -> dict[str, Any]:
    """The dtype and shape; the inverse of `rows_from_json`."""
    return {"dtype": str(row.dtype), "shape": [*row.shape]}


def rows_from_json(table: Mapping[str, Any]) -> dict[str, RowSpec]:
    """The dtype and shape by name. Raises KeyError, TypeError or ValueError where the table is damaged."""
    return {name: RowSpec(np.dtype(str(e["dtype"])), tuple(int(n) for n in e["shape"])) for name, e in table.items()}
