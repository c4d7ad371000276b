"""REGENT's JSON files for readers of the original code: which states each state retrieves, and maps of rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int

from pipeline.machine.files import write_atomic
from pipeline.regent.rows import RowLayout


def write_retrieved(
    path: Path, neighbours: Iterable[Int[np.ndarray, "n k"]], rows: Int[np.ndarray, "rows"], layout: RowLayout
) -> None:
    """`{row: {column: [[row, column], ... k pairs]}}` of all columns, as `offline_retrieval.py` writes it.

    `neighbours` are blocks of flat states, a line for each state of the ascending `rows`. A column of padding
    holds k pairs [0, 0], as upstream's. Written row by row: 200 kB a row are never all in memory.
    """

    def write(file: BinaryIO) -> None:
        lines = _lines(neighbours, layout)
        begin = "{"
        for row in rows.tolist():
            real = [next(lines) for _ in range(int(layout.row_lengths[row]))]
            padding = [[0, 0]] * len(real[0])
            columns = {str(column): each for column, each in enumerate(real)}
            columns |= {str(column): padding for column in range(len(real), layout.width)}
            file.write(f"{begin}{json.dumps(str(row))}: {json.dumps(columns)}".encode())
            begin = ", "
        file.write(b"}\n")

    write_atomic(path, write)


def _lines(neighbours: Iterable[Int[np.ndarray, "n k"]], layout: RowLayout) -> Iterator[list[list[int]]]:
    for block in neighbours:
        yield from layout.locate(block).tolist()
