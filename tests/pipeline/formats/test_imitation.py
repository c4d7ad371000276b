"""`format=imitation` against the contract, and read with pyarrow alone."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts.exported import place_in
from pipeline.dataset.workspace import Workspace
from pipeline.digest import digest_file
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.formats import imitation
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import CannotHold
from pipeline.formats.imitation import ImitationFormat
from tests.conftest import collected, made_episode, toy_domain
from tests.contracts.format import Listed, exported, ingested
from tests.contracts.one_way import OneWayContract, written


class TestImitation(OneWayContract):
    def format(self) -> ImitationFormat:
        return ImitationFormat()

    def test_it_stays_whole_when_its_dataset_grows_by_another_command(self, workspace, monkeypatch):
        artifact = written(self.format(), workspace)
        monkeypatch.setattr(sys, "argv", ["run.py", "stage=collect", "episodes=5"])
        collected(toy_domain(), workspace, episodes=5, render=True, randomness=0.25)
        assert list(wrong_export(artifact, workspace)) == []


def rows_of(place: Path) -> list[dict[str, Any]]:
    """The episodes, as the two JSON files say where and what they are."""
    state, info = (json.loads((place / name).read_text()) for name in ("state.json", "dataset_info.json"))
    (file,) = state["_data_files"]
    assert state["_fingerprint"] == digest_file(place / file["filename"])[:16]
    assert (state["_format_kwargs"], state["_output_all_columns"]) == ({}, False)
    assert {state[name] for name in ("_format_columns", "_format_type", "_split")} == {None}
    with pa.ipc.open_stream(str(place / file["filename"])) as stream:
        table = stream.read_all()
    assert list(info["features"]) == table.schema.names
    for field in table.schema:
        assert arrow_type(info["features"][field.name]) == field.type
    return table.to_pylist()


def arrow_type(feature: dict[str, Any]) -> pa.DataType:
    if feature["_type"] == "Sequence":
        return pa.list_(arrow_type(feature["feature"]))
    return pa.string() if feature["dtype"] == "string" else pa.from_numpy_dtype(np.dtype(feature["dtype"]))


def out(episodes: list[Episode], folder: Path, **settings: Any) -> Path:
    workspace = Workspace(str(folder / "outputs"), "bin")
    ingested(Listed(episodes), workspace)
    artifact = exported(ImitationFormat(), workspace, **settings)
    assert list(wrong_export(artifact, workspace)) == []
    return place_in(artifact)


OBSERVATIONS = {
    "vectors": lambda rng, n: rng.normal(size=(n, 4)).astype(np.float32),
    "numbers": lambda rng, n: rng.integers(0, 9, n),
    "grids": lambda rng, n: rng.integers(0, 9, (n, 3, 3, 2)).astype(np.uint8),
    "flags": lambda rng, n: rng.integers(0, 2, (n, 5)).astype(bool),
}
ACTIONS = {
    "forces": lambda rng, n: rng.normal(size=(n, 2)),
    "choices": lambda rng, n: rng.integers(0, 5, n).astype(np.int8),
    "switches": lambda rng, n: rng.integers(0, 2, (n, 3)).astype(np.int8),
}


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    observations=st.sampled_from(sorted(OBSERVATIONS)),
    actions=st.sampled_from(sorted(ACTIONS)),
    block=st.sampled_from([1, 400, 2**24]),
    seed=st.integers(0, 99),
)
def test_each_row_is_an_episode(lengths, observations, actions, block, seed, tmp_path_factory):
    rng, made = np.random.default_rng(seed), []
    for length in lengths:
        steps = {
            **made_episode(rng, length).steps,
            "observation": OBSERVATIONS[observations](rng, length + 1),
            "action": ACTIONS[actions](rng, length + 1),
        }
        steps["action"][-1] = 0
        made.append(Episode(steps, terminated=bool(rng.integers(2)), truncated=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imitation, "BLOCK", block)
        rows = rows_of(out(made, tmp_path_factory.mktemp("imitation")))
    assert len(rows) == len(made)
    for row, episode in zip(rows, made, strict=True):
        assert row["obs"] == episode.steps["observation"].tolist()
        assert row["acts"] == episode.steps["action"][:-1].tolist()
        assert row["rews"] == episode.steps["reward"][:-1].tolist()
        assert row["infos"] == ["{}"] * episode.length
        assert row["terminal"] == episode.terminated


def test_one_of_several_choices_is_an_int64_and_the_others_keep_their_types(tmp_path, rng):
    place = out([made_episode(rng, 3)], tmp_path)
    features = json.loads((place / "dataset_info.json").read_text())["features"]
    assert features["obs"]["feature"]["feature"]["dtype"] == "float64"
    assert features["acts"]["feature"]["feature"]["dtype"] == "float32"
    choices = replace(plain := made_episode(rng, 3), steps={**plain.steps, "action": np.array([2, 1, 2, 0], np.uint8)})
    place = out([choices], tmp_path / "choices")
    assert json.loads((place / "dataset_info.json").read_text())["features"]["acts"]["feature"]["dtype"] == "int64"


@pytest.mark.parametrize(("rule", "wanted"), [("drop", 3), ("repeat", 4), ("zero", 4)])
def test_an_observation_that_a_source_did_not_have_is_what_the_user_says(tmp_path, rng, rule, wanted):
    lost = replace(made_episode(rng, 4), has_final_observation=False)
    with pytest.raises(InvalidInput, match="final_observation=repeat"):
        out([lost], tmp_path / "asked")
    (row,) = rows_of(out([lost], tmp_path, final_observation=rule))
    assert len(row["acts"]) == wanted
    seen = lost.steps["observation"].tolist()
    assert row["obs"] == {"drop": seen[:4], "repeat": [*seen[:4], seen[3]], "zero": seen}[rule]


def test_nested_observations_and_pictures_are_refused_with_what_holds_them(tmp_path, rng):
    plain = made_episode(rng, 3)
    nested = {name: array for name, array in plain.steps.items() if name != "observation"}
    nested |= {"observation/a": np.zeros((4, 2)), "observation/b": np.zeros((4, 2))}
    with pytest.raises(CannotHold, match=r"has a, b.* format=d4rl, kabuki, .*hold"):
        out([replace(plain, steps=nested)], tmp_path / "nested")
    pictures = {**plain.steps, "observation": np.zeros((4, 600, 600), np.uint8)}
    with pytest.raises(CannotHold, match=re.escape("shape (600, 600), are 1,440,000 numbers") + ".*format=d4rl"):
        out([replace(plain, steps=pictures)], tmp_path / "pictures")


@pytest.mark.parametrize("name", ["obs", "rews", "terminal", "acts"])
def test_verify_names_what_was_changed(tmp_path, rng, name):
    workspace = Workspace(str(tmp_path), "bin")
    ingested(Listed([made_episode(rng, 3, seed=seed) for seed in range(3)]), workspace)
    artifact = exported(ImitationFormat(), workspace)
    file = place_in(artifact) / "data-00000-of-00001.arrow"
    with pa.ipc.open_stream(str(file)) as stream:
        rows = stream.read_all()
    changed = rows.to_pydict()
    changed[name] = changed[name][::-1] if name != "terminal" else [True, False, False]
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(pa.Table.from_pydict(changed, rows.schema))
    assert list(wrong_export(artifact, workspace)) == [
        "state.json is not what it should be",
        f"the episodes 0 to 2 differ in {name}",
    ]
