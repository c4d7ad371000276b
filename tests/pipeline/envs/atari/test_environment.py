"""Atari against ale-py's vector environment, Gymnasium's preprocessing and plain loops over a fresh emulator."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import ale_py
import cv2
import gymnasium
import numpy as np
import pytest
import yaml
from ale_py.vector_env import AtariVectorEnv
from gymnasium.wrappers import AtariPreprocessing

from pipeline.domains.atari import ACTIONS, ROMS, minimal_actions
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.atari.environment import Atari
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, UnknownName
from pipeline.policies.random import Random
from pipeline.rollout.rollout import rollout
from tests.contracts.environment import EnvironmentContract, play

REPOSITORY = Path(__file__).parents[4]
CONF = yaml.safe_load((REPOSITORY / "conf" / "domain" / "atari.yaml").read_text())
SEED = 11


class TestPong(EnvironmentContract):
    """Its screen stands still for the first second."""

    def factory(self):
        return partial(Atari, task="pong", max_steps=12, noops=120)


def camel(rom: str) -> str:
    return "".join(part.capitalize() for part in rom.split("_"))


def console_seed(seed: int) -> int:
    """What Gymnasium's environment, and ours, give the emulator for a seed."""
    return int(np.random.SeedSequence(seed).generate_state(2)[1].astype(np.int32))


def small(grey: np.ndarray) -> np.ndarray:
    return cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA)


def fresh_emulator(task: str, sticky: float, seed: int) -> Any:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    emulator = ale_py.ALEInterface()
    emulator.setFloat("repeat_action_probability", sticky)
    emulator.setInt("random_seed", console_seed(seed))
    emulator.loadROM(ale_py.roms.get_rom_path(ROMS[task]))
    emulator.reset_game()
    return emulator


def seed_for_vectors() -> int:
    """The vector environment takes the emulator's seed itself, and only one that is not negative."""
    return next(seed for seed in range(SEED, SEED + 100) if console_seed(seed) >= 0)


@pytest.mark.parametrize(
    ("task", "sticky"),
    [("pong", 0.25), ("breakout", 0.0), ("spaceinvaders", 0.25), ("bankheist", 0.0), ("pooyan", 0.25)],
)
def test_every_step_but_the_last_is_that_of_the_vector_environment(task: str, sticky: float):
    environment, seed = Atari(task, sticky=sticky, max_steps=200), seed_for_vectors()
    play(environment, SEED + 1, limit=3)  # the object is used, the vector's is fresh
    episode = play(environment, seed)
    vector = AtariVectorEnv(
        ROMS[task],
        num_envs=1,
        num_threads=1,
        stack_num=1,
        noop_max=0,
        use_fire_reset=False,
        reward_clipping=False,
        repeat_action_probability=sticky,
    )
    first, _ = vector.reset(seed=np.array([console_seed(seed)]))
    np.testing.assert_array_equal(episode.steps["observation"][0], first[0, 0])
    for step, action in enumerate(episode.steps["action"][:-1]):
        observation, reward, terminated, _, info = vector.step(action[None])
        assert reward[0] == episode.steps["reward"][step]
        assert info["lives"][0] == episode.steps["info/lives"][step]
        assert terminated[0] == (episode.terminated and step == episode.length - 1)
        if not terminated[0]:
            np.testing.assert_array_equal(observation[0, 0], episode.steps["observation"][step + 1])
    vector.close()


@pytest.mark.parametrize("task", ["breakout", "airraid", "berzerk", "doubledunk"])
def test_an_episode_is_that_of_gymnasium_for_the_same_seed(task: str):
    environment = Atari(task, noops=30, max_steps=120)
    play(environment, SEED + 1, limit=20)  # the object is used, Gymnasium's is fresh
    episode = play(environment, SEED)
    single = gymnasium.make(f"ALE/{camel(ROMS[task])}-v5", frameskip=1, repeat_action_probability=0.25)
    single = AtariPreprocessing(single, noop_max=30, frame_skip=4, screen_size=84)
    observation, _ = single.reset(seed=SEED)
    np.testing.assert_array_equal(observation, episode.steps["observation"][0])
    for step, action in enumerate(episode.steps["action"][:-1]):
        observation, reward, terminated, _, info = single.step(int(action))
        assert reward == episode.steps["reward"][step]
        assert info["lives"] == episode.steps["info/lives"][step]
        assert terminated == (episode.terminated and step == episode.length - 1)
        if not terminated:
            np.testing.assert_array_equal(observation, episode.steps["observation"][step + 1])
    single.close()


@pytest.fixture(scope="module", params=["breakout", "assault"])
def finished(request: pytest.FixtureRequest) -> tuple[Atari, Episode]:
    """A game that was played to its end, which takes more than one life, in an object that was used before."""
    environment = Atari(request.param)
    play(environment, SEED + 1, limit=50)
    episode = play(environment, SEED)
    assert episode.end_reason == "terminated"
    return environment, episode


