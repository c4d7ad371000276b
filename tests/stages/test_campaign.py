"""What a run finds out before its first stage, and the commands that it tells people to type."""

from __future__ import annotations

import json
import re
import shlex
from html import unescape

import pytest

from tests.test_run import run

POLE = ("domain=gym", "domain.env_id=CartPole-v1")


@pytest.mark.parametrize(
    ("of", "words"),
    [("atari/pong", ("task=pong", "episodes=1", "frames=3")), ("atari", ("source=jat", "source.path=nowhere"))],
)
def test_weights_that_are_not_named_are_missed_before_the_first_stage(tmp_path, of, words):
    text = run(tmp_path, "stage=all", "domain=atari", *words, status=1)
    assert text.count("failed:") == 1
    assert f"embeddings {of} failed: Which weights?" in text
    assert "embedding.weights=random" in text
    assert not (tmp_path / "artifacts").exists()
    (failure,) = json.loads(next(tmp_path.glob("runs/*/*/failed.json")).read_text())
    assert (failure["stage"], failure["task"]) == ("embeddings", of)


def test_weights_that_are_not_there_are_missed_before_the_first_stage(tmp_path):
    text = run(tmp_path, "stage=all", "domain=atari", "task=pong", "embedding.weights=/no/such.pth", status=1)
    assert "There is no file /no/such.pth with weights" in text
    assert not (tmp_path / "artifacts").exists()


def test_stages_without_embeddings_need_no_weights(tmp_path):
    words = ("domain=atari", "task=pong", "frames=4", "episodes=1", "workers=1")
    assert "collect atari/pong built" in run(tmp_path, "stage=collect", *words)


@pytest.mark.slow
def test_the_command_for_a_missing_input_names_the_environment_and_works(tmp_path):
    for task in ((), ("task=cartpole-v1",)):
        text = run(tmp_path, "stage=retrieval", *POLE, *task, status=1)
        command = re.search(r"Make it first: python \S*run\.py (.*)", text)[1]
        assert "stage=collect domain=gym domain.env_id=CartPole-v1 task=cartpole-v1" in command
    made = run(tmp_path, *shlex.split(command), "episodes=2", "workers=1")
    assert "collect gym/cartpole-v1 built" in made
    assert "built" in run(tmp_path, "stage=retrieval", *POLE, *task, "retrieval.demos=2")


@pytest.mark.slow
def test_a_report_is_titled_with_what_people_call_the_domain_and_names_its_environment(tmp_path):
    small = (*POLE, "retrieval.demos=3")
    run(tmp_path, "stage=[collect,retrieval,distances]", *small, "episodes=3", "workers=1")
    for words, name in (((), "gym"), (("domain.display_name=Pole on a cart",), "gym (Pole on a cart)")):
        assert "report gym/cartpole-v1 built" in run(tmp_path, "stage=report", *small, *words)
        pages = [path.read_text() for path in tmp_path.glob("artifacts/gym/*/report/*/page/index.html")]
        (page,) = [page for page in pages if f"<title>{name} cartpole-v1: random-v1</title>" in page]
        assert f'<p class="over">{name}</p>' in page
        command = r"'stage=\[frames,report\]' domain=gym domain.env_id=CartPole-v1 .*task=cartpole-v1 dataset=random-v1"
        assert re.search(command, unescape(page))
