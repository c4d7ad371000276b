"""Environments and experiments that are registered without data, and what their names mean from then on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.domains.domain import Domain, Regent
from pipeline.envs.gym.domain import gym_domain
from pipeline.errors import InvalidInput, UnknownName
from pipeline.formats.blender.entries import enter_experiment
from pipeline.formats.blender.facts import ROWS
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.registered import as_registered
from pipeline.formats.blender.registration import Registration
from pipeline.formats.blender.registry import changing_registry
from pipeline.formats.kabuki import KabukiFormat
from stages import register
from tests.blender_tree import table
from tests.pipeline.envs.gym_envs import Plain

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>'


class Steered(Plain):
    """Takes arguments of its own."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, difficulty: str = "easy", render_mode: str | None = None) -> None:
        self.difficulty, self.render_mode = difficulty, render_mode


class Jointed(Plain):
    """Actions that are a Dict."""

    action_space = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(3)})


def domain(env_id: str = "CartPole-v1", **settings: Any) -> Domain:
    given = {
        "name": "gym", "entry_point": None, "packages": [], "env_kwargs": {}, "display_name": None, "max_steps": None,
        "fresh": False, "mission": "mission", "rounding": False, "episodes": 10, "regent": Regent(8, 5, 20, 100),
    }  # fmt: skip
    return gym_domain(env_id=env_id, **(given | settings))


