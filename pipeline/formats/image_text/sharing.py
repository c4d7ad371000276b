"""How rows are shared out over row groups and files, and which of them the workers of a trainer get.

Source: the datasets of BAGEL, ThinkMorph and NeMo Automodel. The row groups of all files are sorted and shuffled once;
each GPU takes floor(R / G) of them, each of its W loader workers floor(that / W), and nobody reads the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.wording import how_many

ROWS = 16
"""About so many rows are one row group."""

MOST_GROUPS = 1000
"""Of one file: its footer is read again for each."""

SETUPS = ((8, 1), (8, 4), (8, 8))
"""GPUs and loader workers a GPU for which it is said what is left out."""

OFTEN = [(gpus, workers) for gpus in (1, 2, 4, 8, 16) for workers in (1, 2, 4, 8)]
"""Those that are looked at where some workers stay empty."""


@dataclass(frozen=True)
class RowGroups:
    """So many rows in row groups, and these in files; each is as long as another or has one more."""

    rows: int
    groups: int
    files: int

    def rows_of(self, group: int) -> range:
        """The rows of a row group."""
        return _share(self.rows, self.groups, group)

    def groups_of(self, file: int) -> range:
        """The row groups of a file."""
        return _share(self.groups, self.files, file)

    @property
    def names(self) -> list[str]:
        """Of the files, in their order."""
        return [f"part-{number:05d}.parquet" for number in range(self.files)]


def planned_groups(rows: int, shards: int, size: int, file_size: int) -> RowGroups:
    """Row groups such that each of `shards` workers gets as many; the largest power of two for fewer rows than that.

    `size` are the bytes of all rows, `file_size` those that a file should not exceed.
    """
    groups = shards * max(1, -(-rows // (shards * ROWS))) if rows >= shards else 2 ** (rows.bit_length() - 1)
    files = max(1, -(-size // file_size), -(-groups // MOST_GROUPS))
    return RowGroups(rows, groups, min(files, groups))


def used_groups(groups: int, gpus: int, workers: int) -> int:
    """How many row groups the workers of all GPUs read."""
    return gpus * workers * (groups // gpus // workers)


def empty_setups(groups: int) -> list[str]:
    """On which GPUs and loader workers, of those that people have, nobody gets a row group: `8 x 8`."""
    return [f"{gpus} x {workers}" for gpus, workers in OFTEN if not used_groups(groups, gpus, workers)]


def left_out(groups: int) -> Iterator[tuple[str, int]]:
    """For some GPUs and loader workers, `8 x 4`, the row groups that are read; the others never are."""
    for gpus, workers in SETUPS:
        yield f"{gpus} x {workers}", used_groups(groups, gpus, workers)


def left_out_words(groups: int) -> str:
    """`8 x 1: 56 of 57, 8 x 4: 32 of 57, 8 x 8: none`: the row groups that the workers read."""
    words = {0: "none", groups: "all"}
    return ", ".join(f"{setup}: {words.get(used, f'{used} of {groups}')}" for setup, used in left_out(groups))


def too_few_words(layout: RowGroups, shards: int) -> str:
    """What is said of fewer rows than shards."""
    return (
        f"{how_many(layout.rows, 'rows')} are fewer than format.shards={shards}: there are "
        f"{how_many(layout.groups, 'row groups')}, and workers stay empty on (GPUs x loader workers) "
        f"{', '.join(empty_setups(layout.groups))}. Collect more episodes, or train on fewer workers."
    )


def _share(things: int, parts: int, part: int) -> range:
    size, more = divmod(things, parts)
    start = part * size + min(part, more)
    return range(start, start + size + (part < more))
