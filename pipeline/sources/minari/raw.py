"""An episode as any of the layouts gives it, before it is ours; and how what cannot be read becomes a clear error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped

from pipeline.errors import InvalidInput
from pipeline.wording import first_line

KeyPath = tuple[str, ...]
"""Where an array lies: `("observations", "image")`."""

RawLeaf = Shaped[np.ndarray, "_ ..."] | Sequence[str | None] | Sequence[bytes]
"""What lies there: an array, texts, or the bytes of pictures."""

UNREADABLE = (
    OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError, OverflowError, MemoryError,
    pa.ArrowException,
)  # fmt: skip
"""What h5py, pyarrow and Pillow raise for damaged files."""


@dataclass(frozen=True)
class RawEpisode:
    """One episode of a Minari dataset.

    Attributes:
        number: its id.
        leaves: its arrays; actions, rewards and the two flags without the row that some layouts pad them with.
        facts: its metadata by name, nested names joined by `/`.
        where: file or folder, for messages.
    """

    number: int
    leaves: Mapping[KeyPath, RawLeaf]
    facts: Mapping[str, Any]
    where: str

    def below(self, name: str) -> dict[KeyPath, RawLeaf]:
        """The leaves below `observations`, `actions` or `infos`, by the rest of their paths."""
        return {path[1:]: leaf for path, leaf in self.leaves.items() if path[0] == name}

    def array(self, name: str) -> Shaped[np.ndarray, "_ ..."]:
        """An array that every episode has. Raises InvalidInput where it is missing, or no array."""
        if (name,) not in self.leaves:
            there = ", ".join(sorted({"/".join(path) for path in self.leaves})) or "nothing"
            raise InvalidInput(f"{self.where} has no {name}. It has {there}.")
        leaf = self.leaves[name,]
        if not isinstance(leaf, np.ndarray):
            raise InvalidInput(f"{self.where}: {name} must be numbers, it holds texts or pictures.")
        return leaf


class RawSet(Protocol):
    """The files of one dataset."""

    def lengths(self) -> dict[int, int]:
        """Steps of each episode by its id, in the order of the ids. Reads no step."""

    def episodes(self, numbers: Sequence[int]) -> Iterator[RawEpisode]:
        """The episodes of these ids."""


@contextmanager
def reading_minari(where: str | Path) -> Iterator[None]:
    """Raises InvalidInput, which says where, for whatever a library says of damaged files."""
    try:
        yield
    except InvalidInput:
        raise
    except UNREADABLE as error:
        raise InvalidInput(
            f"{where} cannot be read: {first_line(error)}\nIt is damaged: copy or download it again."
        ) from error
