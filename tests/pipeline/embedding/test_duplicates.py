"""Slots for vectors: a key finds the slot that it had, and a block never loses one that it uses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.embedding.duplicates import MEMORY_BYTES, Slots, slot_count

BLOCKS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=5), max_size=12)


@given(blocks=BLOCKS, count=st.integers(5, 9))
def test_each_place_holds_its_keys_own_value(blocks, count):
    slots, memory = Slots(count), np.full(count, -1)
    for block in blocks:
        places, new = slots.place([bytes([key]) for key in block])
        memory[places[new]] = np.asarray(block)[new]
        np.testing.assert_array_equal(memory[places], block)


@given(blocks=BLOCKS)
def test_with_room_for_all_each_key_is_new_once(blocks):
    slots, new = Slots(13), 0
    for block in blocks:
        new += len(slots.place([bytes([key]) for key in block])[1])
    assert new == len({key for block in blocks for key in block})


def test_what_was_not_seen_for_longest_goes_first():
    slots = Slots(2)
    slots.place([b"a", b"b"])
    slots.place([b"a", b"c"])
    assert slots.place([b"a"])[1].size == 0
    assert slots.place([b"b"])[1].size == 1


def test_memory_is_bounded():
    assert slot_count(518, 160) * 512 * 4 <= MEMORY_BYTES
    assert slot_count(10**8, 100) == 100
