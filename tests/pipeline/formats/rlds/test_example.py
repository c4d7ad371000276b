"""tf.train.Example is written as protocol buffers write it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.formats.rlds.example import bytes_list, bytes_of_rows, example, float_list, integer_list, one_integer
from tests.rlds_files import record

WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def test_a_record_has_the_bytes_that_protocol_buffers_write():
    """The digits were made by TensorFlow 2.21: tf.train.Example(...).SerializeToString(deterministic=True).hex()."""
    features = [
        ("a", float_list(np.array([1.5, -2.0]))),
        ("b", integer_list(np.array([3, -1, 300]))),
        ("c", bytes_list([b"xy", b""])),
    ]
    assert example(features).hex() == GOLDEN


GOLDEN = (
    "0a3a0a110a0161120c120a0a080000c03f000000c00a160a016212111a0f0a0d"
    "03ffffffffffffffffff01ac020a0d0a016312080a060a0278790a00"
)


@settings(max_examples=40)
@given(st.data())
def test_arrays_become_the_lists_of_protocol_buffers(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    rows, shape = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([(), (2,), (2, 3)]))
    dtype = np.dtype(data.draw(st.sampled_from(WHOLE)))
    limits = np.iinfo(dtype)
    whole = rng.integers(limits.min, limits.max, (rows, *shape), dtype, endpoint=True)
    real = rng.normal(size=(rows, *shape)).astype(np.float32)
    flags = rng.integers(0, 2, (rows, *shape)).astype(bool)
    texts = [bytes(rng.integers(0, 256, n, np.uint8)) for n in rng.integers(0, 200, rows)]
    written = example(
        [
            ("a", integer_list(whole)),
            ("b/c", float_list(real)),
            ("d", integer_list(flags)),
            ("e", bytes_list(texts)),
            ("f", bytes_of_rows(whole)),
            ("g", one_integer(-3)),
        ]
    )
    bits = whole.view(np.int64) if dtype == np.uint64 else whole
    values = {"a": bits, "b/c": real, "d": flags, "e": texts, "f": [each.tobytes() for each in whole], "g": -3}
    assert written == record(values)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">i4", "<i4", ">f8"])
def test_the_order_of_bytes_and_of_axes_changes_nothing(dtype: str, order: str):
    array = np.asarray(np.arange(12).reshape(3, 2, 2), dtype, order=order)
    little = [np.ascontiguousarray(each, dtype.replace(">", "<")).tobytes() for each in array]
    assert example([("x", bytes_of_rows(array))]) == record({"x": little})
    assert example([("x", float_list(array[:, ::-1]))]) == record({"x": array[:, ::-1].astype(np.float32)})
