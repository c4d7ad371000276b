"""Suggestions about settings, places and words, each provoked and pasted into a warm shell."""

import errno
import shlex
import subprocess

import pytest
import torch
from stable_baselines3 import PPO

from examples.train_agent import AsGymnasium
from pipeline.campaign.failures import plain_message
from pipeline.command import Typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.envs.toy import Toy
from pipeline.errors import PipelineError
from tests.test_run import command
from tests.warm_shell import COMMAND, ROOT, WarmShell

pytestmark = pytest.mark.slow

TOY = ("domain=toy", "task=corner", "workers=1", "policy=random", "dataset=d-v1")
COLLECT = ("stage=collect", *TOY)
POLE = ("stage=collect", "domain=gym", "domain.env_id=CartPole-v1", "policy=random", "workers=1", "episodes=1")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside a dataset `d-v1` of two episodes, and two checkpoints of an agent in `agents`."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    shell.run(*COLLECT, "episodes=2")
    agent = PPO("MlpPolicy", AsGymnasium(Toy("corner")), n_steps=32, batch_size=32, n_epochs=1, device="cpu", seed=0)
    for steps in (32, 64):
        agent.learn(32, reset_num_timesteps=False)
        agent.save(shell.folder / f"agents/rl_model_{steps}_steps.zip")
    yield shell
    shell.close()


