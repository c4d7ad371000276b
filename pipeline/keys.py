"""Keys of mappings as names of arrays, which are paths on disk: no two alike, safe, of bounded length.

A plain key is its own name. Other characters are written as in an address (`a/b` is `a%2Fb`), so that a name without
one of the marks below gives its key back by `urllib.parse.unquote`. A `%` with something else behind it marks:

* `%` alone: the empty key.
* `%=int`: a key that is no text, beside a text that reads the same.
* `%~` and 16 hexadecimal digits of SHA-256: a key, or a whole name, that is too long to be written out.
* `%` at the end of a part: another name is there that a file system would mix up with this one.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

LONGEST_PART = 240
"""Characters of one part of a name; file systems take 255 bytes, of which storages add some."""

LONGEST_NAME = 1000
"""Characters of a whole name; Linux takes paths of 4,096 bytes."""

KEPT = 160
"""Characters that are kept of a part that is too long."""

SHORTENED = "%~"
"""In a name: it is too long to be written out, and ends with a digest."""

Keys = tuple[Any, ...]
"""The keys that lead to a value inside nested mappings."""

_RESERVED = re.compile(r"\.(?=(?:json|bin|copy|tmp|__lock)$)", re.IGNORECASE)
"""How the names end that storages give to files of their own."""

_ENDS = re.compile(f"^[. ]|[. ]$|{_RESERVED.pattern}", re.IGNORECASE)
"""What a part may not begin or end with: hidden files, what some file systems cut off, and names of storages."""

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
"""In the text of an object: where it lies in this process."""


def flattened(nested: Mapping[Any, Any], before: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """What lies in nested mappings, and the keys that lead there."""
    for key, value in nested.items():
        if _is_mapping(type(value)):  # type: ignore[arg-type]  # mypy does not know that a type can be hashed
            yield from flattened(value, (*before, key))
        else:
            yield (*before, key), value


@lru_cache(maxsize=1024)
def _is_mapping(kind: type) -> bool:
    """Four times faster than asking each value."""
    return issubclass(kind, Mapping)


def key_names(paths: Iterable[Keys]) -> dict[Keys, str]:
    """The names of all values of nested mappings, their parts joined by `/`; no two alike.

    A path is missing where a key reads differently in each process, or reads as another one of its type.

    >>> list(key_names([("camera",), ("camera/depth",), ("", "..")]).values())
    ['camera', 'camera%2Fdepth', '%/%2E%2E']
    >>> key_names([(1,), ("1",)])
    {(1,): '1%=int', ('1',): '1'}
    """
    known = list(paths)
    inside: dict[Keys, dict[Any, None]] = {}
    for path in known:
        for depth, key in enumerate(path):
            inside.setdefault(path[:depth], {})[key] = None
    parts = {before: _parts(keys) for before, keys in inside.items()}
    names = {}
    for path in known:
        each = [parts[path[:depth]].get(key) for depth, key in enumerate(path)]
        if None not in each:
            names[path] = _bounded("/".join(map(str, each)))
    return names


@lru_cache(maxsize=4096)
def apart(names: tuple[str, ...]) -> Mapping[str, str]:
    """Names that lie side by side, as they can lie on disk: by `SideBySide`, in alphabetical order."""
    places = SideBySide()
    return {name: places.place(name) for name in sorted(names)}


class SideBySide:
    """Names that lie side by side on disk: none inside another, no two that differ in case or normal form alone.

    The first one gets its place; `%` is added to a part of a later one until it has a place of its own.

    >>> names = SideBySide()
    >>> [names.place(name) for name in ("info/a", "info/a/b", "info/A", "info/a/c", "info/a")]
    ['info/a', 'info/a%/b', 'info/A%%', 'info/a%/c', 'info/a']
    """

    def __init__(self) -> None:
        self._is_array: dict[str, bool] = {}
        self._folded: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._is_array

    def copy(self) -> SideBySide:
        """The same names, to which others may be added."""
        other = SideBySide()
        other._is_array, other._folded = dict(self._is_array), dict(self._folded)
        return other

    def keep(self, name: str) -> None:
        """A name that is there already, exactly so."""
        for path, is_array in _levels(name):
            self._is_array.setdefault(path, is_array)
            self._folded.setdefault(_folded(path), path)

    def place(self, name: str) -> str:
        """The name under which an array can lie beside the others; the same at every call."""
        place, parts = "", _bounded("/".join(map(_short_part, name.split("/")))).split("/")
        for number, part in enumerate(parts, 1):
            while not self._is_free(path := f"{place}{part}", number == len(parts)):
                part += "%"
            place = f"{path}/"
        self.keep(place[:-1])
        return place[:-1]

    def _is_free(self, path: str, is_array: bool) -> bool:
        if path in self._is_array:
            return self._is_array[path] == is_array
        return _folded(path) not in self._folded and not _RESERVED.search(path)


def name_among(known: Container[str], name: str) -> str:
    """The name under which a dataset has this array of an observation.

    Earlier versions wrote the keys of dm_env and of live recordings as they are, `walker/joints` for `walker%2Fjoints`.
    """
    if name in known:
        return name
    earlier = "/".join(unquote(part.rstrip("%")) for part in name.split("/"))
    return earlier if earlier in known else name


@lru_cache(maxsize=4096)  # the same few names come with every episode
def stays_inside(name: str) -> bool:
    """Whether a name is a path that does not leave its folder."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name and not {"", ".", ".."} & set(name.split("/"))


def _parts(keys: Iterable[Any]) -> dict[Any, str | None]:
    """The names of the keys of one mapping; texts first, so that no other key changes their names."""
    found: dict[Any, str | None] = {}
    taken: set[str | None] = set()
    for key in sorted(keys, key=lambda each: not isinstance(each, str)):
        found[key] = _part(str.__str__(key)) if isinstance(key, str) else _of_another_type(key, taken)
        taken.add(found[key])
    return found


def _of_another_type(key: Any, taken: Collection[str | None]) -> str | None:
    """The name of a key that is no text, None where it has none."""
    text = str(key)
    if key != key or ADDRESS.search(text):  # NaN is not even found again
        return None
    name = _part(text)
    if name in taken:
        name = f"{name}%={_part(type(key).__name__)}"
    return None if name in taken else name


@lru_cache(maxsize=4096)
def _part(text: str) -> str:
    if not text:
        return "%"
    name = _ENDS.sub(lambda found: f"%{ord(found[0]):02X}", quote(text, safe=" ", errors="surrogatepass"))
    return name if len(name) <= LONGEST_PART else _shortened(name, text)


def _short_part(part: str) -> str:
    """A part of a name that was made elsewhere."""
    return part if len(part.encode()) <= LONGEST_PART + 4 else _part(part)


def _shortened(name: str, text: str) -> str:
    """What is too long begins as it does and ends with a digest of the whole."""
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{re.sub('%.?$', '', name[:KEPT])}{SHORTENED}{digest[:16]}"


def _bounded(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    head, _, rest = name[: LONGEST_NAME - LONGEST_PART].rpartition("/")
    return f"{head}/{_shortened(rest, name)}"


def _levels(name: str) -> Iterator[tuple[str, bool]]:
    """The folders that a name passes through, and itself; whether each is an array."""
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        yield "/".join(parts[:depth]), depth == len(parts)


@lru_cache(maxsize=4096)
def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
