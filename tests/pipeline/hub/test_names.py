"""Which task a path of a repository belongs to."""

from __future__ import annotations

import pytest

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.hub.names import listed_tasks, plain_name

PATHS = [
    "README.md",
    "metaworld-assembly_newdata/train-00000-of-00001.parquet",
    "metaworld-assembly_subset/train-00001-of-00002.parquet",
    "metaworld-assembly_subset/train-00000-of-00002.parquet",
    "metaworld-assembly_subset/notes.txt",
    "regent/metaworld-assembly/shapes.json",
    "regent/metaworld-soccer/shapes.json",
    "regent/readme.txt",
    "mujoco-ant_newdata/train-00000-of-00001.parquet",
    "data/train-00000-of-00001.parquet",
]


def test_shards_come_in_order_and_small_files_with_their_task():
    tasks = listed_tasks(PATHS)
    assert list(tasks) == ["metaworld-assembly", "mujoco-ant"]
    assembly = tasks["metaworld-assembly"]
    assert assembly.shards["metaworld-assembly_subset"] == sorted(PATHS[2:4])
    assert assembly.extras == ["regent/metaworld-assembly/shapes.json"]
    assert assembly.description is None
    assembly.check_complete()


@pytest.mark.parametrize(
    "shards",
    [["00001-of-00002"], ["00000-of-00002"], ["00000-of-00001", "00000-of-00002", "00001-of-00002"]],
)
def test_missing_or_mixed_shards_are_damage(shards):
    (task,) = listed_tasks(f"a-b_subset/train-{shard}.parquet" for shard in shards).values()
    with pytest.raises(DamagedArtifact, match="a-b_subset"):
        task.check_complete()


@pytest.mark.parametrize("name", ["../a", "a/b", "..", ".", "", "a\x00", "a b", "a\\b", "C:", "a\n", "a" * 999])
def test_a_name_with_a_path_is_refused(name):
    with pytest.raises(InvalidInput, match="names a file"):
        plain_name(name, "x")


@pytest.mark.parametrize("inside", ["../x", "a/../../x", "a\x00", "a\\..\\b", "C:x", "a//b", ".git/config"])
def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_fetched(inside: str):
    task = listed_tasks(["a-b_subset/train-00000-of-00001.parquet", f"regent/a-b/{inside}"])["a-b"]
    with pytest.raises(InvalidInput, match=r"OWNER/NAME, in the path 'regent/a-b/.*names a file"):
        task.check_names("OWNER/NAME")
    listed_tasks(PATHS)["metaworld-assembly"].check_names("OWNER/NAME")


@pytest.mark.parametrize("name", ["..", "C:a-b", "a\\b", "a\x00b", "a b"])
def test_a_task_whose_name_is_no_name_is_none(name: str):
    assert not listed_tasks([f"{name}_subset/train-00000-of-00001.parquet"])


def test_plain_names_pass():
    for name in ("rewards", "all_row_idxs_lookup-100demos.json", "-100demos"):
        assert plain_name(name, "x") == name
