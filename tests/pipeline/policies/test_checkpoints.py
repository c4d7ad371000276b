"""Which agents a path means, locally and on a hub that runs in this test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.policies.checkpoints import Checkpoint, by_dataset, checkpoints, only
from tests.hub_server import serving

ROOT = Path(__file__).parents[3]
REPO = "sb3/demo"


def written(path: Path, steps: int = 5, **settings: object) -> Path:
    """A zip that has as much of an agent as its name needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps({"clip_range": 0.2, "num_timesteps": steps, **settings}))
        archive.writestr("policy.pth", b"")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (800, 1400, 20000):
        written(tmp_path / f"rl_model_{step}_steps.zip", step + 1)
    written(tmp_path / "best_model.zip")
    return tmp_path


def names(found: list[Checkpoint]) -> list[str]:
    return [each.name for each in found]


def test_a_folder_means_its_highest_checkpoint(folder):
    (found,) = checkpoints(folder)
    assert found == Checkpoint(folder / "rl_model_20000_steps.zip", 20000, "ppo-20000")
    assert checkpoints(str(folder), -1) == [found]


def test_checkpoints_come_in_the_asked_order_and_once(folder):
    assert names(checkpoints(folder, 1400)) == ["ppo-1400"]
    assert names(checkpoints(folder, [-1, 800, 20000])) == ["ppo-20000", "ppo-800"]
    assert names(checkpoints(folder, "all")) == ["ppo-800", "ppo-1400", "ppo-20000"]


def test_a_missing_step_is_an_error_that_lists_those_that_exist(folder):
    with pytest.raises(InvalidInput, match=r"no checkpoint 900 .*There are: 800, 1400, 20000\."):
        checkpoints(folder, [800, 900])


def test_a_single_zip_tells_its_step_by_its_name_or_its_own_count(tmp_path):
    counted = written(tmp_path / "Hopper-v3.zip", 1_000_000)
    named = written(tmp_path / "rl_model_300_steps.zip", 312)
    assert (
        checkpoints(counted) == checkpoints(tmp_path / "Hopper-v3") == [Checkpoint(counted, 1_000_000, "ppo-1000000")]
    )
    assert checkpoints(named, 300) == checkpoints(named, -1) == [Checkpoint(named, 300, "ppo-300")]
    with pytest.raises(InvalidInput, match="There are: 300"):
        checkpoints(named, 312)


def test_a_folder_without_numbers_means_its_best_or_its_only_agent(tmp_path):
    with zipfile.ZipFile(tmp_path / "train_eval_metrics.zip", "w") as archive:
        archive.writestr("0.monitor.csv", "")
    with pytest.raises(InvalidInput, match="no agent"):
        checkpoints(tmp_path)
    only_one = written(tmp_path / "CartPole-v1.zip")
    assert checkpoints(tmp_path)[0].file == only_one
    written(tmp_path / "other.zip")
    with pytest.raises(InvalidInput, match=r"several agents: CartPole-v1\.zip, other\.zip"):
        checkpoints(tmp_path)
    best = written(tmp_path / "best_model.zip")
    assert checkpoints(tmp_path)[0].file == best


def test_two_files_of_one_step_are_an_error(tmp_path):
    written(tmp_path / "a_5_steps.zip")
    written(tmp_path / "b_5_steps.zip")
    with pytest.raises(InvalidInput, match=r"a_5_steps\.zip, b_5_steps\.zip"):
        checkpoints(tmp_path)