def test_the_last_observation_is_the_true_last_screen(finished: tuple[Atari, Episode]):
    environment, episode = finished
    emulator = fresh_emulator(environment._task, 0.25, SEED)
    table = emulator.getMinimalActionSet()
    for action in episode.steps["action"][:-1].tolist():
        assert not emulator.game_over()
        for _ in range(4):
            emulator.act(table[action])
    assert emulator.game_over()
    np.testing.assert_array_equal(episode.steps["observation"][-1], small(emulator.getScreenGrayscale()))
    np.testing.assert_array_equal(environment.render(), emulator.getScreenRGB())


def test_a_lost_life_ends_nothing(finished: tuple[Atari, Episode]):
    _, episode = finished
    lives = episode.steps["info/lives"][:-1]
    assert len(np.unique(lives)) > 2
    assert lives[-1] == 0
    assert episode.steps["discount"][:-1].tolist() == [1.0] * (episode.length - 1) + [0.0]


def test_rewards_are_scores_and_their_signs_are_kept_beside():
    episode = play(Atari("assault"), SEED, limit=150)
    assert episode.steps["reward"].max() > 1
    np.testing.assert_array_equal(episode.steps["info/clipped_reward"], np.sign(episode.steps["reward"]))
    assert episode.success == -1


def test_the_time_limit_truncates_a_game_that_goes_on():
    episode = play(Atari("pong", max_steps=7), SEED)
    assert (episode.length, episode.truncated, episode.terminated) == (7, True, False)
    assert episode.end_reason == "time_limit"
    assert episode.steps["discount"][:-1].all()


def test_sticky_actions_follow_the_seed():
    environments = {sticky: Atari("breakout", sticky=sticky) for sticky in (0.0, 0.25)}

    def screens(sticky: float, seed: int) -> bytes:
        episode = rollout(environments[sticky], Random(), seed, np.random.default_rng(0), limit=40)
        return episode.steps["observation"].tobytes()

    assert screens(0.25, 1) == screens(0.25, 1)
    assert len({screens(0.25, seed) for seed in range(4)}) == 4
    assert screens(0.0, 1) == screens(0.0, 2) != screens(0.25, 1)


def test_an_episode_begins_after_frames_without_action_that_the_seed_decides():
    emulator, shown = fresh_emulator("riverraid", 0.25, SEED), []
    for _ in range(30):
        emulator.act(0)
        shown.append(small(emulator.getScreenGrayscale()).tobytes())
    environment = Atari("riverraid", noops=30)
    firsts = {environment.reset(seed).tobytes() for seed in range(20)}
    assert firsts <= set(shown)
    assert len(firsts) > 10


@pytest.mark.parametrize("task", ROMS)
def test_every_game_is_played_with_its_own_actions(task: str):
    environment = Atari(task)
    episode = play(environment, SEED, limit=5)
    assert episode.steps["observation"].shape == (6, 84, 84)
    assert environment.render().shape[1:] == (160, 3)
    emulator = environment._console._ale  # a second one would double the time of this test
    np.testing.assert_array_equal(environment._console.screens.alone(), small(emulator.getScreenGrayscale()))
    if sys.platform == "linux":  # elsewhere the emulator may write its state in another way
        assert (environment._console._loaded is None) == (task == "doubledunk")  # the slow way to begin an episode
    table = tuple(action.value for action in emulator.getMinimalActionSet())
    assert minimal_actions(task) == table
    assert environment.action_spec.high == len(table) - 1
    assert environment.identity()["actions"] == [ale_py.Action(number).name for number in table]


def test_the_full_action_set_has_the_emulators_order():
    assert list(ale_py.Action.__members__)[:18] == list(ACTIONS)
    few, all18 = Atari("kungfumaster"), Atari("kungfumaster", full_actions=True)
    assert all18.identity()["actions"] == list(ACTIONS)
    few.reset(SEED), all18.reset(SEED)
    for number, full in enumerate(minimal_actions("kungfumaster")):
        there = all18.step(np.asarray(full)).observation
        np.testing.assert_array_equal(few.step(np.asarray(number)).observation, there)


def test_without_max_pool_an_observation_is_the_last_screen_alone():
    environment = Atari("pong", max_pool=False, frame_skip=3)
    environment.reset(SEED)
    emulator = fresh_emulator("pong", 0.25, SEED)
    for _ in range(5):
        observation = environment.step(np.asarray(2)).observation
        for _ in range(3):
            emulator.act(emulator.getMinimalActionSet()[2])
    np.testing.assert_array_equal(observation, small(emulator.getScreenGrayscale()))


def test_the_identity_holds_all_that_changes_an_episode():
    identity = Atari("pong", max_steps=9, frame_skip=2, sticky=0.5, noops=3).identity()
    assert (identity["max_steps"], identity["frame_skip"], identity["sticky"], identity["noops"]) == (9, 2, 0.5, 3)
    assert set(identity["versions"]) == {"ale-py"}
    assert identity["observation"] == {"pixels": "grey", "size": [84, 84], "resize": "area", "max_pool": True}
    assert identity["rom_md5"] == ale_py.roms._get_expected_bin_hashes()["pong.bin"]
    assert identity["actions"] == ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE"]