@pytest.mark.parametrize(
    "words",
    [
        (*COLLECT, "episodes=2", "states=3"),
        (*COLLECT, "frames=9", "dataset=shared"),
        (*COLLECT, "frames=1", "episodes=2", "dataset=short"),
        (*COLLECT, "episodes=2", "seed=5"),
        (*COLLECT, "episodes=2", "hub.token=Fern4711x"),
        (*COLLECT, "episodes=2", "hub.endpoint=https://me:Fern4711x@hub"),
        ("stage=retreival", *TOY, "retrieval.demos=2"),
        ("stage=collect", "domain=tooy", "task=corner", "episodes=1", "policy=random", "workers=1"),
        ("stage=collect", "domain=toy", "task=cornr", "episodes=1", "policy=random", "workers=1"),
        ("stage=plan", "task=corner", "dataset=d-v1", "retrieval.demos=2"),
        ("stage=collect", "domain=gym", "domain.env_id=CartPole-v1", "policy=scripted", "episodes=1", "workers=1"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_setting_or_a_name_is_mended_by_its_suggestion(shell, words):
    shell.pasted(shell.suggested(*words)[-1])


@pytest.mark.parametrize(
    "words",
    [
        (*TOY, "stage=collect", "episdes=2"),
        (*TOY, "stage=retrieval", "demos=2"),
        (*COLLECT, "+episdes=2"),
        (*COLLECT, "domain.env.max_steps=60", "episodes=2"),
        (*COLLECT, "+seed=0", "episodes=2"),
        (*COLLECT, "+domain=toy", "episodes=2"),
        (*COLLECT, "~tasks", "episodes=2"),
        (*COLLECT[1:], "collect", "episodes=2"),
        (*COLLECT[1:], "--stage=collect", "episodes=2"),
        (*TOY, "stage=[collect,", "retrieval]", "episodes=2", "retrieval.demos=2"),
        (*TOY, "stage=[collect,retrieval", "episodes=2", "retrieval.demos=2"),
        (*POLE, "domain.display_name=Pole", "on a cart"),
        (*POLE, "domain.display_name=Pole (old)"),
        (*COLLECT, "episodes", "=", "2"),
        (*COLLECT, "episodes:2"),
        (*COLLECT, "EPISODES=2"),
        (" ".join(COLLECT), "episodes=2"),
        (*COLLECT[:2], *COLLECT[3:], "task=corner,maze", "episodes=2"),
        ("--multirunn", *COLLECT[:2], *COLLECT[3:], "task=corner,maze", "episodes=2"),
        ("stage=plan", *TOY[:1], "sweep=babyai39"),
        ("stage=plan", "domain=atari", "task=pong", "embedding=null"),
    ],
    ids=lambda words: " ".join(words),
)
def test_words_that_cannot_be_understood_end_in_the_command_as_it_is_meant(shell, words):
    shell.pasted(shell.suggested(*words)[-1])


def test_a_catalog_of_nothing(shell):
    status, text = shell.paste(f"python {shlex.quote(str(ROOT / 'run.py'))} stage=catalog 'paths.root=no data'")
    assert status == 0
    (begin,) = COMMAND.findall(text)
    assert "paths.root=no data" in shlex.split(begin)
    status, text = shell.paste(f"{begin} task=corner episodes=2 policy=random workers=1 retrieval.demos=2")
    assert status == 0, text


def test_a_library_call_and_a_full_disk_suggest_what_works(shell):
    script, place = str(ROOT / "run.py"), Workspace(str(shell.folder / "my data"))
    with user_typed(Typed(("stage=report", *TOY, "paths.root=my data"), script)):
        (gc,) = COMMAND.findall(plain_message(OSError(errno.ENOSPC, "No space left", "x")))
        with pytest.raises(PipelineError) as unknown:
            place["toy/corner/nothing"]
        with pytest.raises(PipelineError) as nothing:
            place.find("bins", "toy/corner")
    for line in (
        gc.replace("FOLDER", "elsewhere"),
        COMMAND.findall(str(unknown.value))[0],
        *COMMAND.findall(str(nothing.value)),
    ):
        shell.pasted(line)


def test_a_root_that_is_no_utf8_is_refused_and_another_is_taken(shell):
    words = (*command(*COLLECT, "episodes=2"), b"paths.root=odd-\xe9")
    done = subprocess.run(words, cwd=shell.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not [path for path in shell.folder.iterdir() if path.name.startswith("odd")]
    (another,) = COMMAND.findall(done.stderr)
    assert "collect toy/corner found" in shell.pasted(another, FOLDER="'my data'")


def test_an_agent_must_be_trusted_and_a_network_too(shell):
    words = ("stage=collect", "domain=toy", "task=corner", "episodes=1", "workers=1")
    (trust,) = shell.suggested(*words, "policy=sb3", "policy.path=agents/rl_model_32_steps.zip")
    assert "collect toy/corner built" in shell.pasted(trust)
    torch.jit.script(_Logits()).save(str(shell.folder / "agent.pt"))
    (trust,) = shell.suggested(*words, "policy=torchscript", "policy.path=agent.pt", "dataset=net")
    assert "collect toy/corner built" in shell.pasted(trust)


def test_several_checkpoints_and_one_name(shell):
    words = ("domain=toy", "task=corner", "episodes=1", "workers=1", "policy=sb3", "policy.path=agents", "trust=true")
    both = (*words, "policy.checkpoints=[32,64]")
    (all_of_them,) = shell.suggested("stage=collect", *both, "dataset=mine")
    assert shell.pasted(all_of_them).count("collect toy/corner") == 2
    noisy = shell.suggested("stage=collect", *both, "policy.randomness=0.5")
    noisy = [line for line in noisy if "│" not in line]  # each stands whole above the table of all failures
    assert {"dataset=ppo-32-v2", "dataset=ppo-64-v2"} <= {word for line in noisy for word in shlex.split(line)}
    for line in dict.fromkeys(noisy):
        assert "collect toy/corner built" in shell.pasted(line)
    (first,) = shell.suggested("stage=publish", *both, "hub.repo_id=me/x")
    assert "dataset=ppo-32-v1" in shlex.split(first)
    assert "A repository holds one dataset" not in shell.paste(first)[1]


def test_no_source_and_too_few_episodes_of_one(shell):
    (source,) = shell.suggested("stage=ingest", "domain=toy", "task=corner", "dataset=jat")
    assert {"source=jat", "source.path=FOLDER"} <= set(shlex.split(source))
    assert "needs a source" not in shell.paste(source)[1]


class _Logits(torch.nn.Module):
    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        return torch.zeros((seen.shape[0], 5)) + seen.reshape(seen.shape[0], -1).sum(1, keepdim=True) * 0.0
