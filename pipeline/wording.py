"""How messages put names and errors into words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Any

from pipeline.errors import InvalidInput, PipelineError, unknown_name


def few(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are: `a, b and 3 more` for five names of which two are shown."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def first_few(sentences: Iterable[str], rest: str, most: int = 5) -> Iterator[str]:
    """The first sentences, and how many more there are: `3 more episodes differ` for the rest `episodes differ`."""
    number = 0
    for number, sentence in enumerate(sentences, 1):
        if number <= most:
            yield sentence
    if number > most:
        yield f"{number - most} more {rest}"


def how_many(number: int, things: str) -> str:
    """A number of things, which are given in the plural: `1 episode`, `1,200 episodes`."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"


def ordinal(number: int) -> str:
    """`2nd`, `11th`."""
    last = 0 if 10 < number % 100 < 20 else number % 10
    return f"{number}" + {1: "st", 2: "nd", 3: "rd"}.get(last, "th")


def number_ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in their order, those that follow one another as a range: `1-3, 7` for 1, 2, 3 and 7."""
    found: list[list[int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][-1] == number - 1:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ", ".join("-".join(map(str, ends)) for ends in found)


def check_choice(setting: str, value: object, known: Iterable[str]) -> None:
    """Raises UnknownName where a setting has none of the known values, with the nearest of them."""
    if value not in (names := list(known)):
        raise unknown_name(setting, str(value), names)


def check_type(setting: str, value: object, kind: type | UnionType, meaning: str) -> None:
    """Raises InvalidInput for a setting of another type. Truth values are no numbers."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidInput(f"{setting}={value} is of the wrong type: it must be {meaning}.")


def check_count(setting: str, value: object, least: int = 1) -> None:
    """Raises InvalidInput for a setting that is no whole number, or one below `least`."""
    check_type(setting, value, int, "a whole number")
    if isinstance(value, int) and value < least:
        raise InvalidInput(f"{setting}={value} must be at least {least}.")


def json_words(value: Any) -> str:
    """A JSON value in a message: short, however long or deep it is."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    return json.dumps(value)[:40]


def slug(name: str) -> str:
    """`my-env-v0` for `My_Env-v0`: words of small letters and digits; empty where the name has neither."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def error_text(error: BaseException) -> str:
    """`OSError: no display`, or `OSError` for an error without a text. Whatever it says can be written as UTF-8."""
    try:
        text = writable(str(error))
    except Exception:  # an error of somebody else may fail at that, too
        text = "its text cannot be read"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def writable(text: str) -> str:
    """The text with halves of characters, which UTF-8 does not have, written out: `\\ud800`."""
    return text.encode(errors="backslashreplace").decode()


def first_line(error: BaseException) -> str:
    """The first line of an error's text; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def last_line(error: BaseException) -> str:
    """The last line of an error's text, where compilers say what is wrong; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def reason_of(error: Exception, most: int = 1000) -> str:
    """What an error says, in at most so many characters: an environment may say anything."""
    words = writable(str(error)) if isinstance(error, PipelineError) else error_text(error)
    return words if len(words) <= most else f"{words[:most]}..."