def domain() -> Domain:
    options = {key: value for key, value in CONF.items() if not key.startswith(("_", "defaults"))}
    regent = {key: value for key, value in CONF["regent"].items() if key != "_target_"}
    return Domain(**{**options, "environment": Atari, "regent": Regent(**regent)})


def test_the_configuration_names_every_game():
    assert tuple(CONF["tasks"]) == tuple(ROMS)
    assert len(CONF["tasks"]) == len(set(CONF["tasks"])) == 62
    jat, dqn_replay = set(CONF["tasks"][:57]), set(CONF["tasks"]) - {"defender", "surround"}
    assert len(dqn_replay) == 60
    assert len(jat - set(CONF["unseen"])) == 52
    options = {key: value for key, value in CONF["environment"].items() if not key.startswith("_")}
    assert Atari("pong", **{**options, "max_steps": CONF["max_steps"]}).identity() == Atari("pong").identity()


def test_every_spelling_of_every_game_is_understood():
    atari, registered = domain(), gymnasium.registry
    for task, rom in ROMS.items():
        assert f"ALE/{camel(rom)}-v5" in registered
        kebab = rom.replace("_", "-")
        for spelling in (
            *(task, rom, kebab, camel(rom), task.upper(), f"atari-{task}", f"atari_{task}", f"atari-{kebab}"),
            *(f"ALE/{camel(rom)}-v5", f"{camel(rom)}-v5", f"{camel(rom)}-v4", f"{camel(rom)}-v0"),
            *(f"{camel(rom)}NoFrameskip-v4", f"{camel(rom)}Deterministic-v4"),
        ):
            assert atari.task(spelling) == task
    with pytest.raises(UnknownName, match="breakout"):
        atari.task("brekaout")


def test_sample_factorys_irregular_names_are_understood():
    atari = domain()
    for name, task in {
        **{"asteroid": "asteroids", "kongfumaster": "kungfumaster", "montezuma": "montezumarevenge"},
        **{"privateye": "privateeye", "hero": "hero", "upndown": "upndown", "mspacman": "mspacman"},
    }.items():
        assert atari.task(f"atari_{name}") == atari.task(name) == task
    assert set(atari.aliases.values()) <= set(atari.tasks)
    assert not set(atari.aliases) & set(atari.tasks)


def sweep(name: str) -> list[str]:
    written = yaml.safe_load((REPOSITORY / "conf" / "sweep" / f"{name}.yaml").read_text())
    return written["hydra"]["sweeper"]["params"]["task"].split(",")


def test_the_sweeps_agree_with_the_games():
    assert sweep("atari57") == list(ROMS)[:57]
    assert sweep("atari5_unseen") == CONF["unseen"]
    left_out = {
        *("airraid", "asteroids", "berzerk", "bowling", "elevatoraction", "journeyescape", "montezumarevenge"),
        *("pitfall", "privateeye", "skiing", "solaris", "tennis", "tutankham", "venture"),
    }
    assert sweep("atari46") == [task for task in ROMS if task not in {*left_out, "defender", "surround"}]


def test_an_unknown_game_lists_the_nearest():
    with pytest.raises(UnknownName, match="bankheist"):
        Atari("bankhiest")


def test_a_game_whose_rom_is_missing_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ROMS, "newgame", "new_game")
    with pytest.raises(InvalidInput, match=r"without the game newgame.*pip install"):
        Atari("newgame").reset(SEED)


def test_a_missing_emulator_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    for use in (lambda: Atari("pong").reset(SEED), lambda: Atari("pong").identity()):
        with pytest.raises(InvalidInput, match=r"ale-py is not installed.*pip install"):
            use()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 0}, "max_steps"),
        ({"frame_skip": 0, "max_pool": False}, "frame_skip"),
        ({"frame_skip": 1}, "max_pool"),
        ({"sticky": 1.5}, "0 to 1"),
        ({"noops": -1}, "noops"),
    ],
)
def test_an_impossible_option_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(InvalidInput, match=message):
        Atari("pong", **options)


@pytest.mark.parametrize("action", [-1, 6])
def test_an_action_outside_the_set_is_refused(action: int):
    environment = Atari("pong")
    environment.reset(SEED)
    with pytest.raises(InvalidInput, match="0 to 5"):
        environment.step(np.asarray(action))


def test_there_is_no_expert_and_the_message_says_what_to_use():
    with pytest.raises(InvalidInput, match="policy=random"):
        Atari("pong").expert()


def test_there_is_nothing_to_draw_before_the_first_reset():
    with pytest.raises(RuntimeError, match="reset"):
        Atari("pong").render()


def test_the_module_loads_no_native_code_the_game_needs_no_opencv_and_the_emulator_greets_nobody():
    script = """
import sys
sys.modules["cv2"] = None
from pipeline.envs.atari.environment import Atari
environment = Atari("pong")
environment.identity()
assert not {"ale_py", "gymnasium", "numba"} & set(sys.modules)
environment.reset(1)
environment.step(0)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
