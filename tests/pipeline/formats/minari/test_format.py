"""Minari's form: the suite of every form, in each of its layouts."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.formats.contract import CannotHold, Outgoing
from pipeline.formats.minari.format import MinariFormat
from pipeline.formats.minari.metadata import environment_spec
from tests.conftest import made_episode
from tests.contracts.format import FormatContract, Listed, exported, ingested, place_of
from tests.episodes import Kinds
from tests.everything import everything


class TestHdf5(FormatContract):
    def format(self):
        return MinariFormat()


class TestArrow(FormatContract):
    kinds = Kinds(empty=False)
    resumes = True

    def format(self):
        return MinariFormat(data="arrow")


OTHERS = {
    "parquet": {"data": "parquet"},
    "gzip": {"compression": "gzip"},
    "lzf": {"compression": "lzf"},
    "segments": {"segment": 1},
}


@pytest.mark.parametrize("settings", OTHERS.values(), ids=OTHERS)
def test_other_settings_hold_everything_too(tmp_path, settings):
    workspace = Workspace(str(tmp_path), "bin")
    listed = EpisodeDataset.of(ingested(Listed(everything()), workspace))
    format = MinariFormat(**settings)
    place = place_of(exported(format, workspace, final_observation="zero"))
    back = format.source(place).episodes("toy", "corner")
    assert [episode.digest() for episode in back] == [episode.digest() for episode in listed]


def test_arrays_of_no_number_leave_as_hdf5_alone(tmp_path):
    rng = np.random.default_rng(0)
    plain = made_episode(rng, 3)
    steps = {**plain.steps, "observation": np.zeros((4, 2, 0)), "info/none": np.zeros((4, 0), np.int8)}
    workspace = Workspace(str(tmp_path))
    (listed,) = EpisodeDataset.of(ingested(Listed([type(plain)(steps)]), workspace))
    format = MinariFormat()
    (back,) = format.source(place_of(exported(format, workspace))).episodes("toy", "corner")
    assert back.digest() == listed.digest()
    for data in ("arrow", "parquet"):
        with pytest.raises(CannotHold, match="info/none, observation. format.data=hdf5 holds them"):
            exported(MinariFormat(data=data), workspace)


class Stop(BaseException):
    pass


def test_finished_segments_are_kept_after_a_kill(tmp_path):
    workspace, rng = Workspace(str(tmp_path / "outputs")), np.random.default_rng(0)
    dataset = EpisodeDataset.of(ingested(Listed([made_episode(rng, 3) for _ in range(6)]), workspace))

    def stop(count):
        handed.append(count)
        if len(handed) == 5:
            raise Stop

    handed, format = [], MinariFormat(segment=2 * dataset[0].nbytes)
    outgoing = Outgoing("toy", "corner", dataset, {"dataset": "listed-v1"})
    with pytest.raises(Stop):
        format.write([replace(outgoing, advance=stop)], tmp_path)
    (segment,) = tmp_path.rglob(".segment-*")
    number, handed = segment.stat().st_ino, []
    format.write([replace(outgoing, advance=handed.append)], tmp_path)
    assert handed == [2, 1, 1, 1, 1]
    assert number not in {path.stat().st_ino for path in tmp_path.rglob(".*")}
    assert not list(tmp_path.rglob(".segment*"))


@pytest.mark.parametrize(
    ("settings", "id"),
    [({}, "toy/corner/listed-v1"), ({"id": "{domain}/x_{task}/{dataset}"}, "toy/x_corner/listed-v1")],
)
def test_the_id_is_the_place_below_the_root(tmp_path, settings, id):
    workspace, out = Workspace(str(tmp_path / "outputs")), tmp_path / "root"
    ingested(Listed([made_episode(np.random.default_rng(0), 3)]), workspace)
    exported(MinariFormat(**settings), workspace, out=str(out))
    assert json.loads((out / id / "data" / "metadata.json").read_text())["dataset_id"] == id


def test_actions_that_are_one_whole_number_are_a_choice(tmp_path):
    workspace, rng = Workspace(str(tmp_path)), np.random.default_rng(0)
    plain = made_episode(rng, 3)
    spaces = []
    for number, action in enumerate(([1, 4, -2, 0], [1, 4, 2**40, 0])):
        name = f"a-v{number}"
        ingested(Listed([type(plain)({**plain.steps, "action": np.array(action)})]), workspace, name)
        place = place_of(exported(MinariFormat(), workspace, dataset=name))
        spaces.append(json.loads(json.loads((place / "data" / "metadata.json").read_text())["action_space"]))
    assert spaces[0] == {"type": "Discrete", "dtype": "int64", "start": -2, "n": 7}
    assert spaces[1]["type"] == "Box"


def test_an_environment_of_gymnasium_is_told_in_its_own_words():
    facts = {"simulator": "gymnasium", "id": "CartPole-v1", "entry_point": "a.b:C", "kwargs": {"x": 1}, "max_steps": 9}
    spec = EnvSpec.from_json(json.dumps(environment_spec({"parameters": {"environment": facts}})))
    assert (spec.id, spec.entry_point, spec.kwargs, spec.max_episode_steps) == ("CartPole-v1", "a.b:C", {"x": 1}, 9)
    assert environment_spec({"parameters": {"environment": {"simulator": "toy"}}}) is None
