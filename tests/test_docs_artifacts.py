"""docs/artifacts.md is enough to read a dataset without this project."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from pipeline.dataset.workspace import Workspace
from pipeline.digest import combine
from tests.conftest import collected, toy_domain
from tests.pipeline.dataset.made import made, with_infos, written

PAGE = Path(__file__).parent.parent / "docs" / "artifacts.md"
FOLDER = Path("outputs/artifacts/toy/maze/episodes/scripted-v1")
SECTION = PAGE.read_text().split("### Reading it with zarr and numpy alone")[1].split("\n## ")[0]


def read_by_the_page() -> dict[str, object]:
    """The names that the page's code leaves behind; it checks returns and digests itself."""
    code = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)[0]
    assert "pipeline" not in code
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def same(read, episodes) -> None:
    assert len(read) == len(episodes)
    for (steps, once), episode in zip(read, episodes, strict=True):
        assert steps.keys() == episode.steps.keys()
        for name, array in steps.items():
            np.testing.assert_array_equal(array, episode.steps[name])
        for name in ("mission", "end_reason", "seed", "success", "terminated"):
            assert once[name] == getattr(episode, name)


def test_the_page_reads_a_collected_dataset_with_zarr_and_numpy_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collected(toy_domain(), Workspace("outputs"), "maze")
    same(read_by_the_page()["episodes"], list(Workspace("outputs")["toy/maze/scripted-v1"]))


def test_the_page_reads_missions_and_infos_that_only_some_steps_and_episodes_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for episodes in (
        made(8),
        [with_infos(infos) for infos in ([{"a": 1}, {}], [{}, {}], [{"a": 2}, {"a": 3, "b": 1.5}])],
    ):
        folder = tmp_path / FOLDER
        parts = written(folder, episodes)
        manifest = {"parts": [{"name": part.name} for part in parts], "digest": combine(e.digest() for e in episodes)}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        same(read_by_the_page()["episodes"], episodes)
        (tmp_path / "outputs").rename(tmp_path / f"read-{len(episodes)}")


def test_the_page_lists_every_array_of_a_part(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    collected(toy_domain(), Workspace("outputs"), "maze")
    rows = [line.split("|")[1] for line in SECTION.splitlines() if line.startswith("| `")]
    listed = [name.split("/<key>")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)]
    for name in read_by_the_page()["part"]:
        assert any(name == one or name.startswith(f"{one}/") or name.endswith(f"/{one}") for one in listed), name
