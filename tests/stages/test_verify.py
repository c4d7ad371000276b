"""Verify: all that is wrong with artifacts, each in a line, whatever else lies beside them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.artifacts.artifact import MANIFEST, Artifact
from pipeline.dataset.workspace import Workspace
from pipeline.errors import DamagedArtifact
from stages import verify
from tests.conftest import collected
from tests.manifests import as_before, edited


@pytest.fixture
def dataset(toy, workspace) -> Artifact:
    return collected(toy, workspace, episodes=3)


def found(workspace: Workspace) -> str:
    """What verify says is wrong; empty where all is whole."""
    try:
        verify.run(domain=None, only=None, workspace=workspace, audit=None, workers=1)
    except DamagedArtifact as error:
        return str(error)
    return ""


def other_numbers(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Changes of a dataset's manifest, by what verify must say of them."""
    first, *rest = manifest["parts"]
    arrays = manifest["arrays"]
    return {
        "return.max is": {"return": manifest["return"] | {"max": 1e9}},
        "return.std is": {"return": {key: each for key, each in manifest["return"].items() if key != "std"}},
        "counts.episodes is 4 in the manifest, 3 in the episodes": {"counts": manifest["counts"] | {"episodes": 4}},
        "counts.more is 1 in the manifest, nothing in the episodes": {"counts": manifest["counts"] | {"more": 1}},
        "do not give the manifest's digest": {"digest": "0" * 64},
        "other names, shapes or dtypes": {"arrays": [*arrays[:-1], arrays[-1] | {"dtype": "int8"}]},
        f"the manifest lists {first['episodes'] + 1} of": {
            "parts": [first | {"episodes": first["episodes"] + 1}, *rest]
        },
        "lists no parts": {"parts": [], "files": {}},
        "has other facts": {"parts": [first | {"facts": {"piece": 1}}, *rest]},
        "do not give its fingerprint": {"parameters": manifest["parameters"] | {"seed": 77}},
        "its manifest is of toy/maze/episodes/scripted-v1": {"task": "toy/maze"},
    }


@pytest.mark.parametrize("write", [edited, as_before])
def test_what_a_manifest_says_of_the_episodes_is_compared_with_them(
    workspace: Workspace, dataset: Artifact, write: Callable[..., Artifact]
):
    whole = json.loads((dataset.path / MANIFEST).read_text())
    for message, changes in other_numbers(whole).items():
        write(dataset.path, **changes)
        said = found(workspace)
        assert message in said
        assert f"rm -r {dataset.path} && python run.py stage=collect" in said
        (dataset.path / MANIFEST).write_text(json.dumps(whole))
    assert not found(workspace)


@pytest.mark.parametrize("write", [edited, as_before])
def test_a_file_that_a_manifest_does_not_list_any_more_is_named(workspace, dataset, write):
    files = dict(dataset.manifest.files)
    name, _ = files.popitem()
    write(dataset.path, files=files)
    assert f"{name} is not in the manifest" in found(workspace)


def test_artifacts_of_before_are_whole_and_are_told_apart(workspace, dataset, caplog):
    as_before(dataset.path)
    with caplog.at_level(logging.INFO):
        assert not found(workspace)
    assert "whole; it was made before manifests had a checksum" in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        *('{"kind": 3}', "[" * 100_000, "", "[]", '{"kind": "episodes", "kind": null}', "1" * 9_999),
        pytest.param(None, id="no manifest"),
    ],
)
def test_a_damaged_entry_is_a_line_beside_all_others(toy, workspace, dataset, garbage, caplog):
    path = collected(toy, workspace, "maze", episodes=2).path / MANIFEST
    path.unlink() if garbage is None else path.write_text(garbage)
    shown = collected(toy, workspace, "key", episodes=2)
    as_before(shown.path, **{"return": {}})
    with caplog.at_level(logging.INFO):
        said = found(workspace)
    assert "return.max is nothing in the manifest" in said
    assert f"\n  {path}" in said or f"\n  {path.parent} has no manifest.json" in said
    assert said.count("rm -r") == 2
    assert f"episodes {dataset.path}: whole" in caplog.text


def test_what_no_check_foresees_is_a_line_too(workspace, dataset):
    edited(dataset.path, files={"x" * 5_000: {"size": 1, "blake3": "0"}})
    assert "it cannot be checked: OSError" in found(workspace)
