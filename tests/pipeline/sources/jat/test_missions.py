"""JAT's BabyAI tasks: grids, tokens and missions, which the rows hold as tokens only."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.sources.jat.missions import token_name
from pipeline.sources.jat.source import JatSource
from pipeline.sources.quirks import NO_STEP, Quirk
from tests.jat_files import GRID_SCHEMA, RAW_SCHEMA, JatTask, make_missions, write_rows

EMPTY = Quirk(
    "empty_episodes", 2, "2 episodes of length 0 have no rows and were left out.", NO_STEP, dropped=2, unit="episodes"
)


def source(task: JatTask, **chosen: Any) -> JatSource:
    return JatSource(str(task.folder), row_width=task.width, **chosen)


def read(task: JatTask, start: int = 0, **chosen: Any) -> list[Episode]:
    return list(source(task, **chosen).episodes("babyai", "go-to", start))


def refusal(task: JatTask, **chosen: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(task, **chosen)
    return str(caught.value)


def check_episodes(episodes: list[Episode], task: JatTask) -> None:
    assert [episode.length for episode in episodes] == [len(played.rewards) for played in task.episodes]
    for episode, played in zip(episodes, task.episodes, strict=True):
        dtypes = {name: array.dtype.name for name, array in episode.steps.items()}
        kept = {"observation": "uint8", "info/mission_tokens": "int32", "action": "int64"}
        assert dtypes == {**kept, "reward": "float64", "discount": "float64"}
        columns = np.concatenate([episode.steps["observation"], episode.steps["info/mission_tokens"]], axis=1)
        assert columns[:-1].tolist() == played.observations
        assert not columns[-1].any()
        assert episode.steps["action"].tolist() == [*played.actions, 0]
        assert episode.steps["reward"].tolist() == [*played.rewards[:-1], 0.0, 0.0]


def test_episodes_come_with_grids_tokens_and_missions(tmp_path: Path):
    task = make_missions(tmp_path, [5, 300, 1, 256, 12], files=2)
    jat = source(task)
    episodes = list(jat.episodes("babyai", "go-to"))
    check_episodes(episodes, task)
    assert [episode.mission for episode in episodes] == [played.mission for played in task.episodes]
    assert len({episode.mission for episode in episodes}) > 1
    assert not list(jat.quirks("babyai", "go-to"))


def test_all_212_columns_of_every_row_come_back_from_the_episodes(tmp_path: Path):
    task = make_missions(tmp_path, [5, 300, 1])
    rows = []
    for episode in read(task):
        steps = np.concatenate([episode.steps["observation"], episode.steps["info/mission_tokens"]], axis=1)[:-1]
        for start in range(0, len(steps), 256):
            chunk = steps[start : start + 256].astype(np.int32)
            rows.append(np.concatenate([chunk, np.repeat(chunk[:1], 256 - len(chunk), axis=0)]))
    assert np.stack(rows).tobytes() == task.regent_arrays()["discrete_observations"].tobytes()


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    width=st.integers(1, 9),
    files=st.integers(1, 3),
    told=st.sampled_from(["maps", "raw", "both"]),
    data=st.data(),
)
def test_any_lengths_come_back_from_any_start_whatever_tells_their_missions(
    lengths: list[int], width: int, files: int, told: str, data: st.DataObject
):
    with tempfile.TemporaryDirectory() as folder:
        maps = told != "raw"
        task = make_missions(Path(folder) / "jat", lengths, width=width, files=files, metadata=maps, texts=maps)
        chosen = {}
        if told != "maps":
            empty = data.draw(st.sets(st.integers(0, len(lengths) - 1)))
            task.write_raw(Path(folder) / "raw", sorted(empty), data.draw(st.integers(1, 3)))
            chosen["raw"] = str(Path(folder) / "raw")
        start = data.draw(st.integers(0, len(lengths)))
        episodes = read(task, start, **chosen)
        task.episodes = task.episodes[start:]
        check_episodes(episodes, task)
        assert [episode.mission for episode in episodes] == [played.mission for played in task.episodes]


# Missions


def test_texts_are_also_found_in_the_folder_of_regent(tmp_path: Path):
    task = make_missions(tmp_path, [5, 7], metadata=False, texts=False)
    task.write_texts(tmp_path / "dataset_jat_regent" / "babyai-go-to")
    assert [episode.mission for episode in read(task)] == [played.mission for played in task.episodes]


def test_the_raw_dataset_tells_missions_and_lengths(tmp_path: Path):
    task = make_missions(tmp_path / "jat", [256, 300, 9], metadata=False, texts=False)
    task.write_raw(tmp_path / "raw", empty_at=[0, 2])
    jat = source(task, raw=str(tmp_path / "raw"))
    assert jat.count("babyai", "go-to") == 3
    assert [(e.length, e.mission) for e in jat.episodes("babyai", "go-to")] == [
        (len(played.rewards), played.mission) for played in task.episodes
    ]
    assert list(jat.quirks("babyai", "go-to")) == [EMPTY]


def test_raw_texts_and_metadata_are_one_identity_and_tokens_another(tmp_path: Path):
    task = make_missions(tmp_path / "jat", [256, 300, 9])
    task.write_raw(tmp_path / "raw")
    told = source(task).identity("babyai", "go-to")
    for path in task.task_folder.glob("*.json"):
        path.unlink()
    assert source(task, raw=str(tmp_path / "raw")).identity("babyai", "go-to") == told
    named = source(task, missions="tokens", raw=str(tmp_path / "raw")).identity("babyai", "go-to")
    assert named["missions"] == {"named": "tokens"}
    assert {key for key in told if named[key] != told[key]} == {"missions"}


def test_no_texts_are_refused_with_what_to_give(tmp_path: Path):
    task = make_missions(tmp_path, [5, 7], texts=False)
    message = refusal(task)
    for wanted in ("eps_2_text.json", "source.raw=FOLDER", "source.raw=hub", "source.missions=tokens"):
        assert wanted in message


def test_missions_can_be_named_by_their_tokens(tmp_path: Path):
    task = make_missions(tmp_path, [5, 7, 3, 4, 9, 2], texts=False)
    names = [episode.mission for episode in read(task, missions="tokens")]
    texts = [played.mission for played in task.episodes]
    assert len(set(texts)) > 1
    assert [names.index(name) for name in names] == [texts.index(text) for text in texts]
    tokens = task.episodes[0].observations[0][148:]
    ids = [str(token) for token in tokens if token != 50256]
    assert names[0] == " ".join(["tokens", *ids, "50256"])


@settings(max_examples=200)
@given(st.sets(st.lists(st.integers(0, 2), min_size=4, max_size=4).map(tuple), min_size=2))
def test_different_tokens_never_share_a_name(missions: set[tuple[int, ...]]):
    assert len({token_name(np.array(tokens)) for tokens in missions}) == len(missions)


def test_tokens_that_change_inside_an_episode_are_kept_and_counted(tmp_path: Path):
    task = make_missions(tmp_path, [5, 300])
    played = task.episodes[1].observations
    task.rows[2]["discrete_observations"][7] = played[263] = [*played[263][:148], *range(64)]
    task.write()
    jat = source(task)
    check_episodes(list(jat.episodes("babyai", "go-to")), task)
    (quirk,) = jat.quirks("babyai", "go-to")
    assert (quirk.name, quirk.count) == ("varying_missions", 1)
    assert quirk.sentence == "1 episode changes the tokens of its mission; those are stored, and named by the first."


def test_texts_of_other_episodes_are_refused(tmp_path: Path):
    task = make_missions(tmp_path, [5, 7, 3, 4, 9, 2])
    texts = json.loads((task.task_folder / "eps_2_text.json").read_text())
    shifted = {key: texts[str((int(key) + 1) % 6)] for key in texts}
    (task.task_folder / "eps_2_text.json").write_text(json.dumps(shifted))
    message = refusal(task)
    assert "A mission's text and its tokens belong together" in message
    assert "source.missions=tokens" in message


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"0": "a", "1": "b"}, "episode 2 is missing"),
        ({"0": "a", "1": "b", "2": 7}, "must give each episode a text; it holds 7"),
        (["a"], "must be a JSON object"),
    ],
)
def test_texts_that_do_not_fit_are_refused(tmp_path: Path, told: Any, says: str):
    task = make_missions(tmp_path, [5, 7, 3])
    (task.task_folder / "eps_2_text.json").write_text(json.dumps(told))
    message = refusal(task)
    assert "eps_2_text.json" in message
    assert says in message


def test_texts_of_more_episodes_than_the_rows_hold_are_refused(tmp_path: Path):
    task = make_missions(tmp_path, [5, 7, 3], metadata=False, texts=False)
    (task.task_folder / "eps_2_text.json").write_text('{"0": "a", "1": "b"}')
    assert "2 missions were found, but the rows hold 3 episodes" in refusal(task)


# Boundaries


def test_episodes_of_no_steps_in_the_metadata_own_no_rows_and_are_counted(tmp_path: Path):
    task = make_missions(tmp_path, [300, 7])
    told = {
        "ep_lens.json": {"0": 0, "1": 300, "2": 0, "3": 7},
        "eps_2_rows_tokenized.json": {"1": [0, 1], "3": [2]},
        "rows_tokenized_2_eps.json": {"0": 1, "1": 1, "2": 3},
        "eps_2_text.json": {"3": task.episodes[1].mission, "1": task.episodes[0].mission, "0": "nothing"},
    }
    for name, value in told.items():
        (task.task_folder / name).write_text(json.dumps(value))
    jat = source(task)
    episodes = list(jat.episodes("babyai", "go-to"))
    check_episodes(episodes, task)
    assert [episode.mission for episode in episodes] == [played.mission for played in task.episodes]
    assert list(jat.quirks("babyai", "go-to")) == [EMPTY]


def test_without_lengths_a_full_row_leaves_the_boundary_open_and_is_refused(tmp_path: Path):
    task = make_missions(tmp_path, [30, 300], metadata=False)
    message = refusal(task)
    assert "Nothing tells whether an episode goes on after" in message
    assert "row 1" in message
    assert "source.raw=hub" in message
    short = make_missions(tmp_path / "short", [30, 255, 40], metadata=False)
    assert [episode.length for episode in read(short)] == [30, 255, 40]


@pytest.mark.parametrize("metadata", [True, False])
def test_a_raw_dataset_of_other_lengths_is_refused(tmp_path: Path, metadata: bool):
    task = make_missions(tmp_path / "jat", [5, 300, 9], metadata=metadata)
    make_missions(tmp_path / "other", [5, 290, 9]).write_raw(tmp_path / "raw")
    message = refusal(task, raw=str(tmp_path / "raw"))
    assert "episode 1" in message
    assert "raw dataset that the tokenised one was made of" in message


@pytest.mark.parametrize("metadata", [True, False])
def test_a_raw_dataset_of_fewer_episodes_is_refused(tmp_path: Path, metadata: bool):
    task = make_missions(tmp_path / "jat", [5, 300, 9], metadata=metadata)
    make_missions(tmp_path / "other", [5, 300]).write_raw(tmp_path / "raw")
    assert "raw dataset that the tokenised one was made of" in refusal(task, raw=str(tmp_path / "raw"))


# Bad input


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (0, 256, "must be from 0 to 255"),
        (147, -1, "must be from 0 to 255"),
        (148, 2**31, "must be integers of 32 bits"),
        (211, -(2**31) - 1, "must be integers of 32 bits"),
    ],
)
def test_a_number_that_does_not_fit_is_named_by_its_place(tmp_path: Path, column: int, value: int, says: str):
    task = make_missions(tmp_path, [5, 9])
    changed = list(task.rows[1]["discrete_observations"][4])
    changed[column] = value
    task.rows[1]["discrete_observations"][4] = changed
    task.write()
    message = refusal(task)
    assert says in message
    assert "row 1, column discrete_observations, step 4" in message


def test_padding_may_hold_anything(tmp_path: Path):
    task = make_missions(tmp_path, [5, 9])
    for row in task.rows:
        row["discrete_observations"][-1] = [-(2**40)] * 212
    task.write()
    check_episodes(read(task), task)


def test_steps_of_another_width_are_refused(tmp_path: Path):
    task = make_missions(tmp_path, [5])
    task.rows[0]["discrete_observations"] = [step[:148] for step in task.rows[0]["discrete_observations"]]
    task.write()
    assert "has 212 integers: 148 of direction and grid, then 64 tokens of the mission" in refusal(task)


def test_observations_must_be_integers(tmp_path: Path):
    task = make_missions(tmp_path, [4])
    task.write(schema=GRID_SCHEMA.set(0, pa.field("discrete_observations", pa.list_(pa.list_(pa.float64())))))
    assert "discrete_observations must hold lists of lists of integers" in refusal(task)


def test_a_raw_folder_without_the_task_is_refused(tmp_path: Path):
    task = make_missions(tmp_path / "jat", [4])
    (tmp_path / "raw" / "babyai-go-to-seq").mkdir(parents=True)
    message = refusal(task, raw=str(tmp_path / "raw"))
    assert "No folder babyai-go-to in" in message
    assert "babyai-go-to-seq" in message
    assert "source.raw" in message


@pytest.mark.parametrize("column", ["text_observations", "rewards"])
def test_a_raw_column_that_is_missing_or_holds_something_else_is_named(tmp_path: Path, column: str):
    task = make_missions(tmp_path / "jat", [4])
    (path,) = task.write_raw(tmp_path / "raw")
    whole = pq.read_table(path)
    pq.write_table(whole.drop_columns([column]), path)
    assert f"needs a column {column}; it has " in refusal(task, raw=str(tmp_path / "raw"))
    pq.write_table(whole.drop_columns([column]).append_column(column, pa.array([1])), path)
    assert f"column {column} must hold lists of " in refusal(task, raw=str(tmp_path / "raw"))


@pytest.mark.parametrize(
    "change", [lambda texts: texts[:-1], lambda texts: [*texts[:-1], "x"], lambda texts: [None] * 4]
)
def test_a_raw_episode_without_one_mission_is_named(tmp_path: Path, change: Any):
    task = make_missions(tmp_path / "jat", [4, 4])
    (path,) = task.write_raw(tmp_path / "raw")
    rows = pq.read_table(path).to_pylist()
    rows[1]["text_observations"] = change(rows[1]["text_observations"])
    write_rows(path, rows, schema=RAW_SCHEMA)
    message = refusal(task, raw=str(tmp_path / "raw"))
    assert "row 1: text_observations" in message


def test_a_raw_shard_that_is_missing_is_refused(tmp_path: Path):
    task = make_missions(tmp_path / "jat", [4, 4, 4])
    task.write_raw(tmp_path / "raw", files=3)[1].unlink()
    assert "needs 3 train files" in refusal(task, raw=str(tmp_path / "raw"))


def test_an_unknown_way_to_name_missions_is_refused():
    with pytest.raises(InvalidInput, match="no source.missions named words. Known: auto, tokens"):
        JatSource(missions="words")
