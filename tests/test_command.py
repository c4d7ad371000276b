"""A command holds what was typed and still matters to the stage that it is for."""

import pickle
import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from pipeline.command import SOURCES, Command, Typed, again, making, typed, user_typed
from pipeline.dataset.workspace import Workspace
from pipeline.errors import ArtifactNotFound, unknown_name

CONF = Path(__file__).parent.parent / "conf"
WORDS = (
    *("stage=retrieval", "domain=gym", "domain.env_id=CartPole-v1", "task=cartpole-v1", "episodes=5", "states=100"),
    *("policy=sb3", "policy.path=my agents/a.zip", "trust=true", "seed=3", "workers=2", "retrieval.demos=2"),
    *("hub.repo_id=me/x", "force=true", "inputs=require", "paths.root=my data", "storage=bin"),
)
PLACES = {"paths.root=my data", "storage=bin"}


@pytest.fixture
def said():
    with user_typed(Typed(WORDS)):
        yield


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        ("collect", {"episodes=5", "states=100", *WORDS[6:11]}),
        ("ingest", {"episodes=5", "states=100", "workers=2", "trust=true"}),
        ("frames", {"episodes=5", "workers=2"}),
        ("distances", {"episodes=5", "retrieval.demos=2"}),
        ("publish", {"episodes=5", "retrieval.demos=2", "hub.repo_id=me/x"}),
        ("fetch", {"hub.repo_id=me/x"}),
        ("verify", {"workers=2"}),
        ("gc", set()),
    ],
)
def test_a_stage_keeps_what_it_reads(said, stage, kept):
    assert set(Command(stage).words()) == {f"stage={stage}", *WORDS[1:4], *kept} | PLACES


def test_words_stand_in_the_order_in_which_people_write_them_and_are_quoted(said):
    line = Command("retrieval", "maze", settings={"dataset": "my-data_1", "episodes": None}).line()
    assert line == (
        "python run.py stage=retrieval domain=gym domain.env_id=CartPole-v1 task=maze dataset=my-data_1 "
        "retrieval.demos=2 'paths.root=my data' storage=bin"
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert compose("config", shlex.split(line)[2:]).paths.root == "my data"


def test_the_typed_command_again_keeps_all_of_it(said):
    kept = {word for word in WORDS if not word.startswith(("episodes", "retrieval"))}
    assert set(shlex.split(again(episodes=None, retrieval__demos=3))[2:]) == kept | {"retrieval.demos=3"}


def test_without_a_command_line_it_says_what_the_code_knows():
    assert typed() == Typed()
    assert again(retrieval__demos=2, states=None) == "retrieval.demos=2"
    assert Command("frames", "corner", "domain=toy").line() == "python run.py stage=frames domain=toy task=corner"


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("random-v1", ["stage=collect", "domain=toy", "task=maze", "dataset=random-v1", "policy=random"]),
        ("jat-v1", ["stage=ingest", "domain=toy", "task=maze", "dataset=jat-v1", "source=jat"]),
        ("dqn-replay-v1", ["stage=ingest", "domain=toy", "task=maze", "dataset=dqn-replay-v1", "source=dqn_replay"]),
        ("scripted-v1", ["stage=collect", "domain=toy", "task=maze", "dataset=scripted-v1"]),
    ],
)
def test_a_dataset_is_made_by_what_its_name_says(dataset, words, tmp_path):
    with pytest.raises(ArtifactNotFound) as missing:
        Workspace(str(tmp_path)).dataset("toy", "maze", dataset)
    assert missing.value.command.words() == words
    with user_typed(Typed(("stage=retrieval", "domain=toy", "policy=callable"))):
        assert making("random-v1", "maze", "domain=toy").words() == [
            *("stage=collect", "domain=toy", "task=maze", "dataset=random-v1", "policy=callable")
        ]


def test_each_door_is_known_by_the_name_that_its_datasets_have():
    assert set(SOURCES) == {path.stem for path in (CONF / "source").glob("*.yaml")}


def test_what_makes_a_dataset_is_also_said_where_all_is_made_on_the_way(tmp_path):
    with user_typed(Typed(("stage=retrieval", "domain=toy", "task=maze", "dataset=random-v1"))):
        with pytest.raises(ArtifactNotFound) as missing:
            Workspace(str(tmp_path)).dataset("toy", "maze", "random-v1")
        *_, last = str(missing.value).splitlines()
    assert {"stage=retrieval", "dataset=random-v1", "inputs=build", "policy=random"} <= set(last.split())


def test_a_recorded_command_gives_all_but_the_places():
    recorded = "python run.py -m stage=all domain=toy task=a,b seed=7 paths.root=/old storage=bin hydra/launcher=joblib"
    with user_typed(Typed(("stage=report", "domain=toy", "paths.root=new"))):
        words = Command("collect", "a", settings={"episodes": 9}, recorded=recorded).words()
    assert words == ["stage=collect", "domain=toy", "task=a", "episodes=9", "seed=7", "paths.root=new"]


def test_with_a_source_episodes_are_ingested_and_an_experiment_stays(tmp_path):
    words = ("experiment=regent_mujoco", "source.path=F", "stage=retrieval", "task=ant")
    with user_typed(Typed(words, door="ingest")), pytest.raises(ArtifactNotFound) as missing:
        Workspace(str(tmp_path)).dataset("mujoco", "ant", "jat-v1")
    assert missing.value.command.stage == "ingest"
    with user_typed(Typed(words, door="ingest")):
        found = missing.value.command.words()
        assert "python run.py" in str(pickle.loads(pickle.dumps(missing.value)))
    assert found == ["stage=ingest", "task=ant", "dataset=jat-v1", "experiment=regent_mujoco", "source.path=F"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        assert list(compose("config", found).stage) == ["ingest"]


def test_a_domain_that_was_taken_away_is_not_taken_away_again():
    with user_typed(Typed(("stage=collect", "~domain"))):
        assert Command(domain="domain=toy").words() == ["stage=collect", "domain=toy"]


def test_a_misspelt_name_is_replaced_where_it_was_typed():
    with user_typed(Typed(("stage=plan", "task=[corner,mazze]", "dataset=mazze-v1"))):
        message = str(unknown_name("task", "mazze", ["corner", "maze"]))
    assert message.endswith("python run.py stage=plan 'task=[corner,maze]' dataset=mazze-v1")
    assert "run.py" not in str(unknown_name("task", "mazze", ["corner", "maze"]))
