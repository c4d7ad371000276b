"""Pickles read as data: spaces of any library, and no code."""

from __future__ import annotations

import os
import pickle
import sys
import types

import numpy as np
import pytest
from gymnasium import spaces

from pipeline.errors import InvalidInput
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
