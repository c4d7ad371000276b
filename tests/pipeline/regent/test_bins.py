"""The bin files: rows, indices and lookups, against arrays written out by hand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.regent.bins import RowArray, action_key, context_indices, read_lookup, row_blocks, write_bin, write_lookup
from pipeline.regent.rows import RowLayout

LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=12)


@given(lengths=LENGTHS, width=st.integers(1, 7))
def test_rows_shift_rewards_and_repeat_the_first_step(lengths, width):
    layout = RowLayout(np.array(lengths), width)
    rewards = np.arange(1, sum(lengths) + 1, dtype=np.float32)
    array = RowArray("rewards", (), np.dtype("<f4"), lambda a, b: rewards[a:b], shift=True)
    rows, state = [], 0
    for length in lengths:
        shifted = [0.0, *rewards[state : state + length - 1]]
        for start in range(0, length, width):
            chunk = shifted[start : start + width]
            rows.append(chunk + [chunk[0]] * (width - len(chunk)))
        state += length
    np.testing.assert_array_equal(np.concatenate(list(row_blocks(array, layout, np.arange(layout.rows)))), rows)


def test_indices_end_with_the_state_itself():
    layout = RowLayout(np.array([5, 2]), 3)
    neighbours = np.tile(np.arange(7), 3)[None, :20].repeat(2, axis=0).astype(np.int32)
    indices = context_indices(neighbours, np.arange(5, 5 + len(neighbours)), layout)
    assert indices.shape == (2, 20, 2)
    np.testing.assert_array_equal(indices[:, 19], [[2, 0], [2, 1]])
    np.testing.assert_array_equal(indices[0, 4], [1, 1])


def test_blocks_of_few_bytes_hold_the_same_rows(monkeypatch):
    layout = RowLayout(np.array([5, 2, 7]), 3)
    values = np.arange(28).reshape(14, 2)
    array = RowArray("continuous_observations", (2,), np.dtype("<f4"), lambda a, b: values[a:b])
    whole = np.concatenate(list(row_blocks(array, layout, np.arange(layout.rows))))
    monkeypatch.setattr("pipeline.regent.bins.BLOCK_BYTES", 1)
    blocks = list(row_blocks(array, layout, np.arange(layout.rows)))
    assert {len(block) for block in blocks} == {1}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_a_lookup_comes_back_and_must_name_each_row_of_the_bins_once(tmp_path):
    assert write_lookup(tmp_path, "-5demos", np.array([3, 4, 9])) == "all_row_idxs_lookup-5demos.json"
    assert read_lookup(tmp_path).tolist() == [3, 4, 9]
    (tmp_path / "all_row_idxs_lookup-5demos.json").write_text(json.dumps({"3": 0, "4": 0}))
    with pytest.raises(DamagedArtifact, match="does not name each row"):
        read_lookup(tmp_path)
    write_lookup(tmp_path, "", np.array([1]))
    with pytest.raises(InvalidInput, match="needs one .*it has 2"):
        read_lookup(tmp_path)


def test_blocks_that_do_not_add_up_are_refused(tmp_path):
    with pytest.raises(ValueError, match="got 1 of 2 rows"):
        write_bin(tmp_path, "rewards", [np.zeros((1, 4), "<f4")], (2, 4), "<f4")


def test_vectors_of_integers_are_no_actions_that_regent_knows():
    assert (action_key(np.dtype("f4"), (3,)), action_key(np.dtype("i8"), ())) == (
        "continuous_actions",
        "discrete_actions",
    )
    with pytest.raises(InvalidInput, match=r"one integer action a step; these actions have shape \[2\]"):
        action_key(np.dtype("i8"), (2,))
