"""docs/views.md runs, from top to bottom."""

import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.episode import Episode, with_last_row
from pipeline.views.fields import COMPUTED
from pipeline.views.goals import KINDS
from pipeline.views.transitions import OWN
from tests.conftest import collected, toy_domain
from tests.pipeline.views.stored import derived, stored

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

PAGE = (Path(__file__).parent.parent / "docs" / "views.md").read_text()


def pong(rng: np.random.Generator, length: int = 40) -> Episode:
    """As large as the game's."""
    numbers = {"action": rng.integers(0, 6, length), "reward": rng.normal(size=length), "discount": np.ones(length)}
    steps = {name: with_last_row(name, array) for name, array in numbers.items()}
    return Episode({"observation": rng.integers(0, 255, (length + 1, 84, 84), np.uint8), **steps})


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the page's code has made."""
    root = tmp_path_factory.mktemp("page")
    workspace = Workspace(str(root / "outputs"))
    collected(toy_domain(), workspace, episodes=8, render=True)
    collected(toy_domain(), workspace, task="maze", episodes=4)
    whole = workspace["toy/corner/scripted-v1"]
    for part, numbers in (("train", [0, 1, 2, 3, 5]), ("test", [4, 6, 7])):
        derived(workspace, [whole], [0] * len(numbers), numbers, f"scripted-v1-{part}")
    stored(
        Workspace(str(root / "outputs"), "bin"),
        [pong(np.random.default_rng(0))],
        "random-v1",
        domain="atari",
        task="pong",
    )
    code = re.sub(r"(?<!num_)workers=4", "workers=0", "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)))
    made = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        exec(compile(code, "views.md", "exec"), made)
    return made


def test_the_code_of_the_page_runs(names):
    assert names["sample"]["observation"].shape == (6, 9)
    assert sum(shape[0] for shape in names["shapes"]) == len(names["data"])


def test_what_is_left_of_an_epoch_is_what_the_page_says(names):
    assert sum(len(batch["mask"]) for batch in names["rest"]) == len(names["data"]) - 48


def test_a_batch_is_what_the_tables_say(names):
    batch = names["episodes"].batch(np.arange(3))
    assert batch["mask"].sum(axis=1).tolist() == (batch["length"] + 1).tolist()
    assert names["target"].shape == (256,)
    assert names["relabelled"].batch(np.arange(256))["goal"].shape == (256, 9)


def test_the_tables_name_every_computed_field_and_every_goal():
    listed = set(re.findall(r"`([a-z_]+)`", "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))))
    assert {*COMPUTED, *OWN, *KINDS} <= listed


def test_links_lead_somewhere():
    titles = {
        re.sub(r"[^\w -]", "", line[3:]).strip().lower().replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("## ")
    }
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert link[1:] in titles if link.startswith("#") else (Path("docs") / link.split("#")[0]).exists(), link


def test_a_mixture_has_the_shares_that_the_page_says(names):
    mixture = names["mixture"]
    assert np.bincount(mixture.batch(np.arange(128))["task"]).tolist() == [96, 32]
    assert names["screens"].batch(np.arange(16))["frame"].ndim == 5
    assert len(names["longer"]) == len(names["better"]) == 1000
    assert names["test"].statistics.keys() == names["train"].statistics.keys() == {"observation"}
    assert names["train"].statistics["observation"].mean.shape == (9,)