OWN: dict[str, Any] = {
    "env_id": "Steered-v0",
    "entry_point": f"{__name__}:Steered",
    "env_kwargs": {"max_episode_steps": 1000, "reward_threshold": 200, "difficulty": "hard"},
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "blender"


EXPORTED = {
    "framework": "Random",
    "algorithm": "",
    "seed": 3,
    "layout": ROWS,
    "uncertainty": "ones",
    "env_states": False,
}


def registered(tree: Path, made: Domain, labels: Any = None, images: str | None = None, **settings: Any) -> None:
    form = BlenderFormat(
        **{name: settings.pop(name) for name in ("env_id", "observation") if name in settings},
        registration=Registration(display_name=made.display_name, **settings),
    )
    register.run(
        domain=made, task=made.tasks[0], workspace=Workspace(str(tree.parent / "outputs")), format=form, out=str(tree),
        action_labels=labels, action_images=images,
    )  # fmt: skip


def test_an_environment_is_registered_with_its_spaces(tree, capsys):
    registered(tree, domain())
    registered(tree, domain("Pendulum-v1"))
    assert capsys.readouterr().out == "Action dimensions: 2\nAction dimensions: 1\n"
    pole, pendulum = table(tree, "Environment")
    assert pole["observation_space_info"] == {
        "label": "Box((4,))", "shape": (4,), "dtype": "float32", "labels": {"0": 0, "1": 1, "2": 2, "3": 3},
    }  # fmt: skip
    assert pole["action_space_info"] == {
        "label": "Discrete((2,))", "shape": (2,), "dtype": "int64", "labels": {"0": 0, "1": 1},
    }  # fmt: skip
    assert [*pole["action_space_info"]] == ["label", "shape", "dtype", "labels"]
    assert (pole["gym_entry_point"], pole["additional_gym_packages"], pole["registered"]) == ("", [], 1)
    assert [*pendulum["action_space_info"]] == ["label", "shape", "dtype", "labels", "low", "high"]
    assert (pendulum["action_space_info"]["low"], pendulum["action_space_info"]["high"]) == ([-2.0], [2.0])
    assert table(tree, "Experiment") == []
    assert table(tree, "Project")[0]["project_environments"] == ["CartPole-v1", "Pendulum-v1"]


def test_a_missing_time_limit_is_told_once(tree, caplog):
    caplog.set_level("INFO")
    registered(tree, domain("Steered-v0", entry_point=f"{__name__}:Steered"))
    assert caplog.text.count("has no time limit") == 1


def test_an_environment_of_ones_own_is_registered_so_that_the_server_can_make_it(tree):
    registered(tree, domain(**OWN, display_name="My boat"), experiment="Mine", project="P", description="It drifts.")
    (environment,), (experiment,) = table(tree, "Environment"), table(tree, "Experiment")
    assert environment["env_name"] == "Steered-v0"
    assert (environment["description"], environment["tags"]) == ("My boat. It drifts.", ["My boat"])
    assert environment["gym_entry_point"] == OWN["entry_point"]
    assert experiment["environment_config"] == {
        "env_kwargs": {"difficulty": "hard", "max_episode_steps": 1000},
        "registration": {"reward_threshold": 200},
    }
    assert experiment["checkpoint_list"] == []
    gymnasium.register("Steered-v0", entry_point=environment["gym_entry_point"])
    try:
        kwargs = experiment["environment_config"]["env_kwargs"]
        made = gymnasium.make(experiment["env_id"], render_mode="rgb_array", **kwargs)
        assert made.unwrapped.difficulty == "hard"
        assert made.spec.max_episode_steps == 1000
    finally:
        del gymnasium.registry["Steered-v0"]
    before = (tree / "rlhfblender.db").read_bytes()
    registered(tree, domain(**OWN), experiment="Mine")
    assert (tree / "rlhfblender.db").read_bytes() == before


def test_labels_are_set_again_and_those_that_are_missing_stay_numbers(tree, capsys):
    registered(tree, domain("Acrobot-v1"), ["left"])
    assert table(tree, "Environment")[0]["action_space_info"]["labels"] == {"0": "left", "1": 1, "2": 2}
    registered(tree, domain("Acrobot-v1"), ["left", "none", "it's right"])
    assert table(tree, "Environment")[0]["action_space_info"]["labels"] == {"0": "left", "1": "none", "2": "it's right"}
    assert capsys.readouterr().out.splitlines()[-1] == "Action labels: left, none, it's right"
    for labels, message in (
        (["a", "b", "c", "d"], "has 4 labels, .* 3 actions"),
        (["a", "a"], "two actions"),
        ([" "], "no name"),
    ):
        with pytest.raises(InvalidInput, match=message):
            registered(tree, domain("Acrobot-v1"), labels)


def test_spaces_without_a_row_of_actions_have_no_labels(tree, capsys):
    jointed = domain("Jointed-v0", entry_point=f"{__name__}:Jointed")
    registered(tree, jointed)
    assert capsys.readouterr().out == "Action dimensions: 0\n"
    assert table(tree, "Environment")[0]["action_space_info"]["labels"] == {}
    with pytest.raises(InvalidInput, match="only a row of actions or of numbers can have labels"):
        registered(tree, jointed, ["a"])


def test_pictures_of_actions_are_laid_under_the_names_of_their_labels(tree, tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (4, 3), (1, 2, 3)).save(pictures / "Push left.png")
    (pictures / "push_right.svg").write_text(SVG)
    registered(tree, domain(), ["Push left", "Push right"], str(pictures))
    laid = tree / "data/action_labels/CartPole-v1"
    assert sorted(path.name for path in laid.iterdir()) == ["push_left.png", "push_right.svg"]
    (pictures / "push_right.svg").unlink()
    registered(tree, domain(), None, str(pictures), layout="documented")
    assert np.load(laid / "push_left.npy").tolist() == [[[1, 2, 3]] * 4] * 3
    for name, content, message in (
        ("jump.png", b"", "jump.png of .* belong to no action.*push_left, push_right"),
        ("push_right.png", b"no png", "is no PNG"),
        ("push_right.svg", b"<html/>", "begins with <html>"),
        ("push_right.svg", b"<svg", "is no SVG"),
    ):
        (pictures / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=message):
            registered(tree, domain(), None, str(pictures))
        (pictures / name).unlink()
    with pytest.raises(InvalidInput, match="is no folder"):
        registered(tree, domain(), None, str(tmp_path / "none"))


def test_an_id_with_a_slash_has_its_pictures_where_its_data_lie(tree, tmp_path):
    (tmp_path / "0.svg").write_text(SVG)
    registered(tree, domain(), None, str(tmp_path), env_id="ALE/Pole-v1")
    assert [path.relative_to(tree).as_posix() for path in tree.rglob("0.svg")] == [
        "data/action_labels/ALE-Pole-v1/0.svg"
    ]


def test_a_stage_without_a_tree_says_what_is_missing(tree):
    for form, out, message in (
        (None, "x", "format=rlhf_blender"),
        (KabukiFormat(), "x", "rlhf_blender"),
        (BlenderFormat(), None, "format.out=blender"),
    ):
        with pytest.raises(InvalidInput, match=message):
            register.foresee(format=form, out=out)


UNNAMED = {"domain.env_id": None, "domain.entry_point": None, "domain.packages": [], "domain.env_kwargs": {}}


def test_the_name_of_an_experiment_means_its_environment(tree):
    registered(tree, domain(**OWN, packages=["json"]), experiment="Mine")
    assert as_registered(str(tree), "Mine", UNNAMED, set()) == {
        "domain.env_id": "Steered-v0",
        "domain.entry_point": OWN["entry_point"],
        "domain.packages": ["json"],
        "domain.env_kwargs": OWN["env_kwargs"],
    }
    now = UNNAMED | {"domain.env_id": "here:Steered-v0", "domain.packages": ["math"]}
    assert set(as_registered(str(tree), "Mine", now, {"domain.env_id", "domain.packages"})) == {
        "domain.entry_point",
        "domain.env_kwargs",
    }
    limited = UNNAMED | {"domain.max_steps": 5}
    assert as_registered(str(tree), "Mine", limited, {"domain.max_steps"})["domain.env_kwargs"] == {
        "reward_threshold": 200,
        "difficulty": "hard",
    }
    for key, value in (("domain.env_id", "CartPole-v1"), ("domain.env_kwargs", {"difficulty": "easy"})):
        with pytest.raises(InvalidInput, match="is registered with"):
            as_registered(str(tree), "Mine", UNNAMED | {key: value}, {key})


def test_an_experiment_without_data_takes_over_who_plays_first_and_the_time_limit(tree):
    registered(tree, domain(**OWN | {"env_kwargs": {"difficulty": "hard"}}), experiment="Mine")
    registered(tree, domain(**OWN), experiment="Limited")
    own = {"id": "Steered-v0", "simulator": "gymnasium", "kwargs": {"difficulty": "hard"}, "max_steps": 40}
    with changing_registry(tree) as registry:
        for facts in ({"environment": own, **EXPORTED}, {"environment": own, **EXPORTED, "framework": "Later"}):
            for name in ("Mine", "Limited"):
                enter_experiment(registry, name, facts, Registration())
    mine, limited = table(tree, "Experiment")
    assert (mine["framework"], mine["seed"]) == ("Random", 3)
    assert "Uncertainty of the first checkpoint that was written: ones" in mine["exp_comment"]
    assert mine["environment_config"]["env_kwargs"] == {"difficulty": "hard", "max_episode_steps": 40}
    assert limited["environment_config"]["env_kwargs"]["max_episode_steps"] == 1000
    taken = as_registered(str(tree), "Mine", UNNAMED | {"domain.max_steps": None}, set())
    assert taken["domain.env_kwargs"]["max_episode_steps"] == 40


def test_an_experiment_that_nobody_registered_needs_an_environment(tree):
    registered(tree, domain(), experiment="Mine")
    with (
        user_typed(Typed(("format.experiment=Mien",))),
        pytest.raises(UnknownName, match="named Mien. Known: Mine") as wrong,
    ):
        as_registered(str(tree), "Mien", UNNAMED, set())
    _, nearest, new = str(wrong.value).splitlines()
    assert nearest.endswith("format.experiment=Mine")
    assert "domain.env_id=CartPole-v1" in new
    with pytest.raises(UnknownName, match="Known: none"):
        as_registered(str(tree / "none"), "Mine", UNNAMED, set())
    named = UNNAMED | {"domain.env_id": "CartPole-v1"}
    assert as_registered(str(tree), "New", named, {"domain.env_id"}) == {}
    for out, experiment, now in (
        (None, "Mine", UNNAMED),
        (str(tree), None, UNNAMED),
        (str(tree), "Mine", {}),
        ("gs://a", "M", UNNAMED),
    ):
        assert as_registered(out, experiment, now, set()) == {}


def test_an_environment_that_only_the_tree_knows_is_made_as_it_is_registered(tree):
    registered(tree, domain(**OWN, packages=["json"]))
    registered(tree, domain())
    now = UNNAMED | {"domain.env_id": "Steered-v0"}
    own = {"domain.entry_point": OWN["entry_point"], "domain.packages": ["json"]}
    for experiment in (None, "New"):
        assert as_registered(str(tree), experiment, now, {"domain.env_id"}) == own
    assert as_registered(str(tree), None, now, {"domain.env_id", "domain.entry_point"}) == {}
    assert as_registered(str(tree), None, UNNAMED | {"domain.env_id": "CartPole-v1"}, {"domain.env_id"}) == {}


def test_an_environment_that_is_wrapped_by_the_server_is_registered_but_not_played_bare(tree):
    wrapped = {"frame_stack": 4, "env_wrapper": "a.B", "sutton_barto_reward": True}
    registered(tree, domain(env_kwargs=wrapped), experiment="Mine")
    assert table(tree, "Experiment")[0]["environment_config"] == {
        "env_kwargs": {"sutton_barto_reward": True},
        "frame_stack": 4,
        "env_wrapper": "a.B",
    }
    registered(tree, domain(env_kwargs=wrapped), experiment="Mine")
    with pytest.raises(InvalidInput, match="plays its environment through env_wrapper, frame_stack"):
        as_registered(str(tree), "Mine", UNNAMED, set())
    with pytest.raises(InvalidInput, match=r"frame_stack is for RLHF-Blender's own builder.*policy\.stack"):
        domain(env_kwargs=wrapped).environment(task="cartpole-v1").identity()
