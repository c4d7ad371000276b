"""The workspace opens datasets by name."""

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace, check_dataset_name
from pipeline.errors import ArtifactNotFound, InvalidInput


def test_a_dataset_is_opened_by_its_name(made):
    _, workspace = made
    assert list(workspace) == ["toy/corner/scripted-v1"]
    assert "toy/corner/scripted-v1" in workspace
    dataset = workspace["toy/corner/scripted-v1"]
    assert len(dataset) == 20
    assert dataset.digest() == workspace.dataset("toy", "corner", "scripted-v1").manifest.digest


def test_a_number_is_no_name_of_a_dataset():
    with pytest.raises(InvalidInput, match=r"^7 cannot name a dataset: it was read as a number\. .* v7\.$"):
        check_dataset_name(7)


@pytest.mark.parametrize("name", ["toy/corner", "toy/corner/other-v1", "scripted-v1", "a/b/c/d", ""])
def test_an_unknown_name_lists_what_is_there(made, name):
    _, workspace = made
    with pytest.raises(KeyError, match=r"toy/corner/scripted-v1.*domain/task/dataset"):
        workspace[name]


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(KeyError, match=r"below .*nowhere/artifacts, which is not there: name the folder"):
        Workspace(str(tmp_path / "nowhere"))["toy/corner/scripted-v1"]


def test_what_to_run_next_names_the_folder_where_no_command_line_does(made):
    _, workspace = made
    catalog = f"""stage=catalog 'paths.root="{workspace.root.parent}"'"""
    for ask in (lambda: workspace["toy"], lambda: workspace.find("nothing", "toy/corner")):
        with pytest.raises(KeyError) as error:
            ask()
        assert catalog in str(error.value)


def test_among_many_datasets_the_nearest_is_named(tmp_path):
    for task in ("corner", *(f"room-{number}" for number in range(15))):
        (folder := tmp_path / f"artifacts/toy/{task}/episodes/scripted-v1").mkdir(parents=True)
        (folder / "manifest.json").touch()
    with pytest.raises(KeyError, match="Nearest: toy/corner/scripted-v1"):
        Workspace(str(tmp_path))["toy/cornr/scripted-v1"]
    with pytest.raises(KeyError, match=r"no task named toy/cornr. Nearest: toy/corner"):
        Workspace(str(tmp_path)).find("bins", "toy/cornr")


def test_a_value_that_no_manifest_can_hold_is_answered(made):
    _, workspace = made
    with pytest.raises(KeyError, match="No episodes of toy/corner is made with seed="):
        workspace.find("episodes", "toy/corner", seed=np.float32(3.5))


def test_an_empty_workspace_has_no_dataset(tmp_path):
    assert list(Workspace(str(tmp_path / "nowhere"))) == []
    with pytest.raises(KeyError, match="Known: none"):
        Workspace(str(tmp_path))["toy/corner/scripted-v1"]


def test_too_few_episodes_name_the_command_that_makes_more(made):
    _, workspace = made
    with pytest.raises(ArtifactNotFound, match="has 20.*(?s:.)*stage=collect .*task=corner .*episodes=21"):
        workspace.dataset("toy", "corner", "scripted-v1", 21)


@pytest.mark.parametrize("name", ["a/b", ".a", "a b", "a-bin", ""])
def test_a_name_that_is_no_folder_of_ours_is_refused(name):
    with pytest.raises(InvalidInput, match="cannot name a dataset"):
        check_dataset_name(name)
