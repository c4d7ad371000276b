"""What an agent's files say becomes settings of the command; what somebody has set stays."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline.envs.atari.environment import Atari
from pipeline.errors import InvalidInput
from pipeline.policies.sb3.as_trained import as_trained
from tests.pipeline.policies.sb3.test_zoo import ARGS, ATARI, CONFIG, beside

NOW = {
    "domain.environment.frame_skip": 4,
    "domain.environment.sticky": 0.25,
    "domain.environment.noops": 0,
    "domain.environment.max_pool": True,
    "domain.environment.fire_reset": False,
    "domain.environment.full_actions": False,
    "policy.stack": None,
    "policy.normalize": "auto",
}
"""The settings as they are shipped."""


def taken(folder: Path, given: tuple[str, ...] = (), settings: Any = "auto", now: Any = NOW) -> dict[str, Any]:
    """What is taken over, by the last words of the keys."""
    found = as_trained(folder / "agent.zip", settings, now, given)
    return {key.rpartition(".")[2]: value for key, value in found.items()}


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_an_agent_of_rl_zoo_plays_in_its_own_stack(tmp_path, heard):
    beside(tmp_path, args=ARGS)
    found = taken(tmp_path)
    assert found == {"noops": 30, "sticky": 0.0, "fire_reset": True, "stack": 4}
    assert (
        f"{tmp_path}/config.yml says how agent.zip was trained; taken over: domain.environment.noops=30" in heard.text
    )
    assert not [record for record in heard.records if record.levelno > logging.INFO]
    assert Atari("pong", **{name: value for name, value in found.items() if name != "stack"}).identity()["fire_reset"]


def test_what_somebody_has_set_stays_and_the_log_says_so(tmp_path, heard):
    beside(tmp_path, args=ARGS)
    assert taken(tmp_path, ("domain.environment.noops", "policy.stack")) == {"sticky": 0.0, "fire_reset": True}
    assert "kept as it was given, though it was trained with: domain.environment.noops=30 policy.stack=4" in heard.text


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("{terminal_on_life_loss: false, noop_max: 0}", {"noops": None, "fire_reset": "start"}),
        ("{frame_skip: 1}", {"frame_skip": 1, "max_pool": False}),
        ("{action_repeat_probability: 0.1, frame_skip: 3}", {"sticky": 0.1, "frame_skip": 3}),
        ("{clip_reward: false, screen_size: 84}", {}),
    ],
)
def test_options_of_the_wrapper_are_taken_over(tmp_path, options, found):
    beside(tmp_path, f"env_wrapper:\n- {ATARI}: {options}")
    whole = {"noops": 30, "sticky": 0.0, "fire_reset": True} | found
    assert taken(tmp_path) == {name: value for name, value in whole.items() if value is not None}


@pytest.mark.parametrize(
    ("env", "kwargs", "found", "remark"),
    [
        ("PongNoFrameskip-v4", "{}", {}, ""),
        ("PongNoFrameskip-v0", "{}", {"sticky": None}, ""),
        ("ALE/Pong-v5", "{}", {"sticky": None, "frame_skip": 16}, "skips 4 frames below"),
        ("ALE/Pong-v5", "{frameskip: 1, repeat_action_probability: 0.0}", {}, ""),
        ("ALE/Pong-v5", "{frameskip: 1, full_action_space: true}", {"sticky": None, "full_actions": True}, ""),
        ("PongDeterministic-v4", "{}", {}, "a number of frames of its own"),
        ("Pong-v4", "{}", {}, "a number of frames of its own"),
        ("", "{}", {}, ""),
    ],
)
def test_the_environment_below_the_wrapper_counts(tmp_path, heard, env, kwargs, found, remark):
    beside(tmp_path, args=f"env: '{env}'", kwargs=kwargs)
    whole = {"noops": 30, "sticky": 0.0, "fire_reset": True, "stack": 4} | found
    assert taken(tmp_path) == {name: value for name, value in whole.items() if value is not None}
    warned = [record.getMessage() for record in heard.records if record.levelno > logging.INFO]
    assert [remark in line for line in warned] == ([True] if remark else [])


def test_statistics_that_the_agent_did_not_use_are_left_alone(tmp_path):
    beside(tmp_path)
    (tmp_path / "vecnormalize.pkl").write_bytes(b"of another agent")
    assert taken(tmp_path)["normalize"] is False
    assert "normalize" not in taken(tmp_path, now={**NOW, "policy.normalize": "mine.pkl"})
    beside(tmp_path, CONFIG + "  - - normalize\n    - true\n")
    assert "normalize" not in taken(tmp_path)


@pytest.mark.parametrize(
    ("config", "remark"),
    [
        ("normalize: true", "observations were scaled, but no vecnormalize.pkl"),
        (f"env_wrapper: [{ATARI}, my.Wrapper]", "the wrapper my.Wrapper is not known here"),
        (f"env_wrapper: [{ATARI}: {{screen_size: 64}}]", "screens of 64 pixels"),
        ("policy: CnnPolicy", "no wrapper is named"),
    ],
)
def test_what_cannot_be_had_is_warned_of(tmp_path, heard, config, remark):
    beside(tmp_path, config)
    taken(tmp_path)
    assert any(remark in each.getMessage() for each in heard.records if each.levelno == logging.WARNING)


def test_an_agent_without_files_is_warned_of_unless_its_environment_was_said(tmp_path, heard):
    assert taken(tmp_path) == {}
    assert "no config.yml beside it" in heard.text
    assert "domain.environment.sticky=0 domain.environment.noops=30 domain.environment.fire_reset=true" in heard.text
    heard.clear()
    assert taken(tmp_path, ("domain.environment.noops",)) == taken(tmp_path, settings=False) == {}
    assert not heard.text


def test_another_domain_is_left_as_it_is(tmp_path, heard):
    beside(tmp_path)
    assert taken(tmp_path, now={"policy.stack": None, "domain.environment.frame_skip": 5}) == {}
    assert not heard.text


def test_a_named_file_counts_wherever_it_lies(tmp_path):
    (tmp_path / "b").mkdir()
    file = beside(tmp_path / "b").rename(tmp_path / "b" / "hyper.yml")
    assert taken(tmp_path, settings=str(file))["fire_reset"] is True
    with pytest.raises(InvalidInput, match=r"no settings .*gone\.yml.*policy\.settings="):
        taken(tmp_path, settings=tmp_path / "gone.yml")


@pytest.mark.parametrize("bad", ["noop_max: many", "noop_max: -1", "frame_skip: 1.5", "terminal_on_life_loss: 1"])
def test_options_that_are_none_are_named(tmp_path, bad):
    beside(tmp_path, f"env_wrapper: [{ATARI}: {{{bad}}}]")
    with pytest.raises(
        InvalidInput, match=rf"config\.yml: AtariWrapper's {bad.split(':')[0]} .*policy\.settings=false"
    ):
        taken(tmp_path)