def test_the_algorithm_is_part_of_the_name(tmp_path):
    path = written(tmp_path / "a.zip", 7, policy_class={"__module__": "sb3_contrib.common.recurrent.policies"})
    assert names(checkpoints(path)) == ["ppo-lstm-7"]
    unknown = written(tmp_path / "b.zip", 7)
    with zipfile.ZipFile(unknown, "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(InvalidInput, match=r"policy\.algorithm=NAME, one of ppo, a2c"):
        checkpoints(unknown)
    assert names(checkpoints(unknown, algorithm="dqn")) == ["dqn"]


@pytest.mark.parametrize("path", ["nowhere", "a/b/c", "a/b.zip", "one/two/three.txt", "/no/such/agent.zip"])
def test_what_is_neither_here_nor_a_name_on_the_hub_is_an_error(path):
    with pytest.raises(InvalidInput, match=r"no agent .*OWNER/REPO/FILE\.zip"):
        checkpoints(path)


def test_a_wrong_name_lists_what_lies_beside_it(folder):
    with pytest.raises(InvalidInput, match=r"has best_model\.zip, rl_model_1400_steps\.zip"):
        checkpoints(folder / "rl_model_5_steps.zip")


def test_no_path_says_what_to_give():
    with pytest.raises(InvalidInput, match=r"policy\.path"):
        checkpoints(None)
    with pytest.raises(InvalidInput, match=r"policy\.path"):
        only(None)


def test_a_network_in_one_file_is_named_after_it(tmp_path):
    (tmp_path / "agent.pt").touch()
    assert only(tmp_path / "agent.pt") == [Checkpoint(tmp_path / "agent.pt", None, "agent")]
    with pytest.raises(InvalidInput, match=r"no file .*other\.pt"):
        only(tmp_path / "other.pt")


def from_hub(url: str, cache: Path, path: str) -> subprocess.CompletedProcess[str]:
    """In a fresh process: the hub client looks at its environment when it is imported."""
    code = f"""
from pipeline.errors import InvalidInput
from pipeline.policies.checkpoints import checkpoints
from pipeline.policies.normalize import statistics_beside
from pipeline.policies.sb3.zoo import settings_beside
try:
    found, = checkpoints({path!r})
    print(found.name, found.file.name, (statistics_beside(found.file) or found.file).name)
    print(settings_beside(found.file).relative_to(found.file.parent))
except InvalidInput as error:
    print("InvalidInput", error)
"""
    settings = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1", "PYTHONPATH": str(ROOT)}
    environment = {"HF_ENDPOINT": url, "HF_HOME": str(cache), **settings}
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=cache,
        env={**os.environ, **environment},
    )


def test_an_agent_comes_from_the_hub_with_its_statistics_and_settings_and_is_kept(tmp_path):
    folder, cache = tmp_path / "repo", tmp_path / "cache"
    cache.mkdir()
    written(folder / "ppo-Demo-v0.zip", 9)
    for name in ("vec_normalize.pkl", "config.yml", "args.yml", "replay.mp4", "train_eval_metrics.zip"):
        (folder / name).write_text(name)
    with serving(tmp_path / "hub") as hub:
        hub.create_from(folder, REPO, "model")
        hub.repo(REPO, "model").branches["v2"] = hub.repo(REPO, "model").branches["main"]
        first = from_hub(hub.url, cache, "sb3/demo/ppo-Demo-v0.zip")
        assert first.stdout.split() == ["ppo-9", "ppo-Demo-v0.zip", "vec_normalize.pkl", "."]
        sent = ["args.yml", "config.yml", "ppo-Demo-v0.zip", "vec_normalize.pkl"]
        assert sorted(hub.sent(REPO, "model")) == sent
        again = from_hub(hub.url, cache, "hf://sb3/demo@v2/ppo-Demo-v0.zip")
        assert again.stdout == first.stdout
        assert len(hub.sent(REPO, "model")) == len(sent)
        url = hub.url
    offline = from_hub(url, cache, "sb3/demo/ppo-Demo-v0.zip")
    assert offline.stdout == first.stdout
    assert "Traceback" not in offline.stderr


def test_what_is_not_on_the_hub_is_named(tmp_path):
    written(tmp_path / "repo" / "ppo.zip")
    (tmp_path / "cache").mkdir()
    with serving(tmp_path / "hub") as hub:
        hub.create_from(tmp_path / "repo", REPO, "model")
        wrong = from_hub(hub.url, tmp_path / "cache", "sb3/demo/sac.zip").stdout
        assert "InvalidInput sac.zip of sb3/demo could not be downloaded: The repository has ppo.zip." in wrong
        missing = from_hub(hub.url, tmp_path / "cache", "sb3/other/sac.zip").stdout
        assert "InvalidInput sac.zip of sb3/other could not be downloaded" in missing
        assert hub.sent(REPO, "model") == []


PPO = [Checkpoint(Path(f"ppo-{step}.zip"), step, f"ppo-{step}") for step in (10, 20)]


def test_checkpoints_are_known_by_the_datasets_that_they_make():
    assert list(by_dataset(PPO, None)) == ["ppo-10-v1", "ppo-20-v1"]
    assert by_dataset(PPO[:1], "mine") == {"mine": PPO[0]}
    assert by_dataset(PPO, "ppo-20-v3") == {"ppo-20-v3": PPO[1]}  # a version of what one of them makes


def test_one_dataset_of_several_checkpoints_must_be_named():
    with pytest.raises(InvalidInput, match="dataset=mine names one dataset, the checkpoints make ppo-10-v1, ppo-20-v1"):
        by_dataset(PPO, "mine")
    with pytest.raises(InvalidInput, match="A repository holds one dataset of a task"):
        by_dataset(PPO, None, one=True)
    assert list(by_dataset(PPO, "ppo-10-v1", one=True)) == ["ppo-10-v1"]
