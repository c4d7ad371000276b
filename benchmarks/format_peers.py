"""What a form's own library does with the same arrays: it writes the files of an export again, and reads them.

The arrays that are written lie in memory before the time is taken, as they would after a trainer's own work; what is
read goes to the disk as `.npy` would, one file for each name.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipeline.machine.files import files_below, sync_tree

HDF5 = (".hdf5", ".h5")
Write = Callable[[Path], None]
Read = Iterator[tuple[str, np.ndarray]]

PNG_LEVEL = 1
"""What LeRobot's own image writer asks of Pillow."""


class Unknown(Exception):
    """A kind of file that no function here writes."""


def written_again(export: Path) -> Callable[[Path], None]:
    """A function that writes every file of an export into a folder, by the library that people use for it, durably."""
    files = list(files_below(export)) if export.is_dir() else [export]
    top = export if export.is_dir() else export.parent
    writers = [(path.relative_to(top), _writer(path)) for path in files]

    def write(place: Path) -> None:
        for name, writer in writers:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            writer(place / name)
        sync_tree(place)

    return write


def read_to_disk(export: Path, place: Path) -> None:
    """Read every array of an export by the library that people use for it, and write them, durably."""
    files = sorted(files_below(export)) if export.is_dir() else [export]
    write_named(((name, array) for path in files for name, array in _read(path)), place)


def write_named(arrays: Read, place: Path) -> None:
    """Write arrays into a folder, those of one name into one file, durably."""
    with ExitStack() as opened:
        out: dict[str, BinaryIO] = {}
        for name, array in arrays:
            if array.dtype.hasobject:
                continue
            if name not in out:
                out[name] = opened.enter_context((place / f"{len(out)}.npy").open("wb"))
            out[name].write(np.ascontiguousarray(array).data)
    sync_tree(place)


def _writer(path: Path) -> Write:
    """What writes the content of `path`, which is read now."""
    if path.suffix in HDF5:
        return _hdf5_writer(path)
    if path.suffix == ".npz":
        with np.load(path) as held, zipfile.ZipFile(path) as archive:
            arrays = {name: held[name] for name in held.files if isinstance(held[name], np.ndarray)}
            packed = any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist())
        return lambda to: (np.savez_compressed if packed else np.savez)(to, **arrays)
    if path.suffix == ".pkl":
        value = pickle.loads(path.read_bytes())  # of our own making
        return lambda to: to.write_bytes(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)) and None
    if path.suffix == ".parquet":
        return _parquet_writer(path)
    if path.suffix == ".arrow":
        return _arrow_writer(path)
    if path.suffix in (".json", ".jsonl", ".md", ".txt") or path.stat().st_size < 2**16:
        content = path.read_bytes()
        return lambda to: to.write_bytes(content) and None
    raise Unknown(path.name)


def _read(path: Path) -> Read:
    """The arrays of a file by name."""
    if path.suffix in HDF5:
        with h5py.File(path) as file:
            yield from _read_hdf5(file)
    elif path.suffix == ".npz":
        with np.load(path) as held:
            yield from ((name, array) for name in held.files if isinstance(array := held[name], np.ndarray))
    elif path.suffix == ".pkl":
        for name, value in pickle.loads(path.read_bytes()).items():
            yield name, np.asarray(value)
    elif path.suffix == ".parquet":
        yield from _columns(pq.read_table(path))
    elif path.suffix == ".arrow":
        yield from _columns(_arrow_table(path))
    elif path.stat().st_size > 2**16 and path.suffix not in (".json", ".jsonl", ".md"):
        raise Unknown(path.name)


# --- HDF5


def _hdf5_writer(path: Path) -> Write:
    groups: list[tuple[str, dict[str, Any]]] = []
    arrays: list[tuple[str, Any, dict[str, Any], dict[str, Any]]] = []

    def take(name: str, each: h5py.Group | h5py.Dataset) -> None:
        if isinstance(each, h5py.Group):
            groups.append((name, dict(each.attrs)))
            return
        kept = {"dtype": each.dtype}
        if each.chunks and each.shape:
            kept |= {"chunks": each.chunks, "maxshape": each.maxshape, "shuffle": each.shuffle}
            kept |= {"compression": each.compression, "compression_opts": each.compression_opts}
        arrays.append((name, each[()], kept, dict(each.attrs)))

    with h5py.File(path) as file:
        top = dict(file.attrs)
        file.visititems(take)

    def write(to: Path) -> None:
        with h5py.File(to, "w") as file:
            file.attrs.update(top)
            for name, attributes in groups:
                file.require_group(name).attrs.update(attributes)
            for name, data, kept, attributes in arrays:
                file.create_dataset(name, data=data, **kept).attrs.update(attributes)

    return write


def _read_hdf5(group: h5py.Group) -> Read:
    for name, each in group.items():
        if isinstance(each, h5py.Group):
            yield from _read_hdf5(each)
        else:
            yield name, np.asarray(each[()])


# --- Arrow and Parquet


def _parquet_writer(path: Path) -> Write:
    with pq.ParquetFile(path) as file:
        table, first = file.read(), file.metadata.row_group(0)
        codec = first.column(0).compression.lower()
        rows = first.num_rows
    pictures = {name: _decoded(table.column(name)) for name in table.column_names if _is_pictures(table, name)}

    def write(to: Path) -> None:
        pq.write_table(_with_pictures(table, pictures), to, compression=codec, row_group_size=rows)

    return write


def _arrow_writer(path: Path) -> Write:
    table = _arrow_table(path)

    def write(to: Path) -> None:
        with pa.OSFile(str(to), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)

    return write


def _arrow_table(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all()


def _columns(table: pa.Table) -> Read:
    for name in table.column_names:
        if _is_pictures(table, name):
            yield from ((name, picture) for picture in _decoded(table.column(name)))
            continue
        for chunk in table.column(name).chunks:
            yield from _flat(name, chunk)


def _flat(name: str, array: pa.Array) -> Read:
    """The numbers of a column, however nested."""
    if pa.types.is_struct(array.type):
        for field in array.type:
            yield from _flat(f"{name}/{field.name}", array.field(field.name))
    elif pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        yield from _flat(name, array.flatten())
    elif isinstance(array, pa.ExtensionArray):
        yield from _flat(name, array.storage)
    elif not pa.types.is_null(array.type):
        yield name, array.to_numpy(zero_copy_only=False)


def _is_pictures(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return pa.types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}


def _decoded(column: pa.ChunkedArray) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(each["bytes"]))) for each in column.to_pylist()]


def _with_pictures(table: pa.Table, pictures: dict[str, list[np.ndarray]]) -> pa.Table:
    """The table with its pictures encoded by Pillow, in the settings of LeRobot's own writer."""
    for name, each in pictures.items():
        encoded = [{"bytes": png(picture), "path": None} for picture in each]
        column = pa.array(encoded, table.schema.field(name).type)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
    return table


def png(picture: np.ndarray) -> bytes:
    """A picture as PNG by Pillow."""
    held = io.BytesIO()
    Image.fromarray(picture).save(held, "PNG", compress_level=PNG_LEVEL)
    return held.getvalue()
