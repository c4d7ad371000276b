"""The README's examples of reading run on what its tour makes."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from tests.conftest import collected, derived, toy_domain

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def tour(tmp_path, monkeypatch):
    """A folder with the outputs of the tour."""
    workspace = Workspace(str(tmp_path / "outputs"))
    collected(toy_domain(), workspace)
    derived(toy_domain(), workspace)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


def test_the_examples_of_reading_run_one_after_the_other(tour):
    section = README.read_text().split("## Reading the results")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(README), "exec"), names)
    states = names["dataset"].states
    assert names["dataset"][0].length == 15  # as the comment says
    assert names["batch"]["rewards"].shape == (32, 20)
    assert names["distances"].shape == (len(names["contexts"]), 20) == (len(names["data"]), 20)
    np.testing.assert_array_equal(np.asarray(names["data"]["distances"], np.float32), names["distances"])
    assert 0 < len(names["data"]) <= states


def test_the_example_of_training_gives_batches(tour):
    section = README.read_text().split("## Training on it")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, str(README), "exec"), names)
    assert names["batch"]["observation"].shape[1:] == (8, 9)
    assert names["windows"][0]["mask"].shape == (8,)


def test_the_parquet_that_is_read_is_that_of_this_workspace_and_not_what_the_cache_has_of_another(tour, tmp_path):
    block = next(b for b in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if "load_dataset" in b)
    lengths = []
    for name, seed in (("outputs", None), ("others", 1)):
        workspace = Workspace(str(tmp_path / name))
        if seed is not None:
            collected(toy_domain(), workspace, seed=seed)
            derived(toy_domain(), workspace)
        names: dict[str, object] = {"workspace": workspace}
        exec(compile(block, str(README), "exec"), names)
        assert len(names["data"]) == names["parquet"].manifest.counts["states"]
        lengths.append(len(names["data"]))
    assert lengths[0] != lengths[1]
