"""Edits of small valid files: each is a line of JSON, so that what once failed can be kept as a recipe.

A recipe is {"door": name, "edits": [[path, where, edit, *arguments], ...]}. `where` is "" for the bytes of the file, or
what lies inside it: "gz" for what a gzip stream unpacks to, the name of a member of a zip, "json", "table" for parquet.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Files = dict[str, bytes]
Edit = list[Any]

NUMBERS = ["-1", "0", "1", "2", "255", "256", "65536", "2147483648", "1e12", "1000000000000", "9" * 23, "9" * 5000]
NUMBERS += [
    "-9223372036854775809",
    "18446744073709551615",
    "0.5",
    "NaN",
    "Infinity",
    "True",
    "None",
    "null",
    "''",
    "()",
]
VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    0.5,
    10**12,
    10**23,
    -(2**63),
    "",
    "x",
    "../../x",
    "\x00",
    "a\\b",
    "C:",
    "é" * 99,
]
VALUES += [[], {}, [[]], {"": 1}, [1, "a", None], {"a": {"b": []}}, "9" * 400, float("nan")]
TABLE_EDITS = ["type", "drop", "twice", "name", "rows", "again", "cast", "null", "shorter", "longer", "set"]
SPECIALS = ["empty", "missing", "pipe", "folder", "zero", "loop"]
NOT_FITTING = (ValueError, LookupError, ArithmeticError, EOFError, OSError, RecursionError, TypeError, AttributeError)
NOT_FITTING += (zlib.error, zipfile.BadZipFile, pa.ArrowException)
"""What an edit raises where an earlier one has made another file of it."""

NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")
DEEP = "[" * 100_000

TYPES: dict[str, Callable[[], pa.DataType]] = {
    "null": pa.null,
    "double": pa.float64,
    "text": pa.string,
    "struct": lambda: pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    "lists of structs": lambda: pa.list_(pa.struct([("bytes", pa.binary())])),
    "lists of nulls": lambda: pa.list_(pa.null()),
    "lists of texts": lambda: pa.list_(pa.string()),
    "map": lambda: pa.map_(pa.string(), pa.int64()),
    "dictionary": lambda: pa.dictionary(pa.int32(), pa.string()),
    "decimals": lambda: pa.list_(pa.decimal128(10, 2)),
    "times": lambda: pa.list_(pa.timestamp("s")),
}


def apply(edits: list[Edit], files: Mapping[str, bytes], folder: Path) -> None:
    """Write the files into `folder`, edited. An edit that does not fit its file any more changes nothing."""
    found = dict(files)
    specials: dict[str, str] = {}
    for path, where, edit, *arguments in edits:
        if edit == "special":
            specials[path] = arguments[0]
        elif edit == "swap":
            found[path] = found.get(arguments[0], b"")
        elif edit == "rename":
            found[arguments[0]] = found.pop(path, b"")
        elif path in found:
            with suppress(*NOT_FITTING):
                found[path] = _edited(found[path], where, edit, arguments)
    for path, content in found.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        _special(place, specials[path]) if path in specials else place.write_bytes(content)


def _special(place: Path, kind: str) -> None:
    if kind == "empty":
        place.write_bytes(b"")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "zero":
        place.symlink_to("/dev/zero")
    elif kind == "loop":
        place.symlink_to(place)


def _edited(content: bytes, where: str, edit: str, arguments: list[Any]) -> bytes:
    if where == "":
        return _bytes(content, edit, arguments)
    if where == "gz":
        return gzip.compress(_bytes(gzip.decompress(content), edit, arguments), 1, mtime=0)
    if where == "json":
        return _json(content, edit, arguments)
    if where == "table":
        return _table(content, edit, arguments)
    return _member(content, where, edit, arguments)


def _bytes(content: bytes, edit: str, arguments: list[Any]) -> bytes:
    """Places are shares of the length, so that they fit whatever the edits before have left."""
    if edit == "number":  # the n-th number of a text
        found = list(NUMBER.finditer(content))
        hit = found[arguments[0] % len(found)]
        return content[: hit.start()] + arguments[1].encode() + content[hit.end() :]
    if edit == "text":
        return arguments[0].encode()
    at = int(arguments[0] * len(content))
    if edit == "flip":
        return content[:at] + bytes([content[at] ^ arguments[1]]) + content[at + 1 :]
    if edit == "cut":
        return content[:at]
    if edit == "insert":
        return content[:at] + bytes.fromhex(arguments[1]) + content[at:]
    if edit == "delete":
        return content[:at] + content[at + arguments[1] :]
    if edit == "repeat":
        return content[:at] + content[at : at + arguments[1]] * arguments[2] + content[at + arguments[1] :]
    if edit == "fill":
        return content[:at] + bytes([arguments[2]]) * arguments[1] + content[at + arguments[1] :]
    raise ValueError(edit)


def _json(content: bytes, edit: str, arguments: list[Any]) -> bytes:
    document = json.loads(content)
    if edit == "deep":
        return content.rstrip()[:-1] + b', "deep": ' + DEEP.encode()
    places = list(_places(document))
    owner, key = places[arguments[0] % len(places)]
    if edit == "value":
        owner[key] = arguments[1]
    elif edit == "drop":
        del owner[key]
    elif edit == "key" and isinstance(owner, dict):
        owner[arguments[1]] = owner.pop(key)
    return json.dumps(document).encode()


def _places(document: Any) -> Any:
    entries = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in entries:
        yield document, key
        yield from _places(value)


def _table(content: bytes, edit: str, arguments: list[Any]) -> bytes:
    table = pq.read_table(io.BytesIO(content))
    column = arguments[0] % table.num_columns
    name = table.column_names[column]
    if edit == "type":
        table = table.set_column(column, name, pa.nulls(len(table), TYPES[arguments[1]]()))
    elif edit == "drop":
        table = table.remove_column(column)
    elif edit == "twice":
        table = table.append_column(name, table[column])
    elif edit == "name":
        table = table.rename_columns([arguments[1] if each == name else each for each in table.column_names])
    elif edit == "rows":
        table = table.slice(0, arguments[1])
    elif edit == "again":
        table = pa.concat_tables([table, table])
    elif edit == "cast":  # the numbers inside the lists
        kind = {
            "int8": pa.int8(),
            "uint64": pa.uint64(),
            "float16": pa.float16(),
            "bool": pa.bool_(),
            "text": pa.string(),
        }
        table = table.set_column(column, name, table[column].cast(_inside(table[column].type, kind[arguments[1]])))
    else:  # a value of one row, as Python has it
        rows = table[column].to_pylist()
        rows[arguments[1] % len(rows)] = _value(rows[arguments[1] % len(rows)], edit, arguments[2:])
        table = table.set_column(column, name, pa.array(rows, table[column].type))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def _inside(kind: pa.DataType, number: pa.DataType) -> pa.DataType:
    return pa.list_(_inside(kind.value_type, number)) if pa.types.is_list(kind) else number


def _value(value: Any, edit: str, arguments: list[Any]) -> Any:
    if edit == "null" or not isinstance(value, list):
        return None
    at = arguments[0] % max(1, len(value))
    if edit == "shorter":
        return value[:at]
    if edit == "longer":
        return value + value[:1] * arguments[0]
    inner, deepest = value, at  # "set": a number, or a null, at the deepest place
    while isinstance(inner[deepest % len(inner)], list) and inner[deepest % len(inner)]:
        inner = inner[deepest % len(inner)]
    inner[deepest % len(inner)] = arguments[1]
    return value


def _member(content: bytes, name: str, edit: str, arguments: list[Any]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    inside = "json" if edit in ("value", "drop", "key", "deep") else ""
    if edit == "bomb":
        members[name] = b" " * 2**27
    elif edit == "remove":
        del members[name]
    else:
        members[name] = _edited(members[name], inside, edit, arguments)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if edit == "bomb" else zipfile.ZIP_STORED) as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return out.getvalue()


def random_edits(rng: random.Random, files: Mapping[str, bytes]) -> list[Edit]:
    """One to three edits, most of them of one file."""
    names = sorted(files)
    path = rng.choice(names)
    edits = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        path = path if rng.random() < 0.7 else rng.choice(names)
        edits.append([path, *_random_edit(rng, path, files)])
    return edits


def _random_edit(rng: random.Random, path: str, files: Mapping[str, bytes]) -> Edit:
    if rng.random() < 0.05:
        return ["", "special", rng.choice(SPECIALS)]
    if rng.random() < 0.05:
        return ["", "swap", rng.choice(sorted(files))]
    plain = rng.random() < 0.3
    if path.endswith(".gz"):
        return _random_bytes(rng, "" if plain else "gz", numbers=not plain)
    if path.endswith(".parquet") and not plain:
        return _random_table(rng)
    if path.endswith((".json", ".JSON")) and not plain:
        return _random_json(rng, "json")
    if path.endswith((".zip", ".pt")) and not plain:
        with zipfile.ZipFile(io.BytesIO(files[path])) as archive:
            name = rng.choice(archive.namelist())
        if rng.random() < 0.1:
            return [name, rng.choice(["bomb", "remove"])]
        return _random_json(rng, name) if name == "data" else _random_bytes(rng, name)
    return _random_bytes(rng, "", numbers=path.endswith(".json"))


def _random_bytes(rng: random.Random, where: str, numbers: bool = False) -> Edit:
    place = rng.choice([rng.random(), rng.random() ** 4, 1 - rng.random() ** 4 - 1e-9])  # heads and tails are delicate
    if numbers and rng.random() < 0.4:
        return [where, "number", rng.randrange(9), rng.choice(NUMBERS)]
    edit = rng.choice(["flip", "flip", "cut", "insert", "delete", "repeat", "fill"])
    more: dict[str, list[Any]] = {
        "flip": [1 << rng.randrange(8)],
        "cut": [],
        "insert": [rng.randbytes(rng.randrange(1, 9)).hex()],
        "delete": [rng.randrange(1, 64)],
        "repeat": [rng.randrange(1, 64), rng.randrange(2, 50)],
        "fill": [rng.randrange(1, 64), rng.choice([0, 255])],
    }
    return [where, edit, place, *more[edit]]


def _random_json(rng: random.Random, where: str) -> Edit:
    edit = rng.choice(["value", "value", "value", "drop", "key", "deep"])
    more = {
        "value": [rng.choice(VALUES)],
        "drop": [],
        "key": [rng.choice(["-1", "9" * 23, "", "x", "1", "../x"])],
        "deep": [],
    }
    return [where, edit, rng.randrange(10_000), *more[edit]]


def _random_table(rng: random.Random) -> Edit:
    edit = rng.choice(
        ["type", "type", "drop", "twice", "name", "rows", "again", "cast", "null", "shorter", "longer", "set", "set"]
    )
    row, at = rng.randrange(9), rng.randrange(300)
    number = rng.choice([None, -1, 0, 1, 255, 256, 2**40, -(2**63), 2**63 - 1, 0.5, float("nan"), float("inf"), 1e300])
    more: dict[str, list[Any]] = {
        "type": [rng.choice(sorted(TYPES))],
        "name": [rng.choice(["", "x", "rewards", "attention_mask", "é\x00"])],
        "rows": [rng.randrange(3)],
        "cast": [rng.choice(["int8", "uint64", "float16", "bool", "string"])],
        "null": [row],
        "shorter": [row, at],
        "longer": [row, rng.choice([1, 300, 10**5])],
        "set": [row, at, number],
    }
    return ["table", edit, rng.randrange(9), *more.get(edit, [])]
