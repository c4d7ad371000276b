"""Suggestions of the doors that foreign data come through, each provoked and pasted into a warm shell."""

import shlex
from fractions import Fraction

import numpy as np
import pytest

from tests.frame_files import screens, write_episode
from tests.kabuki_files import kabuki_arrays, write_kabuki
from tests.rlhf_blender_files import Walk, boxed, recorded, write_run
from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

CARTPOLE = ("stage=ingest", "domain=gym", "domain.env_id=CartPole-v1")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    yield shell
    shell.close()


def test_a_tree_of_several_checkpoints(shell):
    for number, checkpoint in enumerate(("-1", "50")):
        write_run(shell.folder / "my tree", recorded(Walk([3, 4 + number])), checkpoint=checkpoint)
    (one,) = shell.suggested(*CARTPOLE, "source=rlhf_blender", "source.path=my tree", "dataset=one")
    assert "source.checkpoint=-1" in shlex.split(one)
    assert "ingest gym/cartpole-v1 built" in shell.pasted(one)


def test_infos_that_are_code_are_trusted_or_left_out(shell):
    path = write_run(shell.folder / "code", recorded(Walk([3]))) / "benchmark_0.npz"
    with np.load(path, allow_pickle=True) as file:
        arrays = {**file, "infos": boxed([{"half": Fraction(1, 2)}] * 4)}
    np.savez(path, **arrays)
    words = (*CARTPOLE, "source=rlhf_blender", "source.path=code")
    for number, chosen in enumerate(("trust=true", "source.infos=false")):
        command = shell.suggested(*words, f"dataset=chosen{number}")[number]
        assert chosen in shlex.split(command)
        assert "ingest gym/cartpole-v1 built" in shell.pasted(command)


def test_folders_of_screens(shell):
    for environment in ("atari_pong", "ALE-Pong"):
        for number in range(2):
            folder = shell.folder / "my screens" / environment / f"episode_{number:03d}"
            write_episode(folder, ["1: FIRE"], screens(number, 1, (20, 30)))
    words = ("stage=ingest", "domain=atari", "task=pong", "source=frames", "source.path=my screens")
    (command,) = shell.suggested(*words, "source.observation=grey84")
    assert "source.environment=ALE-Pong" in shlex.split(command)
    (command,) = shell.suggested(*shlex.split(command)[2:])
    assert "source.observation=rgb" in shlex.split(command)
    assert "ingest atari/pong built" in shell.pasted(command)
    (command,) = shell.suggested("stage=export", "domain=atari", "task=pong", "dataset=frames-v1", "format=bagel")
    assert "format=simple" in shlex.split(command)
    assert "export atari built" in shell.pasted(command)


def test_data_of_which_nobody_says_the_task(shell):
    write_kabuki(shell.folder / "a log.hdf5", kabuki_arrays())
    (command,) = shell.suggested("stage=ingest", "domain=toy", "source=kabuki", "source.path=a log.hdf5")
    assert "task=corner" in shlex.split(command)
    assert "ingest toy/corner built" in shell.pasted(command)
