"""A secret that was typed, or set in a file, is refused before anything is written or sent, and is not repeated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from pipeline.command import Command, key_of, typed
from pipeline.errors import InvalidSettings
from pipeline.machine.secrets import (
    HAND_OVER,
    MARK,
    holds_password,
    is_secret_name,
    without_secrets,
    words_without_secrets,
)

KEPT = "The records of the run and manifests would keep it. Nothing was written or sent."


def refuse_secrets(words: Sequence[str]) -> None:
    """Raises InvalidSettings for words of a command that hold a secret; tells the same command without it."""
    shown = words_without_secrets(words)
    wrong = [place for place, word in enumerate(words) if word != shown[place]]
    if not wrong:
        return
    first = wrong[0]
    name = key_of(shown[first]).lstrip("-")
    if shown[first].strip("=") == MARK:
        name = next((_secret_name(word) for word in words[first - 1 :: -1] if _secret_name(word)), "")
    raise InvalidSettings(_refusal(name, words[first]) + _then(words, shown))


def refuse_secret_settings(settings: Iterable[tuple[str, Any]]) -> None:
    """Raises InvalidSettings where a composed setting, given as its full name and its value, holds a secret."""
    words = [f"{name}={value}" for name, value in settings if value not in (None, "", True, False)]
    text = "\n".join(words)
    if text == without_secrets(text):  # nearly always, and much faster than one after the other
        return
    for word, shown in zip(words, words_without_secrets(words), strict=True):
        if word != shown:
            raise InvalidSettings(_refusal(key_of(shown), word))


def leaves(settings: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The full name of each setting, and its value.

    >>> list(leaves({"hub": {"repo_id": "me/data"}, "task": ["maze"]}))
    [('hub.repo_id', 'me/data'), ('task[0]', 'maze')]
    """
    if isinstance(settings, dict):
        for key, each in settings.items():
            yield from leaves(each, f"{name}.{key}" if name else str(key))
    elif isinstance(settings, list):
        for place, each in enumerate(settings):
            yield from leaves(each, f"{name}[{place}]")
    else:
        yield name, settings


def _refusal(name: str, word: str) -> str:
    what = "an address must not hold a password or a signature" if holds_password(word) else "a secret is no setting"
    hub = (
        "Hand the hub's token over by hf auth login, or in HF_TOKEN; other secrets in the variables of their libraries."
    )
    return f"{name or 'The command'}: {what}. {KEPT}\n{HAND_OVER if holds_password(word) else hub}"


def _then(words: Sequence[str], shown: Sequence[str]) -> str:
    """The command without its secrets; nothing where a mapping holds one, for the rest of that is meant."""
    rest = []
    for word, each in zip(words, shown, strict=True):
        if word == each:
            rest += [] if word == "=" or _secret_name(word) else [word]
        elif "{" in word:
            return ""
        elif holds_password(word) and (plain := _plain_address(each)):
            rest.append(plain)
    return f"\nThen: {Command().line(replace(typed(), words=tuple(rest)))}" if typed().words and rest else ""


def _secret_name(word: str) -> str:
    """The name in a word that only names a secret: `token` of `--token`, and of `token=` before a space."""
    name = word.rstrip(":= ")
    return name.strip("+-") if is_secret_name(name) else ""


def _plain_address(word: str) -> str:
    """A word whose address holds neither a name, a password nor a query; empty where a secret would still be in it."""
    key, equals, value = word.partition("=")
    value = value.partition("?")[0].rpartition("@")[2] if MARK in value else value
    return "" if MARK in value else f"{key}{equals}{value}"
