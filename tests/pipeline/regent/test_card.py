"""The card beside the parquet files: its example reads the files that it stands beside, and its words fit the data."""

import re

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.workspace import Workspace
from tests.conftest import collected, derived


def card_of(parquet):
    return (parquet.path / "data/README.md").read_text()


def test_the_example_reads_this_folder_though_a_cache_holds_another_one(toy, tmp_path, monkeypatch):
    workspace = Workspace(str(tmp_path), "bin")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    collected(toy, workspace)
    first, second = (
        derived(toy, workspace, neighbours=count, metric=metric)["parquet"]
        for count, metric in ((20, "l2"), (25, "cosine"))
    )
    for parquet in (first, second):
        code = re.findall(r"```python\n(.*?)```", card_of(parquet), re.DOTALL)[0]
        code = code.replace("FOLDER", str(parquet.path / "data")).replace("_subset", "_newdata")
        found: dict[str, object] = {}
        exec(code, found)
        stored = pq.read_table(parquet.path / "data/toy-corner_newdata")["distances"].to_pylist()
        np.testing.assert_array_equal(found["data"]["distances"], stored)


@pytest.mark.parametrize(
    ("metric", "words"), [("l2", "`distances` are L2 distances"), ("cosine", "`distances` are cosine distances")]
)
def test_the_card_names_the_metric(made, metric, words):
    toy, workspace = made
    assert words in card_of(derived(toy, workspace, metric=metric)["parquet"])
