"""A clean dataset of each domain gives no finding, and its episodes are stepped again exactly."""

import pytest

from tests.warm_shell import WarmShell

pytestmark = pytest.mark.slow

CLEAN = {
    "toy": ("task=corner", "episodes=40"),
    "gym": ("domain.env_id=CartPole-v1", "policy=random", "episodes=40"),
    "metaworld": ("task=assembly", "episodes=3"),
    "mujoco": ("task=hopper", "policy=random", "episodes=40"),
    "dmc": ("task=cartpole-swingup", "policy=random", "episodes=2"),
    "babyai": ("task=go-to-local", "episodes=40"),
    "atari": ("task=pong", "policy=random", "episodes=2", "frames=400"),
}
"""Of each domain a task, and how much of it is collected."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    shell = WarmShell(tmp_path_factory.mktemp("clean"))
    yield shell
    shell.close()


@pytest.mark.parametrize("domain", CLEAN)
def test_a_clean_dataset_gives_no_finding(shell, domain):
    words = (f"domain={domain}", *CLEAN[domain])
    shell.run("stage=collect", *words)
    kept = [word for word in words if not word.startswith(("episodes=", "frames="))]
    text = shell.run("stage=doctor", *kept, "stage.doctor.replay=1")
    (line,) = (line for line in text.splitlines() if line.startswith(f"{domain}/"))
    assert ": nothing found (" in line
    for check in ("duplicates", "seeds", "drift", "leaks", "missing", "replay"):
        assert check in line
