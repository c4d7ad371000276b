"""What is suggested about trees of RLHF-Blender and its registry, each provoked and pasted into a warm shell."""

import sqlite3

import pytest

from tests.test_run import ROOT
from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

PLAYED = ("workers=1", "policy=random", "domain.max_steps=5", "episodes=2")
POLE = ("domain=gym", "domain.env_id=CartPole-v1", "dataset=d-v1")
ACROBOT = ("domain=gym", "domain.env_id=Acrobot-v1", "dataset=d-v1")
OWN = ("domain=gym", "domain.entry_point=my_package.envs:MyEnv", "domain.env_id=MyEnv-v0", "dataset=d-v1")
ENDLESS = ("domain=gym", "domain.env_id=Endless-v0", "domain.entry_point=tests.pipeline.envs.gym_envs:Endless")
EXPORT = ("stage=export", "format=rlhf_blender", "format.out=tree")
REGISTER = ("stage=register", "format=rlhf_blender", "format.out=tree")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside a tree with the experiment `Mine` of two episodes of CartPole, and a dataset of Acrobot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'examples'}")
        shell = WarmShell(tmp_path_factory.mktemp("a b"))
        shell.run("stage=[collect,export]", *EXPORT[1:], *POLE, *PLAYED, "format.experiment=Mine")
        shell.run("stage=collect", *ACROBOT, *PLAYED, "render=true")
        yield shell
        shell.close()


def test_an_experiment_of_another_environment(shell):
    """By the name of the environment, by its settings, and by that of another domain."""
    for suggestion in shell.suggested(*EXPORT, *ACROBOT, "format.experiment=Mine")[1:]:
        shell.pasted(suggestion)
    words = ("domain=toy", "task=corner", "dataset=d-v1")
    shell.run("stage=collect", *words, "workers=1", "episodes=1", "render=true")
    for suggestion in shell.suggested(*EXPORT, *words, "format.experiment=Mine"):
        shell.pasted(suggestion)
    other = ("+domain.env_kwargs={sutton_barto_reward: true}", "dataset=other-v1")
    shell.run("stage=collect", *POLE[:2], *other, "workers=1", "episodes=1", "render=true")
    shell.pasted(shell.suggested(*EXPORT, *POLE[:2], *other, "format.experiment=Mine")[1])
    shell.pasted(shell.suggested(*EXPORT, *POLE[:2], *other[1:], "format.experiment=Mine")[0])


def test_other_data_of_a_checkpoint(shell):
    for suggestion in shell.suggested(*EXPORT, *POLE, "episodes=1", "format.experiment=Mine"):
        shell.pasted(suggestion)


def test_a_tree_where_none_can_be(shell):
    (shell.folder / "file").touch()
    for out in ("gs://a/b", "file"):
        shell.pasted(shell.suggested(*EXPORT[:2], *POLE, f"format.out={out}")[-1])
    shell.pasted(shell.suggested(*REGISTER[:1], *POLE)[-1])
    shell.pasted(shell.suggested(*REGISTER[:2], *POLE)[-1])


def test_a_registry_of_another_version(shell):
    (shell.folder / "old").mkdir()
    with sqlite3.connect(shell.folder / "old/rlhfblender.db") as connection:
        connection.execute("CREATE TABLE Project (id INTEGER PRIMARY KEY)")
    shell.pasted(shell.suggested(*REGISTER[:2], *POLE, "format.out=old")[-1])


def test_labels_that_do_not_fit(shell):
    shell.pasted(shell.suggested(*REGISTER, *POLE, "stage.register.action_labels=[a,b,c]")[-1])


def test_an_experiment_that_is_not_registered(shell):
    words = ("stage=[collect,export]", *EXPORT[1:], "domain=gym", *PLAYED, "dataset=d-v1")
    for suggestion in shell.suggested(*words, "format.experiment=Mien", "format.checkpoint=7"):
        shell.pasted(suggestion)


def test_a_tree_keeps_one_of_several_observations(shell):
    shell.run("stage=collect", *OWN, *PLAYED, "render=true")
    shell.pasted(shell.suggested(*EXPORT, *OWN)[-1])


def test_observations_without_points(shell):
    words = (*ENDLESS, "dataset=d-v1")
    shell.run("stage=collect", *words, *PLAYED, "render=true")
    shell.pasted(shell.suggested(*EXPORT, *words)[-1])
