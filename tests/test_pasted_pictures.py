"""What is suggested about exports of pictures, each provoked and pasted into a warm shell."""

import pytest

from pipeline.command import Typed, user_typed
from pipeline.errors import ArtifactNotFound, InvalidInput
from pipeline.views.windows import Windows
from tests.warm_shell import COMMAND, ROOT, WarmShell

pytestmark = pytest.mark.slow

TOY = ("domain=toy", "task=corner", "dataset=d-v1")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A shell beside a dataset `d-v1` of two episodes, of which nobody has drawn pictures."""
    shell = WarmShell(tmp_path_factory.mktemp("a b"))
    shell.run("stage=collect", *TOY, "workers=1", "policy=random", "episodes=2")
    yield shell
    shell.close()


def test_frames_that_a_form_shows_are_drawn_by_its_suggestion(shell):
    shell.pasted(shell.suggested("stage=export", *TOY, "format=simple")[0])
    shell.run("stage=export", *TOY, "format=simple")


def test_pictures_that_a_view_shows_are_drawn_by_its_suggestion(shell):
    shell.run("stage=collect", "domain=toy", "task=maze", "dataset=e-v1", "workers=1", "policy=random", "episodes=2")
    typed = Typed(("stage=report", "domain=toy", "paths.root=my data"), str(ROOT / "run.py"))
    asked = (str(shell.folder / "my data"), "toy/maze/e-v1")
    with user_typed(typed):
        with pytest.raises(ArtifactNotFound) as missing:
            Windows(*asked, length=2, fields=("frame",))
        line = COMMAND.findall(str(missing.value))[0]
    shell.pasted(line)
    assert Windows(*asked, length=2, fields=("frame",))[0]["frame"].shape[-1] == 3


def test_an_older_copy_is_not_read_in_silence(shell):
    made = ("stage=collect", "domain=toy", "task=maze", "dataset=f-v1", "workers=1", "policy=random")
    for settings in (("episodes=2", "storage=bin"), ("episodes=4",)):
        shell.run(*made, *settings)
    asked = {"root": shell.folder / "my data", "dataset": "toy/maze/f-v1", "length": 2, "storage": "bin"}
    typed = Typed(("stage=report", "domain=toy"), str(ROOT / "run.py"))
    with (
        user_typed(typed),
        pytest.raises(InvalidInput, match="bin copy of toy/maze/f-v1 has 2 episodes, the zarr one 4") as older,
    ):
        Windows(**asked)
    assert len(Windows(**asked, episodes=2).fields.dataset) == 2
    line = COMMAND.findall(str(older.value))[0]
    shell.pasted(line.replace(f'"{shell.folder}/my data"', "my data"))  # as it is called from where the shell stands
    assert len(Windows(**asked).fields.dataset) == 4


def drawn(shell):
    shell.run("stage=frames", *TOY)


def test_windows_that_do_not_fit_are_mended_by_their_suggestions(shell):
    drawn(shell)
    thinkmorph, bagel = ("stage=export", *TOY, "format=thinkmorph"), ("stage=export", *TOY, "format=bagel")
    larger, fewer = shell.suggested(*thinkmorph, "format.window=50")
    shell.pasted(larger)
    shell.pasted(fewer)
    shell.pasted(shell.suggested(*thinkmorph, "format.max_tokens=1000")[0])
    shell.pasted(shell.suggested(*bagel, "format.max_tokens=1000")[0])
    shell.pasted(shell.suggested(*bagel, "format.max_tokens=4000", "format.window=3")[0])


def test_a_prefix_that_does_not_fit_is_mended_by_its_suggestion(shell):
    drawn(shell)
    bagel = ("stage=export", *TOY, "format=bagel")
    for prefix in ("gs://bucket/data", "'~/data'", "out"):
        shell.pasted(shell.suggested(*bagel, "format.out=out", f"format.prefix={prefix}")[0])
    words = (*bagel, "format.per_task=true", "format.out=each", "format.prefix=/mnt/data")
    shell.pasted(shell.suggested(*words)[0])
    words = (*bagel, "format.out=each", 'format.prefix="/mnt/{task}/data"')
    shell.pasted(shell.suggested(*words)[0])
    (shell.folder / "wrong").mkdir()
    (shell.folder / "wrong" / "other.parquet").touch()
    shell.pasted(shell.suggested(*bagel, "format.out=out", "format.prefix=wrong")[0])
    address = "format.out=memory://bucket/toy"
    shell.pasted(shell.suggested(*bagel, address)[0])


def test_the_states_of_one_episode_are_neighbours_of_their_own_by_its_suggestion(shell):
    (line,) = shell.suggested("stage=export", *TOY, "episodes=1", "format=atlas")
    assert "format.own_episode=true" in line
    assert "built" in shell.pasted(line)


def test_both_steps_in_one_command_and_the_second_form_of_it(shell):
    both = ("domain=toy", "task=all", "dataset=both-v1", "policy=random", "workers=1", "frames=6", "episodes=2")
    words = shell.run(
        "stage=[collect,export]", *both, "policy.randomness=0.2", "format=interleaved", "format.out=a.parquet"
    )
    assert "a.parquet (6 episodes, 18 states" in words
    shell.run(
        "stage=export", "domain=toy", "dataset=both-v1", "format=simple", "format.per_task=true", "format.out=each"
    )


def test_pictures_that_some_tasks_lack_are_drawn_on_the_way(shell):
    some = ("domain=toy", "dataset=some-v1")
    for task, render in (("corner", "true"), ("maze", "false")):
        shell.run(
            "stage=collect", *some, f"task={task}", f"render={render}", "workers=1", "policy=random", "episodes=1"
        )
    last = shell.suggested("stage=export", *some, "format=simple")[-1]
    assert "inputs=build" in last
    assert "2 episodes" in shell.pasted(last)
