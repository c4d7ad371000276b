"""Real logs of EnvLogger: written by the package, read by it in its own environment, and brought over."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pipeline.sources.envlogger.source import EnvLoggerSource
from pipeline.sources.rlds.source import RldsSource
from tests.contracts.source import SourceContract
from tests.interop.side import ROOT, read_by, side_python

pytestmark = pytest.mark.interop

PAGE = ROOT / "docs" / "sources" / "envlogger.md"
DATASETS = ("observation", "action", "reward", "discount", "is_first", "is_last", "is_terminal")


def write_catch(log: str, episodes: int, seed: int, closed: bool = True) -> dict[str, Any]:
    """Play EnvLogger's own Catch at random, three episodes a shard; the arrays of a Kabuki file of them, in order.

    Without `closed` the process ends as a killed one does.
    """
    import os
    from pathlib import Path

    import envlogger
    import numpy as np
    from envlogger.testing import catch_env

    Path(log).mkdir(exist_ok=True)
    rng, rows = np.random.default_rng(seed), []
    env = envlogger.EnvLogger(
        catch_env.Catch(seed=seed),
        step_fn=lambda timestep, action, env: {"paddle": np.int32(env._paddle_x), "word": f"ball {env._ball_x}"},
        episode_fn=lambda timestep, action, env: {"seed": seed},
        metadata={"agent": "random", "seed": seed},
        data_directory=log,
        max_episodes_per_file=3,
    )
    for _ in range(episodes):
        timesteps, actions = [env.reset()], []
        while not timesteps[-1].last():
            actions.append(int(rng.integers(3)))
            timesteps.append(env.step(actions[-1]))
        for t, timestep in enumerate(timesteps):
            after = None if timestep.last() else timesteps[t + 1]
            rows.append(
                {
                    "observation": timestep.observation,
                    "action": actions[t] if after else 0,
                    "reward": after.reward if after else 0.0,
                    "discount": after.discount if after else 0.0,
                    "is_first": timestep.first(),
                    "is_last": timestep.last(),
                    "is_terminal": timestep.last() and timestep.discount == 0,
                }
            )
    if not closed:
        np.savez(f"{log}.npz", **{name: np.array([row[name] for row in rows]) for name in rows[0]})
        os._exit(1)
    env.close()
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def write_by_tensorflow(log: str, packages: str) -> dict[str, Any]:
    """Catch at random by the backend that EnvLogger once had for TFDS, two episodes a file; what was done and given."""
    import sys
    from pathlib import Path

    import numpy as np
    import tensorflow as tf
    import tensorflow_datasets as tfds

    sys.path.append(packages)  # of the other environment; this one's own come first
    import envlogger
    from envlogger.backends.tfds_backend_writer import TFDSBackendWriter
    from envlogger.testing import catch_env

    Path(log).mkdir()
    features = tfds.rlds.rlds_base.DatasetConfig(
        name="catch",
        observation_info=tfds.features.Tensor(shape=(10, 5), dtype=tf.float32),
        action_info=tf.int64,
        reward_info=tf.float64,
        discount_info=tf.float64,
    )
    backend = TFDSBackendWriter(data_directory=log, split_name="train", max_episodes_per_file=2, ds_config=features)
    rng, actions, rewards = np.random.default_rng(7), [], []
    with envlogger.EnvLogger(catch_env.Catch(seed=7), backend=backend) as env:
        for _ in range(5):
            timestep = env.reset()
            while not timestep.last():
                actions.append(int(rng.integers(3)))
                timestep = env.step(actions[-1])
                rewards.append(timestep.reward)
    return {"actions": np.array(actions), "rewards": np.array(rewards)}


def write_nested(log: str) -> dict[str, Any]:
    """Episodes with every kind of leaf, that end in every way; what was seen and done in them."""
    from pathlib import Path

    import dm_env
    import envlogger
    import numpy as np
    from dm_env import specs

    class Nested(dm_env.Environment):
        def __init__(self) -> None:
            self.t = 0
            self.ends = iter([("terminated", 3), ("truncated", 2), ("half", 4), ("none", 2), ("terminated", 1)])

        def seen(self):
            return {
                "proprio": {"q": np.arange(2.0) + self.t, "a/b": np.float32(self.t / 3)},
                "camera": np.full((4, 3, 3), self.t, np.uint8),
                "many": (np.int16([-self.t, self.t]), np.bool_(self.t % 2), np.uint64(2**63 + self.t)),
            }

        def reset(self):
            self.end, self.length = next(self.ends)
            self.t = 0
            return dm_env.restart(self.seen())

        def step(self, action):
            self.t += 1
            if self.t < self.length or self.end == "none":
                return dm_env.transition(self.t / 3, self.seen(), 0.9)
            kinds = {"terminated": 0.0, "truncated": 1.0, "half": 0.5}
            return dm_env.TimeStep(dm_env.StepType.LAST, self.t / 3, kinds[self.end], self.seen())

        def observation_spec(self):
            return {"proprio": {"q": specs.Array((2,), np.float64)}}

        def action_spec(self):
            return specs.BoundedArray((3,), np.float32, -1, 1)

    def logged(timestep, action, env):
        often = {"often": np.float64(env.t)}
        return {**often, 7: np.int8(env.t), "odd": b"raw"} if env.t % 2 else often

    Path(log).mkdir()
    found = {}
    with envlogger.EnvLogger(Nested(), step_fn=logged, data_directory=log) as env:
        for number in range(5):
            timestep, actions, seen = env.reset(), [], []
            seen.append(timestep.observation)
            for t in range(2 if number == 3 else 99):
                if timestep.last():
                    break
                actions.append(np.float32([number, t, 0.5]))
                timestep = env.step(actions[-1])
                seen.append(timestep.observation)
            found[f"{number}/action"] = np.array(actions)
            found[f"{number}/q"] = np.array([each["proprio"]["q"] for each in seen])
            found[f"{number}/camera"] = np.array([each["camera"] for each in seen])
            found[f"{number}/small"] = np.array([each["many"][0] for each in seen])
            found[f"{number}/large"] = np.array([each["many"][2] for each in seen])
    return found


def door(path: Path, **settings: str) -> EnvLoggerSource:
    return EnvLoggerSource(str(path), str(side_python("envlogger")), **settings)


def read(path: Path, **settings: str) -> tuple[list[Any], dict[str, int]]:
    source = door(path, **settings)
    episodes = list(source.episodes("dmc", "catch"))
    return episodes, {quirk.name: quirk.count for quirk in source.quirks("dmc", "catch")}


def ingested(log: Path, tmp_path: Path, *words: str) -> dict[str, np.ndarray]:
    """What a Kabuki file of the log holds, made by the command that the page tells."""
    out = tmp_path / "catch.hdf5"
    command = [sys.executable, str(ROOT / "run.py"), "stage=[ingest,export]", "domain=dmc", "task=catch"]
    more = ["source=envlogger", f"source.path={log}", f"source.python={side_python('envlogger')}", *words]
    words = ["format=kabuki", f"format.out={out}", f"paths.root={tmp_path / 'outputs'}"]
    done = subprocess.run([*command, *more, *words], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with h5py.File(out) as file:
        return {name: file[name][...] for name in DATASETS} | {"said": np.array(done.stdout + done.stderr)}


class TestEnvLogger(SourceContract):
    """Several shards, in two sessions."""

    domain, task = "dmc", "catch"
    any_task = True

    def write(self, folder: Path) -> None:
        for seed, episodes in ((1, 4), (2, 1)):
            read_by("envlogger", write_catch, folder / "log", episodes, seed)

    def source(self, folder: Path) -> EnvLoggerSource:
        return door(folder / "log" if (folder / "log").exists() else folder)


def test_a_log_of_several_sessions_and_shards_becomes_the_kabuki_file_of_what_was_played(tmp_path):
    log = tmp_path / "log"
    played = [read_by("envlogger", write_catch, log, episodes, seed) for episodes, seed in ((7, 1), (2, 2))]
    assert len([path for path in log.iterdir() if path.is_dir()]) == 4
    kept = ingested(log, tmp_path)
    for name in DATASETS:
        np.testing.assert_array_equal(kept[name], np.concatenate([each[name] for each in played]))
    assert (kept["observation"].dtype, kept["action"].dtype) == (np.float32, np.int64)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"outputs": str(tmp_path / "outputs")}
    exec(compile(code, str(PAGE), "exec"), names)
    assert len(names["dataset"]) == 9
    np.testing.assert_array_equal(names["first"].steps["action"], played[0]["action"][:10])


def test_the_data_logged_beside_the_steps_and_what_the_log_says_of_itself_are_kept(tmp_path):
    read_by("envlogger", write_catch, tmp_path / "log", 2, 5)
    (first, _), quirks = read(tmp_path / "log")
    paddles = first.steps["observation"][:, 9, :].argmax(axis=1)
    assert first.steps["info/paddle"].dtype == np.int32
    moved = np.clip(2 + np.cumsum(first.steps["action"][:-1] - 1), 0, 4)
    np.testing.assert_array_equal(first.steps["info/paddle"][:-1], moved)
    np.testing.assert_array_equal(paddles[1:-1], moved[:-1])
    assert first.reset_info["paddle"] == 2
    assert first.info_texts["word"] == [first.reset_texts["word"]] * 9
    assert first.reset_info["episode/seed"] == 5
    assert not quirks
    metadata = door(tmp_path / "log").identity("dmc", "catch")["metadata"]
    assert (metadata["agent"], metadata["seed"]) == ("random", 5)
    assert metadata["environment_specs"]["action_spec"]["num_values"] == 3


def test_nested_observations_and_every_kind_of_end_come_over_exactly(tmp_path):
    seen = read_by("envlogger", write_nested, tmp_path / "log")
    episodes, quirks = read(tmp_path / "log", incomplete="keep")
    assert [each.end_reason for each in episodes] == ["terminated", "time_limit", "time_limit", "source", "terminated"]
    assert [each.steps["discount"][-2] for each in episodes] == [0, 1, 0.5, 0.9, 0]
    for number, each in enumerate(episodes):
        np.testing.assert_array_equal(each.steps["action"][:-1], seen[f"{number}/action"])
        np.testing.assert_array_equal(each.steps["observation/proprio/q"], seen[f"{number}/q"])
        np.testing.assert_array_equal(each.steps["observation/camera"], seen[f"{number}/camera"])
        np.testing.assert_array_equal(each.steps["observation/many/0"], seen[f"{number}/small"])
        np.testing.assert_array_equal(each.steps["observation/many/2"], seen[f"{number}/large"])
        np.testing.assert_array_equal(each.steps["reward"][:-1], np.arange(1, each.length + 1) / 3)
    kinds = {name: array.dtype.str for name, array in episodes[0].steps.items() if name.startswith("observation")}
    assert kinds == {
        "observation/proprio/q": "<f8", "observation/proprio/a%2Fb": "<f4", "observation/camera": "|u1",
        "observation/many/0": "<i2", "observation/many/1": "|b1", "observation/many/2": "<u8",
    }  # fmt: skip
    np.testing.assert_array_equal(episodes[0].steps["info/often"], [1, 2, 3, 0])
    np.testing.assert_array_equal(episodes[0].steps["info/7"], [1, 0, 3, 0])
    np.testing.assert_array_equal(episodes[0].steps["info_present/7"], [True, False, True, False])
    assert quirks == {"incomplete": 1, "unread_arrays": 5}
    assert len(read(tmp_path / "log")[0]) == 4


def test_a_log_without_its_close_gives_its_other_shards_and_says_so(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(AssertionError):
        read_by("envlogger", write_catch, log, 8, 3, False)
    with np.load(f"{log}.npz") as played:
        rows = int(np.flatnonzero(played["is_last"])[5]) + 1  # of the two shards that were finished
        kept = ingested(log, tmp_path)
        for name in DATASETS:
            np.testing.assert_array_equal(kept[name], played[name][:rows])
    assert "1 shard has no step that can be read" in str(kept["said"])
    read_by("envlogger", write_catch, log, 2, 4)  # the same folder again, after the crash
    assert len(read(log)[0]) == 8


def test_a_log_of_the_backend_for_tensorflow_datasets_comes_in_as_rlds(tmp_path):
    (packages,) = side_python("envlogger").parents[1].glob("lib/python*/site-packages")
    played = read_by("tfds", write_by_tensorflow, tmp_path / "log", packages)
    episodes = list(RldsSource(str(tmp_path / "log")).episodes("dmc", "catch"))
    assert [(each.length, each.end_reason) for each in episodes] == [(9, "terminated")] * 5
    for name in ("action", "reward"):
        kept = np.concatenate([each.steps[name][:-1] for each in episodes])
        np.testing.assert_array_equal(kept, played[f"{name}s"])


def test_damage_to_a_shard_is_counted_and_what_is_whole_is_read(tmp_path):
    read_by("envlogger", write_catch, tmp_path / "log", 9, 6)
    whole = [each.digest() for each in read(tmp_path / "log")[0]]
    outcomes = set()
    for file in ("steps", "step_offsets", "episode_index", "episode_metadata"):
        for kept in (0.0, 0.3, 0.7):
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "log", copy)
            path = sorted(copy.glob(f"*/{file}.riegeli"))[1]
            path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
            episodes, quirks = read(copy)
            found = [each.digest() for each in episodes]
            if file.startswith("step"):
                assert found in (whole, whole[:3] + whole[6:]), (file, kept)
            else:
                assert [each.length for each in episodes] == [9] * 9
            assert found == whole or quirks or file == "episode_metadata"
            outcomes |= set(quirks)
            shutil.rmtree(copy)
    assert {"unreadable_shards", "unreadable_steps", "unlisted_episodes"} <= outcomes
    (tmp_path / "log" / "metadata.riegeli").write_bytes(b"")
    episodes, quirks = read(tmp_path / "log")
    assert len(episodes) == 9
    assert quirks == {"no_metadata": 1}


def test_files_that_are_no_log_end_in_plain_words(tmp_path):
    (tmp_path / "log" / "20260101T000000000000").mkdir(parents=True)
    for name in ("steps", "step_offsets", "episode_index"):
        (tmp_path / "log" / "20260101T000000000000" / f"{name}.riegeli").write_bytes(b"no riegeli at all" * 10)
    assert read(tmp_path / "log") == ([], {"no_metadata": 1, "unreadable_shards": 1})
    with pytest.raises(AssertionError, match="(?s)No episode came for dmc/catch.*1 shard has no step that can be read"):
        ingested(tmp_path / "log", tmp_path)
