"""What the datasets of BAGEL, NeMo Automodel and ThinkMorph make of a folder, written from what is known of them alone.

It shares no code with the writer. Pictures are opened by Pillow, a text is a token for each byte, and a picture has the
tokens that the trainers' transforms make of its size.
"""

from __future__ import annotations

import io
import json
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from PIL import Image

Unit = tuple[str, int]


def units(data_dir: str, info_path: str, num_used_data: int) -> list[Unit]:
    """Row groups in the order in which workers get them: listed, repeated, looked up, sorted, shuffled once."""
    files = [os.path.join(data_dir, name) for name in _names(data_dir) if name.endswith(".parquet")]
    files = (files * (num_used_data // len(files) + 1))[:num_used_data]
    info = json.loads(Path(info_path).read_text())
    found = [(path, group) for path in files if path in info for group in range(info[path]["num_row_groups"])]
    found.sort()
    random.Random(42).shuffle(found)
    return found


def _names(folder: str) -> list[str]:
    return [path.name for path in Path(folder).iterdir()]


def units_of_worker(found: list[Unit], setup: tuple[int, int], gpu: int, worker: int) -> list[Unit]:
    """Those of one loader worker of one GPU."""
    gpus, workers = setup
    of_gpu = len(found) // gpus
    mine = found[gpu * of_gpu : (gpu + 1) * of_gpu]
    of_worker = len(mine) // workers
    return mine[worker * of_worker : (worker + 1) * of_worker]


def rows_of(unit: Unit) -> Iterator[Any]:
    """The rows of a row group as pandas gives them."""
    path, group = unit
    frame: pd.DataFrame = pq.ParquetFile(path).read_row_group(group).to_pandas()
    for _, row in frame.iterrows():
        yield row


@dataclass
class Sample:
    """What a row becomes: elements with and without loss, in order, and how many tokens they are."""

    elements: list[tuple[str, bool]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tokens: int = 0

    def text(self, text: object, loss: bool) -> None:
        assert type(text) is str, type(text)
        assert text
        self.texts.append(text)
        self._add("text", loss, len(text.encode()))

    def picture(self, png: object, loss: bool, seen: bool) -> None:
        assert type(png) is bytes, type(png)
        with Image.open(io.BytesIO(png)) as image:
            image.convert("RGB")
            size = image.size
        if loss:
            self._add("vae", True, tokens_of(size, 512, 1024, 16))
        if seen:
            self._add("vae", False, tokens_of(size, 512, 1024, 16))
            self._add("vit", False, tokens_of(size, 224, 518, 14))

    def _add(self, kind: str, loss: bool, tokens: int) -> None:
        self.elements.append((kind, loss))
        self.tokens += tokens + 2


def tokens_of(size: tuple[int, int], least: int, most: int, stride: int) -> int:
    """Of one picture, whose aspect stays."""
    scale = max(min(1.0, most / max(size)), least / min(size))
    wide, high = (max(stride, int(round(round(side * scale) / stride) * stride)) for side in size)
    return wide // stride * (high // stride)


def bagel_windows(row: Any) -> Iterator[Sample]:
    """Every sample that BAGEL may draw from a row, by each wording: windows of two and three, and joined texts."""
    pictures, instructions = row["image_list"], row["instruction_list"]
    assert len(pictures) >= 2
    assert len(instructions) == len(pictures) - 1
    for start in range(len(pictures) - 1):
        for end in range(start + 1, min(start + 3, len(pictures))):
            for which in range(max(len(each) for each in instructions)):
                texts = [each[which % len(each)] for each in instructions]
                sample = Sample()
                sample.picture(pictures[start], loss=False, seen=True)
                for step in range(start, end):
                    sample.text(texts[step], loss=False)
                    sample.picture(pictures[step + 1], loss=True, seen=step + 1 < end)
                yield sample
                if end - start == 2:
                    last = end - 1 if end == len(pictures) - 1 else end
                    joined = Sample()
                    joined.picture(pictures[start], loss=False, seen=True)
                    joined.text("".join(text + ". " for text in texts[start:last]).rstrip(), loss=False)
                    joined.picture(pictures[last], loss=True, seen=False)
                    yield joined


def thinkmorph_sample(row: Any) -> Sample:
    """The sample of a whole row."""
    sample, pictures = Sample(), row["image_list"]
    sample.picture(pictures[0], loss=False, seen=True)
    sample.text(row["instruction_list"][0], loss=False)
    for number, text in enumerate(row["output_text_list"], 1):
        sample.text(text, loss=True)
        if number < len(pictures):
            sample.picture(pictures[number], loss=True, seen=True)
    return sample
