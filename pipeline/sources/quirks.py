"""What a reader of foreign data found odd, decided, repaired or left out: counted, with a sentence for people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

COUNT = "{count}"
"""Stands in a sentence for the number."""

_SINGULAR = {
    **{"have": "has", "are": "is", "were": "was", "hold": "holds", "lack": "lacks"},
    **{"change": "changes", "end": "ends", "count": "counts"},
}
_NOUN = re.compile(r"\{count\} ((?:full |terminal )?)(\w+)s\b")
_VERB = re.compile(r"(^\{count\} \w+ |^\{count\} [\w ]*? (?=have|are|were|hold))(" + "|".join(_SINGULAR) + r")\b")
_AND = re.compile(r"\band were\b")
_THEY = re.compile(r"\bthey (are|were|end|count)\b")


@dataclass(frozen=True)
class Quirk:
    """One oddity of a task's foreign data.

    Attributes:
        name: what it is, in snake case, for programs: `varying_missions`.
        count: how many times it was met: rows, episodes or files, as the sentence says.
        sentence: for people, with the number in it.
    """

    name: str
    count: int
    sentence: str


class Quirks:
    """Collects the quirks of one task while it is read; iterates over them in the order in which they were met.

    >>> quirks = Quirks()
    >>> quirks.count("unsorted_rows", "{count} rows were put into the order of time.", 2)
    >>> quirks.count("unsorted_rows", "{count} rows were put into the order of time.", 5)
    >>> quirks.note("no_index", "There is no index file; the order of the names was taken.")
    >>> [quirk.sentence for quirk in quirks]
    ['7 rows were put into the order of time.', 'There is no index file; the order of the names was taken.']
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, name: str, sentence: str, more: int = 1) -> None:
        """Count `more` of what adds up while rows come; `{count}` in the sentence stands for the sum."""
        if more:
            self._counts[name, sentence] = self._counts.get((name, sentence), 0) + more

    def note(self, name: str, sentence: str, count: int = 1) -> None:
        """Note what may be met again when the same place is looked at twice: it counts once."""
        if count:
            self._counts[name, sentence] = count

    def __iter__(self) -> Iterator[Quirk]:
        for (name, sentence), count in self._counts.items():
            yield Quirk(name, count, _with_count(sentence, count))


def _with_count(sentence: str, count: int) -> str:
    """The sentence with its number; where that is 1, its noun, what that does, and what stands for it are singular.

    >>> _with_count("{count} episodes have no step; they were left out.", 1)
    '1 episode has no step; it was left out.'
    """
    if count == 1:
        sentence = _NOUN.sub(r"{count} \1\2", sentence)
        if sentence.startswith(COUNT):
            sentence = _VERB.sub(lambda found: found[1] + _SINGULAR[found[2]], sentence, count=1)
            sentence = _AND.sub("and was", sentence)
            sentence = _THEY.sub(lambda found: f"it {_SINGULAR[found[1]]}", sentence)
            sentence = sentence.replace(" their ", " its ")
    return sentence.replace(COUNT, f"{count:,}")
