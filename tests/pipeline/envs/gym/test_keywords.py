import gymnasium
import pytest

from pipeline.envs.gym.keywords import keywords_of
from pipeline.envs.gym.make import EnvironmentRecipe
from pipeline.errors import InvalidInput
from tests.pipeline.envs.gym_envs import Plain


class Threshold(Plain):
    """Its own argument has the name of one that a registration takes."""

    def __init__(self, reward_threshold=1, render_mode=None, **others):
        super().__init__()
        self.reward_threshold, self.others = reward_threshold, others


class Open(Plain):
    """Takes any argument."""

    def __init__(self, render_mode=None, **others):
        super().__init__()


def recipe(entry, **kwargs):
    return EnvironmentRecipe("Own-v0", f"{__name__}:{entry}", kwargs=kwargs)


def test_what_only_a_registration_takes_is_set_on_a_copy_of_it():
    kwargs = {"max_episode_steps": 1000, "reward_threshold": 200, "order_enforce": False, "nondeterministic": True}
    recipe = EnvironmentRecipe("CartPole-v1", kwargs={**kwargs, "sutton_barto_reward": True})
    spec = recipe.make().env.spec
    assert (spec.max_episode_steps, spec.reward_threshold, spec.nondeterministic) == (1000, 200, True)
    assert not spec.order_enforce
    assert gymnasium.spec("CartPole-v1").reward_threshold == 475.0
    identity = recipe.identity()
    assert identity["kwargs"] == {"sutton_barto_reward": True}
    assert identity["registration"] == {"reward_threshold": 200, "order_enforce": False, "nondeterministic": True}
    assert identity["max_steps"] == 1000


def test_an_environment_without_such_keywords_is_what_it_was():
    assert "registration" not in EnvironmentRecipe("CartPole-v1").identity()
    unchecked = EnvironmentRecipe("CartPole-v1", kwargs={"disable_env_checker": True})
    assert unchecked.identity() == EnvironmentRecipe("CartPole-v1").identity()
    checked = EnvironmentRecipe("CartPole-v1", kwargs={"disable_env_checker": False}).make().env
    assert "PassiveEnvChecker" in str(checked)


def test_an_argument_that_a_constructor_lists_is_its_own():
    made = recipe("Threshold", reward_threshold=7, order_enforce=False, anything="else").make().env
    assert made.unwrapped.reward_threshold == 7
    assert made.unwrapped.others == {"anything": "else"}
    assert made.spec.reward_threshold is None
    assert not made.spec.order_enforce
    assert recipe("Threshold", reward_threshold=7).identity()["kwargs"] == {"reward_threshold": 7}


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"id": "Other-v0"}, r"env_kwargs\.id is no argument.*domain\.env_id=ID"),
        ({"entry_point": "a:B"}, r"domain\.entry_point=module:Class"),
        ({"vector_entry_point": "a:B"}, "one by one"),
        ({"additional_wrappers": []}, r"domain\.entry_point=module:function"),
        ({"kwargs": {"a": 1}}, "stand in domain.env_kwargs themselves"),
        ({"frame_stack": 4}, r"policy\.stack=N"),
        ({"env_wrapper": "a.B"}, "builder of environments"),
        ({"reward_threshold": "200"}, "must be a number"),
        ({"order_enforce": 1}, "must be true or false"),
        ({"disable_env_checker": "no"}, "must be true or false"),
    ],
)
def test_what_no_environment_takes_is_refused_by_its_name(kwargs, message):
    with pytest.raises(InvalidInput, match=message):
        recipe("Open", **kwargs).make()
    assert keywords_of(kwargs, kwargs).constructor == kwargs
