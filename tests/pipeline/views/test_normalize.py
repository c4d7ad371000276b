"""Normalised fields against numpy on all states at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.beside import STATISTICS, hidden_beside
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.views.episodes import Episodes
from pipeline.views.transitions import Transitions
from pipeline.views.windows import Windows
from tests.pipeline.views.stored import derived, episode_of, stored

STATE, IMAGE = "observation/state", "observation/image"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(1)
    workspace = Workspace(str(tmp_path_factory.mktemp("normalised")), "bin")
    episodes = [episode_of(rng, length) for length in (3, 7, 1, 5, 4)]
    for each in episodes:
        each.steps[STATE][:, 1] = 7.25
        each.steps[STATE][:, 2] += 1e6
    return stored(workspace, episodes)


def states(dataset, name):
    return dataset.state_rows(name, 0, dataset.states)


def test_a_field_comes_without_its_mean_and_deviation(dataset):
    view = Windows.of(dataset, length=1, fields=("observation",), normalize=("observation",), seed=None)
    raw = states(dataset, STATE)
    mean, std = raw.mean(0), raw.std(0)
    std[1] = 1
    found = view.batch(np.arange(len(view)))
    assert found[STATE].dtype == np.float32
    np.testing.assert_allclose(found[STATE][:, 0], (raw - mean) / std, rtol=1e-5, atol=1e-7)
    assert not found[STATE][:, 0, 1].any()
    np.testing.assert_array_equal(found[IMAGE][:, 0], states(dataset, IMAGE))
    assert list(view.statistics) == [STATE]
    assert view.statistics[STATE].states == dataset.states
    np.testing.assert_allclose(view.statistics[STATE].mean, mean, rtol=1e-15)
    np.testing.assert_allclose(view.statistics[STATE].std, std, rtol=1e-9)


def test_pictures_are_normalised_when_they_are_named_in_full(dataset):
    view = Windows.of(dataset, length=2, padding="left", fields=(IMAGE, "mask"), normalize=(IMAGE,), frame_stack=3)
    found = view.batch(np.arange(len(view)))
    plain = Windows.of(dataset, length=2, padding="left", fields=(IMAGE,), frame_stack=3).batch(np.arange(len(view)))
    raw = states(dataset, IMAGE).astype(np.float64)
    wanted = (plain[IMAGE] - raw.mean(0)) / raw.std(0)
    wanted[~found["mask"]] = 0
    assert found[IMAGE].dtype == np.float32
    np.testing.assert_allclose(found[IMAGE], wanted, rtol=1e-5, atol=1e-6)
    wide = Windows.of(dataset, length=1, fields=(IMAGE,), normalize=(IMAGE,), float64=True)
    assert wide.batch(np.arange(2))[IMAGE].dtype == np.float64


def test_the_test_set_has_the_statistics_of_the_training_set(dataset, tmp_path):
    workspace = Workspace(str(tmp_path), "bin")
    whole = stored(workspace, list(dataset))
    train = derived(workspace, [whole], [0, 0, 0], [0, 1, 3], "train-v1")
    test = derived(workspace, [whole], [0, 0], [2, 4], "test-v1")
    learnt = Windows.of(train, length=1, fields=("observation",), normalize=("observation",)).statistics
    view = Windows.of(test, length=1, fields=("observation",), normalize=learnt, seed=None)
    raw = states(train, STATE)
    wanted = (states(test, STATE) - raw.mean(0)) / np.where(raw.std(0) > 0, raw.std(0), 1)
    np.testing.assert_allclose(view.batch(np.arange(len(view)))[STATE][:, 0], wanted, rtol=1e-5, atol=1e-7)
    own = Windows.of(test, length=1, fields=("observation",), normalize=("observation",))
    assert own.identity() != view.identity()
    wrong = {"reward": learnt[STATE]}
    with pytest.raises(InvalidInput, match=r"has a mean of reward of shape \[3\]; .* the shape \[\]"):
        Windows.of(test, length=1, normalize=wrong)


def test_next_observations_and_whole_episodes_are_normalised_alike(dataset):
    moves = Transitions.of(dataset, fields=("observation", "next_observation"), normalize=("observation",), seed=None)
    plain = Transitions.of(dataset, fields=("observation", "next_observation"), seed=None)
    found, raw = (view.batch(np.arange(len(plain))) for view in (moves, plain))
    mean, std = moves.statistics[STATE][:2]
    for name in (STATE, f"next_{STATE}"):
        np.testing.assert_allclose(found[name], (raw[name] - mean) / std, rtol=1e-4, atol=0.1)
    whole = Episodes.of(dataset, fields=("observation", "mask"), normalize=("observation",))
    assert whole.statistics[STATE].mean.tolist() == mean.tolist()
    batch = whole.batch(np.arange(5))
    assert not batch[STATE][~batch["mask"]].any()


def test_statistics_are_measured_once(dataset, monkeypatch):
    first = Windows.of(dataset, length=1, normalize=("reward",)).statistics["reward"]
    kept = hidden_beside(dataset.artifact.path, STATISTICS)
    assert kept.is_file()
    monkeypatch.setattr(type(dataset), "state_rows", None)
    again = Windows.of(dataset, length=1, normalize=("reward",)).statistics["reward"]
    assert (again.mean, again.std, again.states) == (first.mean, first.std, first.states)
    monkeypatch.undo()
    kept.write_text("[]")
    assert Windows.of(dataset, length=1, normalize=("reward",)).statistics["reward"].mean == first.mean


def test_what_cannot_be_normalised_is_said(dataset, tmp_path):
    for normalize, wrong in (
        (("acton",), "of which this view has no field"),
        (("mask",), "There is no step array of .* named mask"),
        (True, r"normalize=True names no arrays\. Name them in a list"),
        ("reward", r"is a text.*normalize=\('reward',\)"),
    ):
        with pytest.raises(InvalidInput, match=wrong):
            Windows.of(dataset, length=1, fields=("reward", "mask"), normalize=normalize)
    broken = replace(dataset[0], steps={**dataset[0].steps, STATE: np.full((4, 3), np.inf)})
    whole = stored(Workspace(str(tmp_path), "bin"), [broken])
    with pytest.raises(InvalidInput, match="state of .* cannot be normalised: NaN or infinite"):
        Windows.of(whole, length=1, normalize=("observation",))
