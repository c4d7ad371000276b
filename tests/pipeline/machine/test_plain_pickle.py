"""Pickles of plain values: nothing that they name is called, and no number is taken for an address."""

from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest

from pipeline.machine.plain_pickle import NeedsCode, read_plain
from pipeline.policies.opaque import read_opaque

PLAIN = [
    {"a": 1, "b": [1.5, None, "x"], "c": (True, b"raw"), "d": {"e": np.arange(6.0).reshape(2, 3)}},
    OrderedDict(x=np.float32(1.5), y=np.bool_(True), z=np.str_("text"), w=np.int64(-3)),
    np.array({"inner": np.array(["a", "bc"])}, object),
    np.array([[1, 2], [3, 4]], ">i4", order="F"),
    [np.zeros((0, 3)), np.array(7, np.uint8), np.array(["", ""])],
]


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("value", PLAIN)
def test_plain_values_are_read_as_pickle_reads_them(value, protocol):
    data = pickle.dumps(value, protocol)
    assert told(read_plain(data)) == told(pickle.loads(data)) == told(value)


def told(value: object) -> object:
    """A value in words of plain Python, with the types of its arrays and numbers."""
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(told(each) for each in value)
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.newbyteorder("=").str, value.shape, told(np.asarray(value).tolist())
    return value


@pytest.mark.parametrize(
    "value", [np.datetime64("2020-01-01"), np.zeros(2, "f8,i4"), print, int, {1, 2}.union, 2j.conjugate]
)
def test_what_is_no_plain_value_is_named(value):
    with pytest.raises(NeedsCode):
        read_plain(pickle.dumps(value, 4))


def forged(dtype: bytes, data: bytes) -> bytes:
    """A pickle of an array of objects whose type says that it holds numbers: they would be taken for addresses."""
    kind = b"cnumpy\ndtype\n(" + dtype + b"I00\nI01\ntR(I3\nV|\nNNNI-1\nI-1\nI0\ntb"
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    return array + b"(I1\n(I1\nt" + kind + b"I00\n" + data + b"tb."


@pytest.mark.parametrize("read", [read_plain, read_opaque])
def test_numbers_are_never_taken_for_objects(read):
    with pytest.raises(ValueError, match="something else"):
        read(forged(b"VO8\n", b"c_codecs\nencode\n(VAAAAAAAA\nVlatin1\ntR"))


def test_lists_in_lists_over_and_over_are_refused_before_they_fill_the_memory():
    value: object = 1.5
    for _ in range(40):
        value = [value, value]
    with pytest.raises(ValueError, match="very often"):
        read_plain(pickle.dumps(np.array([{"x": value}], object), 4))


def test_a_state_for_a_name_is_refused():
    with pytest.raises(NeedsCode, match="changed function"):
        read_plain(b"cnumpy\ndtype\n}b.")
