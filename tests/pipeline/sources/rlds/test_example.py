"""tf.train.Example is read as protocol buffers write it, in any of the ways that these allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.sources.rlds.example import ListKind, read_example
from pipeline.sources.rlds.wire import MalformedRecord, from_varints, read_varint, varint, varints
from tests.rlds_files import example_class, record

NUMBERS = st.one_of(
    arrays(np.int64, st.integers(0, 30)), arrays(np.int64, st.integers(0, 30), elements=st.integers(0, 300))
)


@settings(max_examples=50)
@given(NUMBERS)
def test_numbers_are_written_as_protocol_buffers_write_them(numbers: np.ndarray):
    data = varints(numbers)
    assert data.tobytes() == b"".join(varint(number & 2**64 - 1) for number in numbers.tolist())
    np.testing.assert_array_equal(from_varints(data), numbers)
    if numbers.size:
        wanted = record({"x": numbers})
        assert wanted.endswith(data.tobytes())


def test_a_number_without_an_end_or_too_long_is_refused():
    for wrong in (b"\x80", b"\xff" * 11, b"\1" * 20 + b"\x80", b"\1" * 20 + b"\xff" * 11 + b"\1"):
        with pytest.raises(MalformedRecord):
            from_varints(np.frombuffer(wrong, np.uint8))
    with pytest.raises(MalformedRecord):
        read_varint(memoryview(b"\x80\x80"), 0)


def test_every_kind_of_list_is_read():
    numbers = np.array([0, -1, 2**63 - 1, 300, -(2**63)])
    found = read_example(record({"a": np.float32([1.5, -0.0, np.inf]), "b/c": numbers, "d": ["x", "", "long"]}))
    assert found["a"].real_numbers().tobytes() == np.float32([1.5, -0.0, np.inf]).tobytes()
    assert found["b/c"].whole_numbers().tolist() == numbers.tolist()
    assert [bytes(each) for each in found["d"].byte_strings()] == [b"x", b"", b"long"]
    assert {name: values.kind for name, values in found.items()} == {
        "a": ListKind.REAL_NUMBERS, "b/c": ListKind.WHOLE_NUMBERS, "d": ListKind.BYTES
    }  # fmt: skip


def test_numbers_that_are_not_packed_are_read():
    """As writers of the second version of protocol buffers leave them."""
    real = b"".join(b"\x0d" + np.float32(number).tobytes() for number in (1, 2.5))
    whole = b"\x08\x07\x08\xac\x02"
    data = _example({b"r": b"\x12" + varint(len(real)) + real, b"w": b"\x1a" + varint(len(whole)) + whole})
    found = read_example(data)
    assert found["r"].real_numbers().tolist() == [1, 2.5]
    assert found["w"].whole_numbers().tolist() == [7, 300]


def test_fields_in_another_order_and_unknown_ones_are_passed():
    feature = b"\x12" + varint(7) + b"\x1a\x03\x0a\x01\x05\x98\x06"[:5] + b"\x28\x01"
    entry = feature + b"\x0a\x01k"
    inner = b"\x0a" + varint(len(entry)) + entry
    data = b"\x15abcd" + b"\x0a" + varint(len(inner)) + inner
    assert example_class().FromString(data).features.feature["k"].int64_list.value == [5]
    assert read_example(data)["k"].whole_numbers().tolist() == [5]


def test_a_key_that_is_there_twice_has_its_last_value():
    data = record({"k": np.array([1])}) + record({"k": np.array([2])})
    assert example_class().FromString(data).features.feature["k"].int64_list.value == [2]
    assert read_example(data)["k"].whole_numbers().tolist() == [2]


def test_keys_of_any_language_are_read():
    assert list(read_example(record({"Größe/Ωmega": np.array([1])}))) == ["Größe/Ωmega"]


@settings(max_examples=100)
@given(st.data())
def test_any_other_bytes_are_refused_or_read_as_protocol_buffers_do(data: st.DataObject):
    valid = bytearray(record({"a": np.float32([1, 2]), "b": np.array([1, 300]), "c": ["xy", "z"]}))
    position = data.draw(st.integers(0, len(valid) - 1))
    valid[position] = data.draw(st.integers(0, 255))
    try:
        found = read_example(bytes(valid))
        lists = {key: _values(each) for key, each in found.items()}
    except MalformedRecord:
        return
    try:
        theirs = example_class().FromString(bytes(valid))
    except Exception:  # they check a little more: keys, which are text, and fields that nobody asks for
        return
    for key, feature in theirs.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind is not None and len(values := getattr(feature, kind).value):
            np.testing.assert_array_equal(lists[key], list(values))


def _values(found: object) -> list[object]:
    assert hasattr(found, "kind")
    if found.kind == ListKind.BYTES:
        return [bytes(each) for each in found.byte_strings()]
    return (found.real_numbers() if found.kind == ListKind.REAL_NUMBERS else found.whole_numbers()).tolist()


def _example(features: dict[bytes, bytes]) -> bytes:
    inner = b""
    for key, feature in features.items():
        entry = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(len(feature)) + feature
        inner += b"\x0a" + varint(len(entry)) + entry
    return b"\x0a" + varint(len(inner)) + inner
