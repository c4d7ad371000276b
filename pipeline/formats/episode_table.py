"""What episodes say once, as a group of an HDF5 file; `pipeline.sources.episode_table` reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import h5py
import numpy as np

from pipeline.dataset.flat import texts_between
from pipeline.episode import TEXTS
from pipeline.formats.choice import holders
from pipeline.formats.contract import CannotHold, Outgoing, Refusal
from pipeline.formats.flat import FlatEpisodes
from pipeline.sources.episode_table import LENGTH, OFFSET, PROVENANCE, RESETS, RESETS_PRESENT

MOST_ATTRIBUTE = 60_000
"""Bytes of a text that is an attribute; HDF5 takes 64 KB."""

BLOCK = 4096
"""Episodes that are written at a time."""


def require_plain_texts(data: Outgoing) -> None:
    """Raises CannotHold where a text has a NUL, at which texts of HDF5 end."""
    for name in TEXTS:
        for start in range(0, len(data), BLOCK):
            for number, text in enumerate(texts_between(data.dataset, name, start, start + BLOCK), start):
                if "\0" in text and number < len(data):
                    raise CannotHold(
                        f"The {name} of episode {number} of {data.dataset.name} holds the character NUL, at which a "
                        f"text of HDF5 ends. {holders(Refusal.NUL)} holds it."
                    )


def write_table(file: h5py.File, group: str, episodes: FlatEpisodes, offsets: Sequence[int] | np.ndarray) -> None:
    """Write what episodes say once into a group; `offsets` are their first rows in this file.

    A text or a mask that says the same of all episodes, nothing, is not written.
    """
    count = len(episodes)
    table = file.require_group(group)
    table[OFFSET] = np.asarray(offsets, np.int64)
    table[LENGTH] = episodes.lengths
    table["episode_id"] = np.arange(count)
    for start in range(0, count, BLOCK):
        stop = min(start + BLOCK, count)
        for name, values in episodes.once(start, stop).items():
            if isinstance(values, np.ndarray):
                table.require_dataset(name, (count,), values.dtype)[start:stop] = values
            elif any(values):
                table.require_dataset(name, (count,), h5py.string_dtype())[start:stop] = values
        for name, values, present in episodes.resets(start, stop):
            table.require_dataset(f"{RESETS}/{name}", (count, *values.shape[1:]), values.dtype)[start:stop] = values
            mask = table.require_dataset(f"{RESETS_PRESENT}/{name}", (count,), np.bool_)
            mask[start:stop] = present


def write_origin(file: h5py.File, group: str, form: str, data: Outgoing, episodes: FlatEpisodes, **own: str) -> None:
    """Write what an HDF5 file says of itself as attributes, and into a group where its episodes come from.

    Attributes are for people. The text in the group has a fixed length, so that `pipeline.sources.hdf5` can trust it.
    """
    for name, value in {**_attributes(form, data, episodes), **own}.items():
        if not isinstance(value, str) or len(value.encode()) < MOST_ATTRIBUTE:  # provenance has all of them
            file.attrs[name] = value
    origin = json.dumps(data.origin()).encode()
    file[f"{group}/{PROVENANCE}"] = np.array(origin, h5py.string_dtype(length=len(origin)))


def _attributes(form: str, data: Outgoing, episodes: FlatEpisodes) -> dict[str, str | int]:
    facts = data.provenance
    environment = facts.get("parameters", {}).get("environment", {})
    return {
        "format": form,
        "format_version": "1.0",
        "env_id": str(environment.get("id", f"{data.domain}/{data.task}")),
        "env_spec": json.dumps(environment),
        "num_episodes": len(episodes),
        "num_transitions": int(episodes.lengths.sum()),
        "created_by": str(facts.get("tool", "")),
        "source": f"{data.domain}/{data.task}/{data.name}",
    }
