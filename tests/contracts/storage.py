"""What every Storage must keep; a subclass named Test... gives `storage` and inherits the checks."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pipeline.storage.contract
from pipeline.digest import ArrayDigest
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import file_table
from pipeline.storage.choice import open_arrays, storage_named, storage_of, storages
from pipeline.storage.contract import Storage, block_rows, write_arrays
from pipeline.storage.resumable import PROGRESS, ArrayWriter

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7))
)
NAMES = st.sampled_from(["a", "b", "group/a", "group/b", "group/inner/c"])
INHERITED: dict[str, Any] = {"suppress_health_check": [HealthCheck.differing_executors]}
"""Several classes inherit the same property tests."""

SHAPE, DTYPE = (1000, 3), np.dtype("<f4")
BLOCK = 120


def numbers() -> np.ndarray:
    return np.random.default_rng(0).normal(size=SHAPE).astype(DTYPE)


def digest(array: np.ndarray, name: str = "group/a") -> bytes:
    one = ArrayDigest(name, array.dtype, array.shape)
    one.update(array)
    return one.digest()


def files(folder: Path) -> list[str]:
    """Everything below a folder, by its path."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def same(got: np.ndarray, array: np.ndarray) -> None:
    """Equal in dtype, shape and every bit that can be told."""
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(np.asarray(got), array)


