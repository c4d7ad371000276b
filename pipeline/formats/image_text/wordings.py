"""`format.wordings`: several texts for one action, and how long the texts of a dataset can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import InvalidInput, unknown_name
from pipeline.formats.contract import Outgoing
from pipeline.formats.image_text.words import UNKNOWN_ACTION, ActionTexts

Wordings = Mapping[str, tuple[str, ...]]

LONGEST_NUMBER = len("-1.235e-308, ")
"""Characters of a real number in a printed action."""

LONGEST_WHOLE = len(str(-(2**63))) + 2


def checked_wordings(given: str | Mapping[str, Any] | None) -> Wordings:
    """Texts by the names of actions, from a mapping or a YAML or JSON file. Raises InvalidInput for anything else."""
    if isinstance(given, str):
        try:
            given = yaml.safe_load(Path(given).expanduser().read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidInput(f"format.wordings={given} cannot be read: {error}") from error
    found = {} if given is None else given
    if not isinstance(found, Mapping):
        raise InvalidInput("format.wordings must name actions, each with a list of texts: {left: [left, go left]}")
    for name, texts in found.items():
        if not isinstance(texts, list | tuple) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise InvalidInput(
                f"format.wordings.{name} must be a list of one or more texts, none of them empty: an instruction that "
                f"is missing costs the trainer the sample. It is {texts!r}."
            )
    return {str(name).lower(): tuple(texts) for name, texts in found.items()}


def require_actions(wordings: Wordings, words: Sequence[ActionTexts]) -> None:
    """Raises UnknownName for a name that is no action of any of these datasets."""
    known = dict.fromkeys(name.lower() for each in words for name in each.names)
    for name in wordings:
        if known and name not in known:
            raise unknown_name("action in format.wordings", name, known)
        if not known and not name.isdecimal():
            raise InvalidInput(f"format.wordings names {name}, and these actions have no names: they are numbers.")


def longest_text(words: ActionTexts, data: Outgoing, wordings: Wordings | None = None) -> int:
    """Bytes of the longest text that an action of a dataset can have: a tokenizer makes no more tokens of it."""
    row = data.rows["action"]
    if words.names:
        names = [name.lower() for name in (*words.names, UNKNOWN_ACTION)]
        return max(len(text.encode()) for name in names for text in (wordings or {}).get(name, (name,)))
    number = LONGEST_NUMBER if row.dtype.kind == "f" else LONGEST_WHOLE
    return prod(row.shape) * number + 4 * len(row.shape) * prod(row.shape[:-1])  # brackets around each axis, and commas
