"""What pyarrow, pandas and datasets make of the parquet files."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from PIL import Image

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.formats.image_text.interleaved import InterleavedFormat
from pipeline.formats.image_text.simple import SimpleFormat
from tests.contracts.one_way import written

COLUMNS = ["inputs", "images", "images_front", "environment", "episode", "num_frames", "randomness"]


@pytest.fixture(scope="module")
def places(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("read") / "outputs"
    shutil.copytree(drawn, root)
    workspace = Workspace(str(root))
    return {form.name: place_in(written(form, workspace)) for form in (InterleavedFormat(), SimpleFormat())}


@pytest.mark.parametrize("backend", ["pyarrow", None])
def test_a_row_is_walked_through_as_people_do_it_with_pandas(backend: str | None, places: dict[str, Path]):
    """What the original pipeline tells its users to run on a new file: shape, columns, and the entries of a row."""
    frame = pd.read_parquet(places["interleaved"], **({"dtype_backend": backend} if backend else {}))
    assert (len(frame), list(frame.columns)) == (8, COLUMNS)
    row = frame.iloc[0]
    assert len(row["images"]) == row["num_frames"]
    texts, shown = [], []
    for entry in row["inputs"]:
        if entry["type"] == "text":
            texts.append(entry["text"])
        else:
            index = entry["image_index"]
            shown.append(index)
            assert Image.open(io.BytesIO(row["images"][int(index)])).size == (144, 144)
    assert texts[0] == "Toy Corner Environment (randomness=0.25)"
    assert shown == list(range(row["num_frames"]))
    assert {type(index) for index in shown} == (
        {int} if backend else {float}
    )  # plain pandas: no whole numbers by nulls
    assert row["images_front"][0] == row["images"][0]


def test_datasets_reads_them(places: dict[str, Path], tmp_path: Path):
    for name, place in places.items():
        read = load_dataset("parquet", data_files=str(place), split="train", cache_dir=str(tmp_path))
        assert read[:] == pq.read_table(place).to_pydict(), name


def test_the_footer_says_what_made_the_episodes_and_nothing_of_pandas(places: dict[str, Path]):
    for place in places.values():
        metadata = pq.read_metadata(place).metadata
        assert set(metadata) == {b"ARROW:schema", b"repertoire"}
        made = json.loads(metadata[b"repertoire"])
        assert [(each["domain"], each["task"], each["dataset"]) for each in made] == [
            ("toy", "corner", "scripted-v1"),
            ("toy", "maze", "scripted-v1"),
        ]


def test_pictures_are_not_compressed_again_and_the_rest_is_by_snappy(places: dict[str, Path]):
    group = pq.read_metadata(places["interleaved"]).row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    kinds = {column.path_in_schema.partition(".")[0]: column.compression for column in columns}
    assert kinds == {name: "UNCOMPRESSED" if name.startswith("images") else "SNAPPY" for name in COLUMNS}
