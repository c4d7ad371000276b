"""Names of environments and episodes, and actions as texts."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.domains.atari import ACTIONS, ROMS
from pipeline.formats.image_text.names import environment_name, episode_name, randomness, title
from pipeline.formats.image_text.words import ActionTexts

SAMPLE_FACTORY = """
alien amidar assault asterix asteroid atlantis bankheist battlezone beamrider berzerk bowling boxing breakout
centipede choppercommand crazyclimber defender demonattack doubledunk enduro fishingderby freeway frostbite gopher
gravitar hero icehockey jamesbond kangaroo kongfumaster krull montezuma mspacman namethisgame phoenix pitfall pong
privateye qbert riverraid roadrunner robotank seaquest skiing solaris spaceinvaders stargunner surround tennis
timepilot tutankham upndown venture videopinball wizardofwor yarsrevenge zaxxon
"""


def named(domain: str, task: str) -> tuple[str, str]:
    data = SimpleNamespace(domain=domain, task=task, provenance={"parameters": {}})
    return environment_name(data), title(data, environment_name(data))


def test_every_game_is_spelt_as_sample_factory_spells_it():
    only_dqn_replay = {"airraid", "carnival", "elevatoraction", "journeyescape", "pooyan"}
    names = {named("atari", game)[0] for game in ROMS if game not in only_dqn_replay}
    assert names == {f"atari_{game}" for game in SAMPLE_FACTORY.split()}


@pytest.mark.parametrize(
    ("domain", "task", "name", "sentence"),
    [
        ("atari", "mspacman", "atari_mspacman", "Atari Mspacman"),
        ("atari", "montezumarevenge", "atari_montezuma", "Atari Montezuma"),
        ("metaworld", "button-press-wall", "metaworld_button-press-wall", "Metaworld Button Press Wall"),
        ("dmc", "ball_in_cup-catch", "dmc_ball_in_cup-catch", "Dmc Ball In Cup Catch"),
        ("gym", "ALE/Pong-v5", "gym_ALE-Pong-v5", "Gym ALE Pong V5"),
        ("gym", "../etc/x", "gym_..-etc-x", "Gym Etc X"),
    ],
)
def test_a_task_has_a_name_without_slashes_and_a_title(domain: str, task: str, name: str, sentence: str):
    assert named(domain, task) == (name, sentence)


def test_the_number_of_an_episode_may_have_more_than_three_digits():
    assert episode_name(7, 0.2) == "episode_007_rand0.2"
    assert episode_name(12345, 1e-5) == "episode_12345_rand0.00001"


@pytest.mark.parametrize(
    ("policy", "chance"),
    [
        ({"name": "random"}, 1.0),
        ({"name": "random", "randomness": 0.2}, 1.0),
        ({"name": "scripted", "randomness": 0.2}, 0.2),
        ({"name": "scripted"}, 0.0),
    ],
)
def test_every_action_of_the_random_policy_is_random(policy: dict[str, object], chance: float):
    assert randomness({"policy": policy}) == chance


def test_discrete_actions_go_by_name_and_a_number_beyond_them_is_unknown():
    texts = ActionTexts({"environment": {"actions": ["NOOP", "DOWNRIGHT"]}})
    assert texts.clean(np.array([1, 0, 2, -1])).to_pylist() == ["DOWNRIGHT", "NOOP", "UNKNOWN", "UNKNOWN"]
    assert texts.raw(np.array([[1], [7]], np.uint8)).to_pylist() == ["1: DOWNRIGHT", "7: UNKNOWN"]
    whole = ActionTexts({"environment": {"actions": list(ACTIONS)}})
    assert whole.raw(np.array([8])).to_pylist() == ["8: DOWNRIGHT"]


@pytest.mark.parametrize(
    ("actions", "texts"),
    [
        (np.array([3, -1]), ["3", "-1"]),
        (np.array([True, False]), ["1", "0"]),
        (np.array([[3, 0]], np.int8), ["[3, 0]"]),
        (np.float32([[0.1, -0.0, 1]]), ["[0.1, 0, 1]"]),
        (np.array([[1 / 3, 123456.0, 5e-5]]), ["[0.3333, 1.235e+05, 5e-05]"]),
        (np.array([0.25]), ["0.25"]),
        (np.array([[[1.5], [-2.0]]]), ["[[1.5], [-2]]"]),
        (np.array([[np.inf, np.nan]]), ["[inf, nan]"]),
        (np.zeros((2, 0), np.float32), ["[]", "[]"]),
    ],
)
def test_actions_without_names_are_printed(actions: np.ndarray, texts: list[str]):
    for way in (ActionTexts({}).clean, ActionTexts({}).raw):
        assert way(actions).to_pylist() == texts
