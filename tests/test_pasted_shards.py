"""Suggestions about one task over several jobs, each provoked and pasted into a warm shell."""

import os
import signal
import subprocess
import time

import pytest

from tests.dqn_replay_files import played_run
from tests.jat_files import make_jat
from tests.test_run import command, digests, run
from tests.warm_shell import COMMAND, WarmShell

pytestmark = pytest.mark.slow

COLLECT = ("stage=collect", "domain=toy", "task=corner", "workers=1", "policy=random", "episodes=6")
JAT = ("stage=ingest", "domain=metaworld", "task=assembly", "source=jat", "source.path=jat")
INGEST = ("stage=ingest", "domain=atari", "task=pong", "source=dqn_replay", "source.root=files")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside the files of two checkpoints of Pong, and JAT's of a task."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    played_run(200, [30, 44, 61, 25, 80, 33]).write_bucket(shell.folder / "files")
    make_jat(shell.folder / "jat", [5, 4], name="metaworld-assembly")
    yield shell
    shell.close()


def test_what_several_jobs_have_made_is_joined_by_what_the_last_line_says(shell):
    text = shell.run("-m", *COLLECT, "dataset=swept-v1", "stage.collect.shards=0-1,4-5")
    first, second = COMMAND.findall(text)
    assert first == second
    assert "2 of 6 episodes there (0-1), 4 missing (2-5)" in text
    assert "4 of 6 episodes there (0-1, 4-5), 2 missing (2-3)" in text
    (waiting,) = COMMAND.findall(shell.run("stage=status").split("pieces of toy/corner episodes swept-v1 wait")[1])
    assert waiting == second
    status, text = shell.paste(second)
    assert status == 0
    assert "collect toy/corner built" in text
    assert "collect toy/corner found" in shell.run(*COLLECT, "dataset=swept-v1", "stage.collect.shards=4-5")


def test_pieces_end_a_task_and_the_stages_after_it_are_left_out(shell):
    words = (*INGEST[1:], "dataset=both-v1", "stage.ingest.shards=0")
    text = shell.run("stage=[ingest,report]", *words)
    assert "of 2 checkpoints there (0), 1 missing (1). Join them, and make the rest: " in text
    assert "report" not in text.replace("stage=[ingest,report]", "")
    assert "report atari/pong built" in shell.pasted(COMMAND.findall(text)[-1])


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ((*COLLECT, "stage.collect.shards=5-7"), 0),
        ((*COLLECT, "stage.collect.shards=5-7"), -1),
        ((*COLLECT, "stage.collect.shards=0", "force=true"), -1),
        ((*INGEST, "stage.ingest.shards=0-5"), -1),
        ((*INGEST, "stage.ingest.shards=0", "source.download_only=true"), -1),
        ((*JAT, "stage.ingest.shards=0"), -1),
    ],
    ids=str,
)  # fmt: skip
def test_shards_that_cannot_be_are_mended_by_the_suggestion(shell, words, place):
    shell.pasted(shell.suggested(*words, f"dataset=d{len(words)}-v1")[place])


def test_pieces_of_other_settings_are_removed_by_the_suggestion(shell):
    words = (*COLLECT, "dataset=other-v1", "stage.collect.shards=0-1")
    shell.run(*words)
    (remove,) = shell.suggested(*words, "seed=3")
    assert "removed" in shell.pasted(remove)
    assert "2 of 6 episodes there" in shell.run(*words, "seed=3")


@pytest.mark.parametrize("moment", [0.0, 0.3])
def test_a_job_that_is_killed_leaves_what_another_goes_on_with(tmp_path, moment):
    words = ("stage=collect", "domain=toy", "task=corner", "workers=2", "episodes=400")
    alone = run(tmp_path / "alone", *words)
    spill = tmp_path / "split/artifacts/toy/corner/episodes/.pieces-scripted-v1/spill"
    shards = command(*words, "stage.collect.shards=0-299", f"paths.root={tmp_path / 'split'}")
    with subprocess.Popen(shards, cwd="/", start_new_session=True) as child:
        while child.poll() is None and not list(spill.glob("*.safetensors")):
            time.sleep(0.02)
        time.sleep(moment)
        os.killpg(child.pid, signal.SIGKILL)
    text = run(tmp_path / "split", *words, "stage.collect.shards=200-399")
    assert "episodes there" in text
    run(tmp_path / "split", *words)
    assert "built" in alone
    assert digests(tmp_path / "split") == digests(tmp_path / "alone")


def test_blocks_that_are_not_there_are_mended_by_their_suggestion(shell):
    game = ("domain=atari", "task=pong", "domain.max_steps=3", "policy=random", "dataset=short-v1", "episodes=1")
    shell.run("stage=collect", *game, "workers=1")
    network = ("embedding=resnet18_regent", "embedding.weights=random", "embedding.compile=false")
    states = ("stage=embeddings", *game, *network, "stage.embeddings.all_states=true")
    (nearest,) = shell.suggested(*states, "stage.embeddings.shards=2-4")
    text = shell.pasted(nearest)
    assert "1 of 1 blocks of 10,000 states there, none missing" in text
    assert "embeddings atari/pong built" in shell.pasted(*COMMAND.findall(text))
