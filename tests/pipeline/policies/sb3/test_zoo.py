"""RL Zoo's files beside an agent: found, read as data, and never run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pipeline.errors import InvalidInput
from pipeline.policies.sb3.zoo import LARGEST, read_training, settings_beside, settings_place

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"
ORDERED = "!!python/object/apply:collections.OrderedDict"
CONFIG = f"""{ORDERED}
- - - batch_size
    - 256
  - - env_wrapper
    - - {ATARI}
  - - frame_stack
    - 4
  - - n_timesteps
    - 10000000.0
  - - policy
    - CnnPolicy
"""
"""As RL Zoo writes it."""

ARGS = f"""{ORDERED}
- - - algo
    - ppo
  - - env
    - PongNoFrameskip-v4
  - - env_kwargs
    - null
  - - seed
    - !!python/object/apply:numpy.core.multiarray.scalar
      - !!python/object/apply:numpy.dtype
        args: [i8, false, true]
      - !!binary |
        KgAAAAAAAAA=
"""


def beside(folder: Path, config: str = CONFIG, args: str = "", kwargs: str = "") -> Path:
    """The path of a config.yml, with what lies beside it."""
    for name, text in {"config.yml": config, "args.yml": args, "env_kwargs.yml": kwargs}.items():
        if text:
            (folder / name).write_text(text)
    return folder / "config.yml"


def test_what_rl_zoo_writes_is_read(tmp_path):
    found = read_training(beside(tmp_path, args=ARGS))
    assert (found.env_id, dict(found.wrappers), found.frame_stack) == ("PongNoFrameskip-v4", {ATARI: {}}, 4)
    assert (dict(found.env_kwargs), found.normalizes) == ({}, False)


def test_plain_yaml_is_read_as_well(tmp_path):
    config = {"env_wrapper": [{ATARI: {"clip_reward": False}}, "my.Wrapper"], "normalize": True}
    found = read_training(beside(tmp_path, yaml.dump(config), kwargs="{frameskip: 1, obs_type: rgb}"))
    assert found.wrappers == {ATARI: {"clip_reward": False}, "my.Wrapper": {}}
    assert (found.frame_stack, found.normalizes) == (None, True)
    assert found.env_kwargs == {"frameskip": 1, "obs_type": "rgb"}
    assert list(read_training(beside(tmp_path, f"env_wrapper: {ATARI}")).wrappers) == [ATARI]


@pytest.mark.parametrize(
    ("said", "scales"),
    [
        ("true", True),
        ("false", False),
        ("null", False),
        ('"dict(norm_obs=False, norm_reward=True)"', False),
        ("\"{'norm_obs': False, 'norm_reward': True}\"", False),
        ('"dict(norm_obs=True, norm_reward=False)"', True),
        ("{norm_obs: false}", False),
        ("{norm_reward: false}", True),
    ],
)
def test_every_way_to_say_normalize_is_understood(tmp_path, said, scales):
    assert read_training(beside(tmp_path, f"normalize: {said}")).normalizes == scales


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch ran']",
        "!!python/object/new:os.system ['touch ran']",
        "!!python/name:os.system",
        "!!python/module:antigravity",
        "!!python/object:pathlib.Path {}",
        f"{ORDERED} [[[x, !!python/object/apply:os.system ['touch ran']]]]",
    ],
)
def test_nothing_that_a_file_names_is_run(tmp_path, tag, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = read_training(beside(tmp_path, f"frame_stack: 4\npolicy_kwargs: {tag}\nnormalize: {tag}"))
    assert (found.frame_stack, found.wrappers) == (4, {})
    assert not (tmp_path / "ran").exists()


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        *("- a list", "a text", "{", "[" * 5000, "a: !unknown b", "a: 2001-99-99", "? [a]\n: b", MERGES),
        *(f"{ORDERED} [[[a]]]", f"{ORDERED} {{a: b}}", f"{ORDERED} [[[[a], b]]]", f"{ORDERED} [1, 2]", "\x00"),
        *("a: b\n---\nc: d", "x: " + "1" * LARGEST, BOMB + "env_wrapper: [*a59]", "env_wrapper: [{a: {}, b: {}}]"),
    ],
    ids=lambda text: text[:24],
)
def test_a_file_that_is_none_of_rl_zoos_is_named_with_the_way_on(tmp_path, text):
    with pytest.raises(InvalidInput, match=r"config\.yml(.|\n)*policy\.settings=false"):
        read_training(beside(tmp_path, text))


def test_oddities_that_matter_to_nobody_are_passed_over(tmp_path):
    odd = f"{BOMB}env: [*a59]\nframe_stack: 99999999999\n"
    found = read_training(beside(tmp_path, odd, args="env: [a]\nenv_kwargs: [1]"))
    assert (found.env_id, found.frame_stack, dict(found.env_kwargs)) == ("", None, {})


@pytest.mark.parametrize(
    ("there", "place"),
    [
        (["config.yml", "a/config.yml"], "."),
        (["args.yml"], "."),
        (["a/config.yml", "agent/args.yml", "agent/config.yml"], "agent"),
        (["a/args.yml", "a/config.yml"], "a"),
        (["a/b/config.yml", "a/other.yml", "hyperparams.yml"], None),
        ([], None),
    ],
)
def test_the_usual_places_are_known(tmp_path, there, place):
    assert settings_place("agent.zip", there) == place
    for name in there:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a: b")
    assert settings_beside(tmp_path / "agent.zip") == (None if place is None else tmp_path / place)


def test_of_several_folders_none_is_guessed():
    with pytest.raises(InvalidInput, match=r"a/config\.yml, b/config\.yml.*\n.*policy\.settings=FILE"):
        settings_place("best_model.zip", ["a/config.yml", "b/config.yml"])
