"""Pickles read as data: spaces of any library, and no code."""

from __future__ import annotations

import os
import pickle
import pickletools
import sys
import types

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.machine.pickles import check_pickle
from pipeline.policies.opaque import Opaque, read_opaque
from pipeline.policies.spaces import gymnasium_space, read_space

SPACES = [
    spaces.Box(-1, 2, (3, 2), np.float64),
    spaces.Box(0, 255, (4, 8, 8), np.uint8),
    spaces.Box(np.float32([-1, -np.inf]), np.float32([1, np.inf])),
    spaces.Discrete(5),
    spaces.Discrete(3, start=2),
    spaces.MultiDiscrete([2, 4]),
    spaces.MultiBinary(3),
    spaces.Dict({"a": spaces.Box(0, 1, (2,)), "b": spaces.Discrete(2)}),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_gymnasium_spaces_survive(space, protocol):
    space.seed(0)  # with its generator
    assert gymnasium_space(read_space(read_opaque(pickle.dumps(space, protocol)))) == space


def test_other_spaces_are_refused():
    with pytest.raises(InvalidInput, match="Text"):
        read_space(read_opaque(pickle.dumps(spaces.Text(5))))


class Bomb:
    def __reduce__(self):
        return os.system, ("echo boom > bomb",)


def test_no_code_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harmful = pickle.dumps({"numbers": np.arange(3), "bomb": Bomb(), "more": [Bomb()]})
    read = read_opaque(harmful)
    assert not (tmp_path / "bomb").exists()
    np.testing.assert_array_equal(read["numbers"], [0, 1, 2])
    assert isinstance(read["bomb"], Opaque)
    assert read["bomb"].made_from == ("echo boom > bomb",)
    pickle.loads(harmful)
    assert (tmp_path / "bomb").exists()


def test_classes_that_are_not_installed_keep_their_attributes(monkeypatch):
    module = types.ModuleType("gone")
    module.Thing = type("Thing", (), {"__module__": "gone"})
    monkeypatch.setitem(sys.modules, "gone", module)
    thing = module.Thing()
    thing.low, thing.rest = np.float32([1, 2]), {"a": (1, "b")}
    data = pickle.dumps(thing)
    monkeypatch.delitem(sys.modules, "gone")
    read = read_opaque(data)
    assert type(read).__name__ == "Thing"
    np.testing.assert_array_equal(read.low, thing.low)
    assert read.rest == thing.rest


def test_numpys_old_and_new_names_mean_the_same():
    array = np.arange(6.0).reshape(2, 3)
    for protocol in (2, 4, 5):
        data = pickle.dumps(array, protocol)
        for name in (b"numpy._core", b"numpy.core"):
            other = data.replace(b"numpy._core", name) if protocol == 2 else data
            np.testing.assert_array_equal(read_opaque(other), array)


def is_refused_by_pickletools(data):
    """What `check_pickle` refuses, found by the standard library's own walk through each opcode."""
    try:
        return any(code.name in PUTS and argument > len(data) for code, argument, _ in pickletools.genops(data))
    except ValueError:
        return True


PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
OF_EACH_KIND = {
    "states": np.arange(60.0).reshape(20, 3),
    "texts": ["left", "é" * 200, "", "a" * 300],
    "bytes": [b"", b"a" * 300, bytearray(9)],
    "numbers": [0, 300, 2**20, -1, 2**70, 0.5, None, True],
    "many": [[each] for each in range(300)],
    "type": np.float64,
    1: {2, 3},
}
PICKLES = [pickle.dumps(each, protocol) for each in (OF_EACH_KIND, np.ones(3), {"a": 1}) for protocol in range(6)]
INSERTED = (b"", b"r\xff\xff\xff\x7f", b"p99999999\n", b"q\xff", b"\x8e" + b"\xff" * 8)


def is_refused(data):
    try:
        check_pickle(data)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("number", range(len(PICKLES)))
def test_what_is_refused_of_damaged_pickles_is_what_a_look_at_each_opcode_refuses(number):
    data = PICKLES[number]
    assert not is_refused(data)
    places = st.integers(0, len(data) - 1)
    bytes_ = st.one_of(st.integers(0, 255), st.sampled_from(b"rqpXBC.\x8c\x8e\x94"))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.tuples(places, bytes_), max_size=3), places, st.sampled_from(INSERTED), st.booleans())
    def damaged(changed, place, inserted, cut):
        broken = bytearray(data)
        for at, byte in changed:
            broken[at] = byte
        broken[place:place] = inserted
        found = bytes(broken[: place + len(inserted)] if cut else broken)
        assert is_refused(found) == is_refused_by_pickletools(found)

    damaged()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_pickle_with_room_for_more_objects_than_it_has_bytes_is_refused(protocol):
    data = pickle.dumps({"states": np.zeros((100, 3))}, protocol)
    with pytest.raises(ValueError, match="has no object 2,147,483,647"):
        read_opaque(data[:-1] + b"r\xff\xff\xff\x7f" + data[-1:])
