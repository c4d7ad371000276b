"""What is suggested about exports of pictures, each provoked and pasted into a warm shell."""

import pytest

from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

TOY = ("domain=toy", "task=corner", "dataset=d-v1")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell beside a dataset `d-v1` of two episodes, of which nobody has drawn pictures."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    shell.run("stage=collect", *TOY, "workers=1", "policy=random", "episodes=2")
    yield shell
    shell.close()


def test_frames_that_a_form_shows_are_drawn_by_its_suggestion(shell):
    shell.pasted(shell.suggested("stage=export", *TOY, "format=simple")[0])
    shell.run("stage=export", *TOY, "format=simple")
