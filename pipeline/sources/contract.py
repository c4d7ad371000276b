"""Foreign data in: what a source offers. A new one inherits `Source`, or `BulkSource` if its pieces are gigabytes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from pipeline.dataset.amount import Amount, Size
from pipeline.dataset.bulk import StoredPart
from pipeline.episode import Episode
from pipeline.frames.store import EpisodeFrames
from pipeline.sources.quirks import Quirk
from pipeline.storage.contract import Storage


class ForeignData(Protocol):
    """What every source says of its data.

    Attributes:
        name: as in `source=NAME` and in the identity; names datasets.
    """

    name: str

    def tasks(self, domain: str) -> Sequence[str] | None:
        """The tasks of `domain` that the source may have, in our spelling; None where only the data could tell.

        Reads no file and uses no network. Raises InvalidInput for a domain of which it has nothing.
        """
        return None

    def present(self, domain: str) -> Sequence[str] | None:
        """The names by which the data call their tasks, where a listing of folders tells them; else None.

        Opens no file. Raises InvalidInput for a missing folder.
        """
        return None

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        """JSON facts that identify the foreign data, `{"source": name, ...}`, and every setting that changes an
        episode. They hold no path: a folder that moves is the same data.

        Raises UnknownName for a task that is not there, with the nearest names; InvalidInput for a missing folder.
        """

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        """What the reader found odd, decided, repaired or left out when it last read the task; none before."""
        return ()


@runtime_checkable
class Source(ForeignData, Protocol):
    """A foreign dataset: iterates over the episodes of one task, in the source's own order."""

    def count(self, domain: str, task: str) -> int | None:
        """How many episodes there are, where the source can tell without reading them all."""
        return None

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        """Episodes from number `start` on. Streams. A second reading gives the same."""


@runtime_checkable
class PicturedSource(Source, Protocol):
    """A source whose episodes come with pictures: they are kept beside the dataset, with their files' own bytes."""

    def pictured(self, domain: str, task: str, start: int = 0) -> Iterator[tuple[Episode, EpisodeFrames]]:
        """The episodes from number `start` on, as `episodes` gives them, each with the pictures of its T+1 rows."""


class PieceNumbers(NamedTuple):
    """Numbers of a source's pieces: all that are wanted, and those of them that are made."""

    wanted: Sequence[int]
    there: Sequence[int]


@runtime_checkable
class BulkSource(ForeignData, Protocol):
    """A source so large that it writes finished parts itself, several at once, instead of handing out episodes.

    Attributes:
        download_only: bring the foreign files to this machine and make no dataset.
        pieces: what its numbered pieces are called, in the plural; empty where it has none that are made apart.
    """

    download_only: bool
    pieces: str = ""

    def download(self, domain: str, task: str) -> None:
        """Bring all files that would be read to this machine."""

    def parts(
        self, domain: str, task: str, scratch: Path, storage: Storage, start: Size, wanted: Amount, workers: int
    ) -> Generator[StoredPart, None, None]:
        """Parts with the episodes from number `start.episodes` on, in the source's own order, at least what is wanted.

        They are made in `scratch`, `workers` pieces at a time; a later call finds there what an earlier, killed one
        has finished, or `make_pieces`. The caller takes each part's folder before it asks for the next.
        """

    def make_pieces(
        self,
        domain: str,
        task: str,
        scratch: Path,
        storage: Storage,
        start: Size,
        wanted: Amount,
        workers: int,
        numbers: range,
    ) -> PieceNumbers:
        """Make in `scratch` those pieces that `parts` would make there and that have one of the numbers.

        Raises InvalidInput where numbers lie outside of those that there are.
        """
        raise NotImplementedError
