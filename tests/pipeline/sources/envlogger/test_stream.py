"""The frames of the reader, from bytes written by hand."""

import io

import numpy as np
import pytest

from pipeline.sources.envlogger.metadata import nested_values
from pipeline.sources.envlogger.stream import BrokenStream, frames
from tests.pipeline.sources.envlogger.sent import END, episode, numbers, sent, steps, stream, texts, unfit


def test_a_column_has_the_numbers_that_were_sent_where_they_were_sent():
    columns = [numbers(["a", "b"], [[1, 2], [3, 4]], "<i2", [True, False, True]), texts(["w"], [None, "x", None])]
    (frame,) = sent(episode(3, [*columns, unfit(["o"], "it holds bytes")], [numbers(["episode"], [7.5], "<f8")]))
    number, text, odd = frame.columns
    assert number.keys == ("a", "b")
    np.testing.assert_array_equal(number.values, np.array([[1, 2], [3, 4]], np.int16))
    np.testing.assert_array_equal(number.present, [True, False, True])
    assert list(text.texts) == [None, "x", None]
    np.testing.assert_array_equal(text.present, [False, True, False])
    assert odd.unfit == "it holds bytes"
    assert frame.once[0].values[0] == 7.5


def test_what_a_log_says_of_itself_is_nested_as_json_holds_it():
    columns = [
        numbers(["metadata", "specs", "board", "minimum"], [np.zeros((10, 5))], "<f4"),
        numbers(["metadata", "specs", "board", "shape"], [[10, 5]], "<i8"),
        numbers(["metadata", "limits"], [[-np.inf, 1.5]], "<f8"),
        numbers(["metadata", "weights"], [np.arange(100)], "<i8"),
        texts(["metadata", "agent"], ["q"]),
        unfit(["metadata", "key"], "it holds bytes"),
    ]
    head, data = episode(1, [], columns)
    (frame,) = sent((head | {"kind": "metadata"}, data))
    assert nested_values(frame.once) == {
        "specs": {"board": {"minimum": 0.0, "shape": [10, 5]}},
        "limits": ["-inf", 1.5],
        "weights": "int64[100]",
        "agent": "q",
        "key": "left out: it holds bytes",
    }


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        ([], "ends before its last frame"),
        ([episode(4, steps())], "ends before its last frame"),
        ([(episode(4, steps())[0] | {"columns": []}, b"abc"), END], "3 bytes of a frame belong to no column"),
        ([episode(3, [numbers(["a"], [1, 2], "<i8", [True, True, True])])], "marks 3 rows of a column of 2"),
        ([episode(1, [numbers(["a"], [1, 2], "<i8")])], "cannot be int64"),
        ([episode(1, [({"keys": ["a"], "dtype": "<f8", "shape": [1, 10**9]}, b"")])], "longer than its frame"),
        ([episode(1, [({"keys": ["a"], "dtype": "|O", "shape": [1]}, b"01234567")])], "cannot be object"),
        ([episode(1, [({"keys": ["a"], "dtype": "<f8", "shape": [1, -1]}, b"01234567")])], "longer than its frame"),
        ([episode(2, [texts(["a"], ["x"])])], "1 texts are not one for each of 2 rows"),
        ([({"kind": "episode", "rows": 1}, b"")], "a frame cannot be read"),
        ([episode(10**12, [])], "cannot have 1000000000000 rows"),
        ([({"kind": "episode", "rows": 1, "columns": [], "once": []}, b"")], "does not say how it ended"),
    ],
)
def test_a_stream_that_is_none_is_said_to_be_broken(blocks, words):
    with pytest.raises(BrokenStream, match=words):
        list(frames(stream(*blocks)))


def test_a_stream_that_is_cut_anywhere_is_said_to_be_broken():
    whole = stream(episode(4, steps()), END).getvalue()
    for size in range(0, len(whole), 7):
        with pytest.raises(BrokenStream):
            list(frames(io.BytesIO(whole[:size])))
