"""What is suggested about trees of RLHF-Blender and its registry, each provoked and pasted into a warm shell."""

import sqlite3

import numpy as np
import pytest

from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

POLE = ("domain=gym", "domain.env_id=CartPole-v1", "dataset=d-v1")
FORM = ("format=rlhf_blender", "format.out=tree")
EXPORT = ("stage=export", *FORM)
OWN = ("domain=gym", "domain.env_id=Own-v0", "dataset=d-v1")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell beside a tree with an experiment of two episodes of CartPole, and a dataset of Acrobot."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"), "pipeline.formats.blender.format")
    words = ("workers=1", "policy=random", "domain.max_steps=5", "episodes=2")
    shell.run("stage=[collect,export]", *POLE, *words, *FORM, "format.experiment=Mine")
    shell.run("stage=collect", "domain=gym", "domain.env_id=Acrobot-v1", "dataset=d-v1", *words, "render=true")
    shell.run("stage=collect", *POLE[:2], "dataset=free-v1", *words[:2], "episodes=1", "render=true")
    yield shell
    shell.close()


def test_an_experiment_of_another_environment_or_of_other_settings(shell):
    other = ("domain=gym", "domain.env_id=Acrobot-v1", "dataset=d-v1", "format.experiment=Mine")
    shell.pasted(shell.suggested(*EXPORT, *other)[1])
    words = ("domain=toy", "task=corner", "dataset=d-v1")
    shell.run("stage=collect", *words, "workers=1", "episodes=1", "render=true")
    for suggestion in shell.suggested(*EXPORT, *words, "format.experiment=Mine"):
        shell.pasted(suggestion)
    free = (
        "domain=gym",
        "domain.env_id=CartPole-v1",
        "dataset=free-v1",
        "format.experiment=Mine",
        "format.checkpoint=3",
    )
    shell.pasted(shell.suggested(*EXPORT, *free, "domain.env_kwargs={}")[0])


def test_other_data_of_a_checkpoint(shell):
    for suggestion in shell.suggested(*EXPORT, *POLE, "episodes=1", "format.experiment=Mine"):
        shell.pasted(suggestion)


def test_a_tree_where_none_can_be(shell):
    (shell.folder / "file").touch()
    for words in ((*EXPORT, *POLE, "format.out=gs://a/b"), (*EXPORT, *POLE, "format.out=file")):
        shell.pasted(shell.suggested(*words)[-1])
    shell.pasted(
        shell.suggested("stage=register", *POLE)[-1].replace(
            "format=rlhf_blender", "format=rlhf_blender format.out=tree"
        )
    )
    shell.pasted(shell.suggested("stage=register", *POLE, "format=rlhf_blender")[-1])


def test_labels_that_do_not_fit(shell):
    labels = "stage.register.action_labels"
    shell.pasted(shell.suggested("stage=register", *FORM, *POLE, f"{labels}=[a,b,c]")[-1])


def test_an_experiment_that_is_not_registered(shell):
    words = ("stage=[collect,export]", "domain=gym", *FORM, "workers=1", "episodes=1", "domain.max_steps=3")
    found = shell.suggested(*words, "format.experiment=Mien")
    shell.pasted(found[0])
