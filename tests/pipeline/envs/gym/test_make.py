"""What is said about an environment that cannot be found or made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import pytest

from pipeline.digest import digest_file
from pipeline.domains.domain import Regent
from pipeline.envs.gym.domain import gym_domain
from pipeline.envs.gym.make import EnvironmentRecipe
from pipeline.envs.gym.names import task_of_id
from pipeline.envs.gym.versions import environment_versions, version_of
from pipeline.errors import InvalidInput, UnknownName

HERE = "tests.pipeline.envs.gym_envs"


@pytest.mark.parametrize(
    ("env_id", "name"),
    [
        ("CartPole-v1", "cartpole-v1"),
        ("ALE/Pong-v5", "ale-pong-v5"),
        ("my_package:MyEnv-v0", "myenv-v0"),
        ("Pong", "pong"),
    ],
)
def test_a_task_is_the_slug_of_its_id(env_id, name):
    assert task_of_id(env_id) == name


@pytest.mark.parametrize("env_id", [None, "", "--"])
def test_without_an_id_there_is_no_task(env_id):
    with pytest.raises(InvalidInput, match="domain.env_id=CartPole-v1"):
        task_of_id(env_id)


def domain(env_id: str | None, **settings: Any) -> Any:
    given = {
        "name": "gym", "entry_point": None, "packages": [], "env_kwargs": {}, "display_name": None, "max_steps": None,
        "fresh": False, "mission": "mission", "rounding": False, "episodes": 10, "regent": Regent(8, 5, 20, 100),
    }  # fmt: skip
    return gym_domain(env_id=env_id, **(given | settings))


def test_a_domain_knows_its_task_by_the_id_and_by_the_slug():
    made = domain("ALE/Pong-v5", display_name="Table tennis")
    assert list(made.tasks) == ["ale-pong-v5"]
    assert {made.task(name) for name in ("ALE/Pong-v5", "ale-pong-v5", "gym-ale-pong-v5")} == {"ale-pong-v5"}
    assert domain("my_package:MyEnv-v0").task("my_package:MyEnv-v0") == "myenv-v0"
    assert made.display_name == "Table tennis"
    with pytest.raises(UnknownName, match="ale-pong-v5"):
        made.task("breakout")


def test_a_domain_without_an_id_is_built_and_asks_for_one_when_a_task_is_wanted():
    unnamed = domain(None)
    for ask in (lambda: list(unnamed.tasks), lambda: unnamed.task("x"), lambda: unnamed.environment(task="x")):
        with pytest.raises(InvalidInput, match="domain.env_id=CartPole-v1"):
            ask()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"env_id": "CartPol-v1"}, "Nearest: CartPole-v1"),
        ({"env_id": "CartPole-v7"}, "Nearest: .*CartPole-v1"),
        ({"env_id": "Nowhere/Thing-v0"}, "domain.packages="),
        ({"env_id": "X-v0", "packages": ["no_such_package"]}, "no module no_such_package.*PYTHONPATH"),
        ({"env_id": "X-v0", "packages": ["json.nothing"]}, "no module json.nothing"),
        ({"env_id": "no_such_package:X-v0"}, "no module no_such_package"),
        ({"env_id": "X-v0", "entry_point": "no_such_module:X"}, "no module no_such_module"),
        ({"env_id": "X-v0", "entry_point": f"{HERE}:Nestd"}, "Nested"),
        ({"env_id": "X-v0", "entry_point": HERE}, "module:Class"),
        ({"env_id": "CartPole-v1", "entry_point": f"{HERE}:Nested"}, "is registered with the entry point"),
        ({"env_id": "a b!-v0", "entry_point": f"{HERE}:Nested"}, "cannot be an id"),
        ({"env_id": "X-v0", "entry_point": "builtins:dict"}, "must inherit from the gymnasium.Env"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_to_do(settings, words):
    with pytest.raises(InvalidInput, match=words):
        EnvironmentRecipe(**settings).make()


def test_a_package_that_needs_another_one_names_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "broken_inside.py").write_text("1 / 0\n")
    with pytest.raises(InvalidInput, match="needs not_installed_anywhere"):
        EnvironmentRecipe("X-v0", packages=["needs_more"]).make()
    with pytest.raises(InvalidInput, match="broken_inside.*ZeroDivisionError"):
        EnvironmentRecipe("X-v0", packages="broken_inside").make()


def test_a_package_without_a_version_is_known_by_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "registers_itself.py"
    file.write_text(
        "import gymnasium\n"
        "from gymnasium.envs.classic_control import CartPoleEnv\n"
        "class Pole(CartPoleEnv): pass\n"
        "gymnasium.register('Pole-v0', 'registers_itself:Pole', max_episode_steps=9)\n"
    )
    try:
        found = EnvironmentRecipe("registers_itself:Pole-v0").identity()
        assert found["source"] == digest_file(file)
        assert found["packages"] == {"registers_itself": None}
        assert (found["id"], found["max_steps"]) == ("Pole-v0", 9)
    finally:
        gymnasium.registry.pop("Pole-v0", None)


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("Picky", {"colr": "red"}, "no argument of Picky-v0 named colr.*colour, max_episode_steps, number"),
        ("Picky", {"number": 3, "colour": "blue"}, r"refuses number=3 of .*the number must be even"),
        ("Takes", {"good": 1, "bad": 2}, "refuses bad=2 .*not like this"),
        ("Takes", {}, r"could not be made .*not like this.*gym_envs.py, line"),
        ("Answers", {}, "missing 3 required positional arguments"),
        ("Picky", {"number": {1}}, "plain values"),
        ("Picky", {"max_episode_steps": 0}, "at least 1"),
        ("Picky", {"max_episode_steps": "many"}, "at least 1"),
    ],
)
def test_arguments_that_are_refused_are_named_with_the_environments_own_words(name, kwargs, words):
    with pytest.raises(InvalidInput, match=words):
        EnvironmentRecipe(f"{name}-v0", f"{HERE}:{name}", kwargs=kwargs).make()


def test_two_time_limits_are_one_too_many():
    assert EnvironmentRecipe("CartPole-v1", kwargs={"max_episode_steps": 5}, max_steps=5).identity()["max_steps"] == 5
    with pytest.raises(InvalidInput, match="two time limits"):
        EnvironmentRecipe("CartPole-v1", kwargs={"max_episode_steps": 5}, max_steps=6)


def test_a_registered_environment_keeps_its_limit_when_its_entry_point_is_named_too():
    gymnasium.register("Twice-v0", f"{HERE}:Plain", max_episode_steps=33)
    try:
        assert EnvironmentRecipe("Twice-v0", f"{HERE}:Plain").identity()["max_steps"] == 33
    finally:
        del gymnasium.registry["Twice-v0"]


def test_making_an_environment_leaves_the_arguments_alone():
    kwargs = {"size": 4, "max_episode_steps": 3, "render_mode": None}
    EnvironmentRecipe("Nested-v0", f"{HERE}:Nested", kwargs=kwargs).make()
    assert kwargs == {"size": 4, "max_episode_steps": 3, "render_mode": None}


def test_versions_are_those_of_the_packages_that_the_classes_come_from():
    assert version_of("gymnasium.envs.classic_control") == gymnasium.__version__
    assert version_of("json") is None
    assert version_of("no_such_package") is None
    assert version_of("PIL.Image")  # its distribution has another name
    assert environment_versions(gymnasium.make("CartPole-v1")) == {"gymnasium": gymnasium.__version__}
