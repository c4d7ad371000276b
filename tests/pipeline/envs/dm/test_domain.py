"""The domain of the control suite: its tasks, or the one task of an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from pipeline.domains.domain import Domain
from pipeline.errors import InvalidInput, UnknownName

HILL = "domain.entry_point=tests.pipeline.envs.hills:hill_of"


def domain(*words: str) -> Domain:
    """As `run.py` builds it from these words."""
    with initialize_config_dir(str(Path(__file__).parents[4] / "conf"), version_base="1.3"):
        built: Domain = instantiate(compose("config", ["domain=dmc", *words]).domain, _convert_="object")
    return built


@pytest.mark.parametrize(
    "name",
    [
        *("dm_control/cartpole-swingup-v0", "dmc_cartpole_swingup", "Cartpole-Swingup", "dm_control-cartpole-swingup"),
        *("cartpoleswingup", "DMC-cartpole_swingup"),
    ],
)
def test_other_spellings_of_a_task_are_understood(name):
    assert domain().task(name) == "cartpole-swingup"


def test_odd_names_are_understood():
    assert domain().task("dmc_cup_catch") == "ball_in_cup-catch"
    assert domain().task("dm_control/humanoid-CMU-stand-v0") == "humanoid_CMU-stand"
    with pytest.raises(UnknownName, match="cartpole-swingup"):
        domain().task("cartpole-swingupp")


def test_a_name_that_is_like_none_of_the_suites_is_another_environments_task():
    built = domain("task=Catch")
    assert built.task("Catch") == "catch"
    assert built.tasks == [*domain().tasks, "catch"]
    assert domain("task=[catch,walker-walk,deep_sea]").tasks == [*domain().tasks, "catch", "deep-sea"]
    assert domain("task=all").tasks == domain().tasks
    for name in ("cartpole-swngup", "walker", "dmc_cup_catch", "-"):
        assert domain(f"task='{name}'").tasks == domain().tasks
    with pytest.raises(UnknownName, match="suite named catch"):
        built.environment(task="catch").reset(0)


def test_every_spelling_stands_for_one_task():
    built = domain()
    assert [built.task(task) for task in built.tasks] == list(built.tasks)
    assert [built.task(f"dmc_{task.replace('-', '_')}") for task in built.tasks] == list(built.tasks)


def test_an_entry_point_is_a_task_called_by_its_slug_or_as_asked():
    assert domain(HILL).tasks == ["hill-of"]
    assert domain(HILL, "task=all").tasks == ["hill-of"]
    built = domain(HILL, "task=Steep_Hill")
    assert built.tasks == ["steep-hill"]
    assert built.task("Steep_Hill") == "steep-hill"


def test_its_arguments_arrive_as_yaml_has_them():
    built = domain(HILL, "domain.seed_argument=number", "+domain.env_kwargs={steep: 2.5}", "domain.max_steps=4")
    facts = built.environment(task="hill-of").identity()
    assert (facts["kwargs"], facts["seed_argument"], facts["max_steps"]) == ({"steep": 2.5}, "number", 4)
    built = domain("domain.entry_point=tests.pipeline.envs.hills:any_hill", "domain.seed_argument=false")
    assert built.environment(task="any-hill").identity()["seed_argument"] is None
    nested = domain(HILL, "domain.seed_argument=number", "+domain.env_kwargs={steep: {a: [1, 2]}}")
    assert type(nested.environment(task="hill-of").identity()["kwargs"]["steep"]) is dict


def test_arguments_without_an_entry_point_are_refused():
    built = domain("+domain.env_kwargs={steep: 2.5}")
    with pytest.raises(InvalidInput, match=r"domain\.entry_point=module:Class"):
        built.environment(task="cartpole-swingup")


@pytest.mark.parametrize("name", ["dmc", "mujoco"])
def test_without_experts_random_actions_are_the_default(name):
    with initialize_config_dir(str(Path(__file__).parents[4] / "conf"), version_base="1.3"):
        assert compose("config", [f"domain={name}"], return_hydra_config=True).hydra.runtime.choices.policy == "random"


def test_camera_and_size_are_part_of_the_picture_alone():
    first, second = (domain(f"domain.camera={c}").environment(task="cartpole-swingup") for c in (0, "lookatcart"))
    assert first.identity() == second.identity()
    assert second.picture_identity() == {"camera": "lookatcart", "height": 240, "width": 320}
