"""Inputs of states: their own episode's frames, however they are stored and read."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataset.workspace import Workspace
from pipeline.embedding.states import StateInputs, window
from pipeline.errors import InvalidInput
from tests.pipeline.embedding.pictures import dataset, noise, read, stacks


def taken(inputs: StateInputs, start: int, stop: int) -> np.ndarray:
    found = inputs.read(start, stop)
    out = np.empty((stop - start, *inputs.shape), np.uint8)
    found.take(np.arange(stop - start), out)
    return out


@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    frames=st.integers(1, 5),
    zero=st.booleans(),
    bounds=st.tuples(st.integers(0, 40), st.integers(1, 40)),
)
def test_a_window_holds_the_states_before_in_the_same_episode(lengths, frames, zero, bounds):
    ends = np.cumsum(lengths)
    start = bounds[0] % int(ends[-1])
    stop = min(int(ends[-1]), start + bounds[1])
    wanted = []
    for state in range(start, stop):
        first = max([0, *(end for end in ends.tolist() if end <= state)])
        wanted.append([i if i >= first else (-1 if zero else first) for i in range(state - frames + 1, state + 1)])
    np.testing.assert_array_equal(window(ends, start, stop, frames, zero), wanted)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two-coloured pictures, so that many are equal."""
    shown = [np.repeat(np.repeat(each, 9, 1), 8, 2) for each in noise([5, 1, 9, 2], (2, 2), values=2)]
    return shown, read(dataset(Workspace(str(tmp_path_factory.mktemp("states"))), shown))


@settings(max_examples=40)
@given(frames=st.integers(1, 4), zero=st.booleans(), bounds=st.tuples(st.integers(0, 16), st.integers(1, 17)))
def test_inputs_are_the_frames_and_equal_keys_are_equal_inputs(recorded, frames, zero, bounds):
    shown, reader = recorded
    inputs = StateInputs(reader, frames, "zero" if zero else "first", "a/b")
    start, stop = bounds[0], min(17, bounds[0] + bounds[1])
    assert inputs.shape == (frames, 18, 16)
    wanted = stacks(shown, frames, zero)[start:stop]
    np.testing.assert_array_equal(taken(inputs, start, stop), wanted)
    keys = inputs.read(start, stop).keys
    for i, key in enumerate(keys):
        for j, other in enumerate(keys):
            assert (key == other) == np.array_equal(wanted[i], wanted[j]) or (zero and frames > 1)


def test_missing_frames_are_black_and_a_black_frame_may_have_another_key(tmp_path):
    shown = [np.zeros((4, 18, 16), np.uint8)]
    reader = read(dataset(Workspace(str(tmp_path)), shown))
    inputs = StateInputs(reader, 3, "zero", "a/b")
    assert not taken(inputs, 0, 3).any()
    assert len(set(inputs.read(0, 3).keys)) == 3
    assert len(set(StateInputs(reader, 3, "first", "a/b").read(0, 3).keys)) == 1


def test_stored_stacks_are_used_as_they_are(tmp_path):
    shown = noise([3, 4], (4, 18, 16))
    reader = read(dataset(Workspace(str(tmp_path)), shown))
    whole = np.concatenate([each[:-1] for each in shown])
    np.testing.assert_array_equal(taken(StateInputs(reader, 4, "zero", "a/b"), 1, 7), whole[1:])
    np.testing.assert_array_equal(taken(StateInputs(reader, 2, "first", "a/b"), 0, 7), whole[:, 2:])
    with pytest.raises(InvalidInput, match="a stack of 4 frames, and embedding.frames=5 asks for more"):
        StateInputs(reader, 5, "first", "a/b")


@pytest.mark.parametrize(("shape", "seen"), [((18, 16, 3), (2, 18, 16, 3)), ((18, 16, 1), (2, 18, 16))])
def test_channels_may_come_last(tmp_path, shape, seen):
    shown = noise([3, 4], shape)
    inputs = StateInputs(read(dataset(Workspace(str(tmp_path)), shown)), 2, "first", "a/b")
    assert inputs.shape == seen
    np.testing.assert_array_equal(taken(inputs, 0, 7), stacks(shown, 2, False).reshape(-1, *seen))


def test_three_planes_may_be_colours_so_nothing_is_guessed(tmp_path):
    reader = read(dataset(Workspace(str(tmp_path)), noise([3], (3, 18, 16))))
    with pytest.raises(InvalidInput, match="three grey frames, or one in colour with its channels first"):
        StateInputs(reader, 1, "first", "a/b")
    assert StateInputs(reader, 3, "first", "a/b").shape == (3, 18, 16)


@pytest.mark.parametrize(
    ("pictures", "complaint"),
    [
        (np.zeros((4, 7), np.float32), r"are vectors \(observation float32 \[7\]\): they need no embeddings stage"),
        (np.zeros((4, 18, 16), np.float32), "takes uint8 pictures"),
        (np.zeros((4, 20, 18, 16), np.uint8), "takes uint8 pictures"),
        (np.zeros((4, 2, 3, 18, 16), np.uint8), "takes uint8 pictures"),
    ],
)
def test_what_is_no_picture_is_said_to_be_none(tmp_path, pictures, complaint):
    reader = read(dataset(Workspace(str(tmp_path)), [pictures]))
    with pytest.raises(InvalidInput, match=complaint):
        StateInputs(reader, 1, "first", "a/b")
