"""Names of folders that every library can be given: UTF-8, which a path of the system need not be."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.command import again, key_of
from pipeline.errors import InvalidSettings

_NO_TEXT = re.compile("[\ud800-\udfff]+")
"""What Python makes of bytes that are no UTF-8."""


def require_utf8_root(root: str) -> None:
    """Raises InvalidSettings for a `paths.root` that, made absolute, is no UTF-8: arrays cannot be written there."""
    path = str(Path(root).expanduser().absolute())
    if wrong := _NO_TEXT.search(path):
        raise InvalidSettings(
            f"paths.root={_shown(path)}: the name of this folder must be UTF-8, or its arrays cannot be written, and "
            f"{_shown(wrong[0])} is not. Rename it.\nOr take another: {again(paths__root='FOLDER')}"
        )


def require_utf8_words(words: Sequence[str]) -> None:
    """The same of a `paths.root` that was typed, which Hydra cannot read without quotes."""
    for word in words:
        if key_of(word) == "paths.root" and _NO_TEXT.search(word):
            require_utf8_root(word.partition("=")[2].strip("'\""))


def _shown(name: str) -> str:
    r"""A name with its odd bytes written out: `/data/\xe9t\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
