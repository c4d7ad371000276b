"""Keys as names of arrays: no two alike, safe, of bounded length, and all values come back from both storages."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.dataset.columns import Columns
from pipeline.dataset.parts import pack, save_part, unpack
from pipeline.keys import LONGEST_NAME, LONGEST_PART, SideBySide, apart, flattened, key_names, name_among
from pipeline.observation import observation_arrays
from pipeline.storage.choice import open_arrays, storage_named
from tests.conftest import STORAGES
from tests.pipeline.dataset.made import with_infos

TEXTS = st.one_of(
    st.text(st.characters(categories=None), max_size=6),
    st.sampled_from(["", ".", "..", "/", "a/b", "zarr.json", "a.bin", "A.BIN", "c", "%", "%2F", "é", "e\u0301", "\0"]),
    st.sampled_from(["Я" * 60, "x" * 300, "X" * 300, "a" * 240, "aux", " a", "a ", "..hidden", "\ud800", "1", "1.0"]),
)
KEYS = st.one_of(
    TEXTS, st.integers(-3, 2**70), st.floats(allow_nan=False), st.booleans(), st.none(), st.binary(max_size=3)
)
NESTED = st.recursive(
    st.floats(allow_nan=False),
    lambda inner: st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


def assert_safe(names: list[str]) -> None:
    """Each is a path inside its folder, and no file system mixes two of them up."""
    folded = [unicodedata.normalize("NFD", name).casefold() for name in names]
    assert len(set(folded)) == len(names)
    for name, plain in zip(names, folded, strict=True):
        assert name.isascii()
        assert name.isprintable()
        assert len(name) <= LONGEST_NAME
        assert not any(other.startswith(f"{plain}/") for other in folded)
        for part in name.split("/"):
            assert part not in ("", ".", "..", "zarr.json", "shapes.json")
            assert len(part) <= LONGEST_PART + 4
            assert not part.startswith(".")
            assert not part.lower().endswith((".bin", ".copy", ".__lock", ".tmp"))


@given(NESTED)
def test_names_of_an_observation_are_safe_and_no_two_alike(observation: dict[Any, Any]):
    arrays = observation_arrays(observation)
    assert_safe(list(arrays))
    values = [value for _, value in flattened(observation)]
    assert [float(array) for array in arrays.values()] == values


@given(TEXTS, TEXTS)
def test_two_texts_have_two_names(one: str, other: str):
    names = {name for key in (one, other) for name in key_names([(key,)]).values()}
    assert len(names) == len({one, other})


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (("lives",), "lives"),
        (("episode", "r"), "episode/r"),
        (("agent 1", "x-y_z.w~"), "agent 1/x-y_z.w~"),
        (("a/b",), "a%2Fb"),
        (("50%",), "50%25"),
        ((0, "x"), "0/x"),
        (("x" * 200,), "x" * 200),
        (("..",), "%2E%2E"),
        (("/x",), "%2Fx"),
        (("",), "%"),
        ((None, True), "None/True"),
    ],
)
def test_plain_keys_are_their_own_names_and_odd_characters_are_written_as_in_an_address(keys, name):
    assert key_names([keys]) == {keys: name}


def test_a_number_is_named_by_its_text_and_by_its_type_where_that_text_is_a_key_too():
    assert key_names([(1,)]) == {(1,): "1"}
    assert key_names([(1,), ("1",), (2,)]) == {(1,): "1%=int", ("1",): "1", (2,): "2"}


def test_a_key_that_reads_differently_in_each_process_has_no_name():
    assert key_names([(object(),), (object(),), ("a",), (float("nan"),), (lambda: 0,)]) == {("a",): "a"}


def test_what_is_too_long_keeps_its_beginning_and_differs_by_its_digest():
    names = list(key_names([("Я" * 60 + end,) for end in "ab"]).values())
    assert names[0] != names[1]
    assert all(name.startswith("%D0%AF%D0%AF") for name in names)
    deep = list(key_names([(*["inner" * 20] * 50, end) for end in "ab"]).values())
    assert deep[0] != deep[1]
    assert max(map(len, deep)) <= LONGEST_NAME


def test_the_second_of_two_names_that_a_file_system_mixes_up_is_marked():
    assert dict(apart(("speed", "Speed", "STRASSE", "straße"))) == {
        "STRASSE": "STRASSE",
        "Speed": "Speed",
        "speed": "speed%",
        "straße": "straße%",
    }
    names = SideBySide()
    assert [names.place(name) for name in ("x", "x/y", "x/z/w", "x/z", "X/y", "x")] == [
        "x",
        "x%/y",
        "x%/z/w",
        "x%/z%",
        "X%%/y",
        "x",
    ]


def test_names_that_are_there_already_stay_even_where_they_differ_in_case_alone():
    names = SideBySide()
    for name in ("info/R", "info/r"):
        names.keep(name)
    assert [names.place(name) for name in ("info/r", "info/R", "info/r/x")] == ["info/r", "info/R", "info/r%/x"]


def test_what_an_earlier_version_wrote_as_it_is_is_found_under_that_name():
    known = {"observation/walker/joints", "observation/a", "observation/b%2Fc", "observation/b/c"}
    assert name_among(known, "observation/walker%2Fjoints") == "observation/walker/joints"
    assert name_among(known, "observation/a%") == "observation/a"
    assert name_among(known, "observation/b%2Fc") == "observation/b%2Fc"
    assert name_among(known, "observation/x%2Fy") == "observation/x%2Fy"


@settings(max_examples=25)
@given(st.lists(NESTED, min_size=1, max_size=3), st.sampled_from(STORAGES))
@example([{"a": 1.0}, {"a": {"b": 2.0}}, {"A": {"B": 3.0}, "zarr.json": {"a.bin": 4.0}, "a": 5.0}], "zarr")
@example([{"a": 1.0, "a.bin": {"b": 2.0}}, {"a": {"b": {"c": 2.0}}}], "bin")
@example([{1: 1.0, "1": 2.0, 2: 3.0}, {"1": {"1": 2.0}}], "bin")
def test_infos_of_all_episodes_come_back_from_disk(tmp_path_factory, infos: list[dict[Any, Any]], storage: str):
    columns = Columns()
    stored = [columns.conform(with_infos([info, {}]), number) for number, info in enumerate(infos)]
    folder = tmp_path_factory.mktemp("part") / "part"
    save_part(storage_named(storage), folder, pack(stored))
    found = unpack({name: array[:] for name, array in open_arrays(folder).items()})
    assert [one.digest() for one in found] == [one.digest() for one in stored]
    assert columns.notes == []
    for episode, info in zip(found, infos, strict=True):
        arrays = {name: array for name, array in episode.steps.items() if name.startswith("info/")}
        assert sorted(array[0] for array in arrays.values()) == sorted(value for _, value in flattened(info))
    names = {name for each in found for name in each.steps if name.startswith("info/")}
    assert_safe(sorted(names))
    assert list(folder.parent.iterdir()) == [folder]