class StorageContract:
    """Inherit and give `storage`."""

    def storage(self) -> Storage:
        raise NotImplementedError

    @pytest.fixture
    def small_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Blocks of 120 rows in chunks of 40, so that a thousand rows are many blocks."""
        monkeypatch.setattr(pipeline.storage.contract, "CHUNK_BYTES", BLOCK // 3 * 12)
        monkeypatch.setattr(pipeline.storage.contract, "SHARD_BYTES", BLOCK * 12)
        assert block_rows(SHAPE, DTYPE) == BLOCK

    def begin(self, folder: Path, shape: tuple[int, ...] = SHAPE, dtype: np.dtype[Any] = DTYPE) -> ArrayWriter:
        """A writer of the array `group/a` in a draft, which goes on where an earlier one died."""
        folder.mkdir(exist_ok=True)
        if not (folder / "arrays").exists():
            self.storage().create_folder(folder / "arrays")
        return ArrayWriter(self.storage(), folder / "arrays", folder / PROGRESS, "group/a", shape, dtype)

    # What it says of itself

    def test_it_fulfils_the_protocol(self):
        assert isinstance(self.storage(), Storage)

    def test_it_is_found_by_its_name_and_shares_neither_name_suffix_nor_marker(self):
        storage = self.storage()
        assert storage_named(storage.name).name == storage.name
        for field in ("name", "suffix", "marker"):
            assert [getattr(each, field) for each in storages()].count(getattr(storage, field)) == 1

    def test_a_folder_says_itself_what_it_is(self, tmp_path: Path):
        self.storage().create_folder(tmp_path / "created")
        write_arrays(self.storage(), tmp_path / "written", {"a": np.arange(3)})
        for name in ("created", "written"):
            assert storage_of(tmp_path / name).name == self.storage().name

    def test_it_says_whether_it_compresses(self, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"a": np.zeros((50_000, 4))})
        size = sum(path.stat().st_size for path in (tmp_path / "x").rglob("*") if path.is_file())
        assert (size < 50_000 * 4 * 8) == self.storage().compressed

    # What goes in comes out

    @settings(max_examples=40, **INHERITED)
    @given(arrays=st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=3))
    def test_arrays_of_every_dtype_and_rank_come_back_equal(
        self, arrays: Mapping[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory
    ):
        folder = tmp_path_factory.mktemp("arrays")
        write_arrays(self.storage(), folder, arrays)
        back = open_arrays(folder)
        assert sorted(back) == sorted(arrays)
        for name, array in arrays.items():
            assert (back[name].shape, back[name].dtype, len(back[name])) == (array.shape, array.dtype, len(array))
            same(back[name][:], array)

    @settings(max_examples=25, **INHERITED)
    @given(array=ARRAYS, step=st.integers(1, 5))
    def test_arrays_that_are_created_and_appended_to_equal_those_that_are_written_at_once(
        self, array: np.ndarray, step: int, tmp_path_factory: pytest.TempPathFactory
    ):
        folder = tmp_path_factory.mktemp("draft")
        writer = self.begin(folder, array.shape, array.dtype)
        for start in range(0, len(array), step):
            writer.append(array[start : start + step])
        assert writer.close() == digest(array)
        appended = open_arrays(folder / "arrays")["group/a"]
        assert appended.shape == array.shape
        same(appended[:], array)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_no_array_is_too_short_or_too_narrow(self, tmp_path: Path, dtype: str):
        for number, shape in enumerate([(0,), (1,), (0, 3), (3, 0), (0, 0, 2), (1, 1, 1, 1)]):
            array = np.ones(shape, dtype)
            write_arrays(self.storage(), tmp_path / str(number), {"a": array})
            same(open_arrays(tmp_path / str(number))["a"][:], array)

    def test_an_array_without_an_axis_is_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="at least one axis; a has none"):
            write_arrays(self.storage(), tmp_path, {"a": np.float64(3.0)})

    def test_numbers_in_the_other_byte_order_come_back_equal(self, tmp_path: Path):
        array = numbers().astype(">f8")
        write_arrays(self.storage(), tmp_path / "x", {"a": array})
        np.testing.assert_array_equal(open_arrays(tmp_path / "x")["a"][:], array)

    def test_strided_views_come_back_equal(self, tmp_path: Path):
        array = numbers()[::-2, ::2]
        write_arrays(self.storage(), tmp_path / "x", {"a": array})
        same(open_arrays(tmp_path / "x")["a"][:], array)

    @settings(max_examples=25, **INHERITED)
    @given(start=st.integers(-1100, 1100), stop=st.integers(-1100, 1100))
    def test_slices_are_those_of_the_array(self, start: int, stop: int, tmp_path_factory: pytest.TempPathFactory):
        folder = tmp_path_factory.mktemp("arrays")
        write_arrays(self.storage(), folder, {"a": numbers()})
        back = open_arrays(folder)["a"]
        for rows in (slice(start, stop), slice(None, stop), slice(start, None)):
            same(back[rows], numbers()[rows])

    @pytest.mark.parametrize("index", [3, -1, [1, 2], (slice(3), slice(1)), ..., None, "a", slice(0, 9, 2)], ids=repr)
    def test_an_index_that_is_no_slice_of_rows_is_answered_with_what_is(self, index: Any, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"a": numbers()})
        with pytest.raises(IndexError, match=r"read in slices of rows .* array\[10:20\]"):
            open_arrays(tmp_path / "x")["a"][index]

    def test_numpy_makes_an_array_of_it_and_it_shows_what_it_is(self, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"group/a": numbers()})
        opened = open_arrays(tmp_path / "x")
        same(np.asarray(opened["group/a"]), numbers())
        assert np.array(opened["group/a"], np.float64).dtype == np.float64
        np.array(opened["group/a"])[:] = 0  # a copy
        same(opened["group/a"][:], numbers())
        assert "float32 (1000, 3)" in repr(opened["group/a"])
        assert "group/a" in repr(opened)

    def test_rows_are_found_in_arrays_of_many_blocks(self, small_blocks: None, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"a": numbers()})
        back = open_arrays(tmp_path / "x")["a"]
        for start, stop in ((0, 1), (119, 121), (39, 41), (240, 360), (999, 1000), (0, 1000)):
            same(back[start:stop], numbers()[start:stop])

    def test_arrays_join_those_that_a_folder_holds(self, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"a": numbers()})
        write_arrays(self.storage(), tmp_path / "x", {"b/c": numbers()[:7]})
        back = open_arrays(tmp_path / "x")
        assert sorted(back) == ["a", "b/c"]
        same(back["a"][:], numbers())

    def test_writing_says_size_and_checksum_of_each_file_that_it_wrote(self, small_blocks: None, tmp_path: Path):
        some = {"a": numbers(), "group/b": numbers()[:7], "group/c": np.zeros((0, 3)), "d": np.ones((50, 20_000))}
        told = write_arrays(self.storage(), tmp_path / "x", some)
        assert told == file_table(tmp_path / "x", tmp_path / "x")

    def test_the_content_has_one_digest_in_all_storages(self, tmp_path: Path):
        for storage in storages():
            write_arrays(storage, tmp_path / storage.name, {"group/a": numbers()})
            assert digest(open_arrays(tmp_path / storage.name)["group/a"][:]) == digest(numbers())

    def test_opened_arrays_are_sent_to_other_processes_by_their_path(self, tmp_path: Path):
        array = np.random.default_rng(0).normal(size=(20_000, 8))
        write_arrays(self.storage(), tmp_path / "x", {"a": array})
        opened = open_arrays(tmp_path / "x")
        opened["a"][:1]
        for sent in (pickle.dumps(opened), pickle.dumps(opened["a"])):
            assert len(sent) < 10_000
        same(pickle.loads(pickle.dumps(opened))["a"][17:19], array[17:19])
        same(pickle.loads(pickle.dumps(opened["a"]))[17:19], array[17:19])

    # Deaths

    @settings(
        max_examples=15,
        suppress_health_check=[*INHERITED["suppress_health_check"], HealthCheck.function_scoped_fixture],
    )
    @given(deaths=st.lists(st.integers(0, 999), max_size=4), step=st.integers(1, 400))
    def test_any_deaths_and_block_sizes_give_the_array_and_its_digest(
        self, small_blocks: None, deaths: list[int], step: int, tmp_path_factory: pytest.TempPathFactory
    ):
        folder, array = tmp_path_factory.mktemp("draft"), numbers()
        for death in [*deaths, len(array)]:
            writer = self.begin(folder)
            assert writer.done % BLOCK == 0 or writer.done == len(array)
            for start in range(writer.done, death, step):
                writer.append(array[start : min(start + step, death)])
        assert writer.close() == digest(array)
        same(open_arrays(folder / "arrays")["group/a"][:], array)

    @pytest.mark.parametrize("blocks", range(9))
    def test_writing_goes_on_after_a_death_at_each_block(self, small_blocks: None, blocks: int, tmp_path: Path):
        self.begin(tmp_path / "draft").append(numbers()[: blocks * BLOCK])
        writer = self.begin(tmp_path / "draft")
        assert writer.done == blocks * BLOCK
        writer.append(numbers()[writer.done :])
        assert writer.close() == digest(numbers())

    def test_a_holder_that_lost_its_lease_cannot_write_into_the_resumed_array(self, small_blocks: None, tmp_path: Path):
        array = numbers()
        lost = self.begin(tmp_path / "draft")
        lost.append(array[:500])
        (tmp_path / "draft").rename(tmp_path / "taken")
        resumed = self.begin(tmp_path / "taken")
        with contextlib.suppress(OSError):  # its folder is gone: it fails, or makes a folder that nobody reads
            lost.append(np.full((500, 3), 7, DTYPE))
        resumed.append(array[resumed.done :])
        assert resumed.close() == digest(array)
        same(open_arrays(tmp_path / "taken" / "arrays")["group/a"][:], array)

    def test_sweeping_leaves_what_one_undisturbed_writing_leaves(self, small_blocks: None, tmp_path: Path):
        for name, deaths in (("calm", []), ("stormy", [130, 500, 800])):
            for death in [*deaths, len(numbers())]:
                writer = self.begin(tmp_path / name)
                writer.append(numbers()[writer.done : death])
            self.storage().sweep(tmp_path / name)
        assert files(tmp_path / "stormy") == files(tmp_path / "calm")
        same(open_arrays(tmp_path / "stormy" / "arrays")["group/a"][:], numbers())

    # Damage

    @pytest.mark.parametrize("rows", [1000, 50_000])
    def test_a_file_that_is_cut_is_named(self, tmp_path: Path, rows: int):
        write_arrays(self.storage(), tmp_path / "x", {"a": np.random.default_rng(0).normal(size=(rows, 8))})
        largest = max((path for path in (tmp_path / "x").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
        with pytest.raises(DamagedArtifact, match=str(tmp_path / "x" / "a")):
            open_arrays(tmp_path / "x")["a"][:]

    @pytest.mark.parametrize("values", ["zeros", "some"])
    @pytest.mark.parametrize("rows", [1000, 50_000])
    def test_a_file_of_data_that_is_gone_is_never_read_as_zeros(self, tmp_path: Path, rows: int, values: str):
        array = np.zeros((rows, 8)) if values == "zeros" else np.random.default_rng(0).normal(size=(rows, 8))
        write_arrays(self.storage(), tmp_path / "x", {"a": array})
        largest = max(
            (path for path in (tmp_path / "x").rglob("*") if self.is_data(path)), key=lambda p: p.stat().st_size
        )
        largest.unlink()
        with pytest.raises(DamagedArtifact, match=str(tmp_path / "x" / "a")):
            open_arrays(tmp_path / "x")["a"][:]

    def test_a_block_that_is_gone_from_a_draft_is_never_read_as_zeros(self, small_blocks: None, tmp_path: Path):
        self.begin(tmp_path / "draft").append(np.zeros_like(numbers())[:700])
        for path in (tmp_path / "draft" / "arrays").rglob("*"):
            if self.is_data(path):
                path.unlink()
        with pytest.raises(DamagedArtifact, match=str(tmp_path / "draft")):
            self.begin(tmp_path / "draft")

    def is_data(self, path: Path) -> bool:
        """Whether a file holds numbers of an array."""
        return path.is_file() and path.suffix != ".json"

    def test_an_array_that_is_gone_is_named(self, tmp_path: Path):
        write_arrays(self.storage(), tmp_path / "x", {"a": numbers(), "b": numbers()})
        for path in sorted((tmp_path / "x").rglob("a*"), reverse=True):
            path.unlink() if path.is_file() else [each.unlink() for each in path.rglob("*") if each.is_file()]
        with pytest.raises(DamagedArtifact, match=str(tmp_path / "x" / "a")):
            open_arrays(tmp_path / "x")["a"][:]
