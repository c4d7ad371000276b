"""What a reader of foreign data found odd, repaired or left out: how many, by which rule, and what was lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from pipeline.wording import how_many

COUNT = "{count}"
"""Stands in a sentence for the number."""

NO_STEP = "an episode has a step"
ZERO_REWARDS = "rewards are 0"
IMPLIED_DISCOUNTS = "1, and 0 at a terminal end"
AS_DECODED = "stored as decoded here"
"""Rules of several readers."""

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
        rule: what decided what became of it: a setting with its value, `source.incomplete=drop`, or in a few words the
            rule of the format or of the reader, `a file is read alone`.
        dropped: how many of the `unit` were left out; 0 where nothing was lost.
        unit: of `dropped`, in the plural: `episodes`, `steps`, `arrays`; empty where nothing was lost.
    """

    name: str
    count: int
    sentence: str
    rule: str = ""
    dropped: int = 0
    unit: str = ""

    @property
    def loss(self) -> str:
        """What was left out, in words: `1 episode`; empty where nothing was."""
        return how_many(self.dropped, self.unit) if self.dropped else ""


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
        self._met: dict[tuple[str, str], Quirk] = {}

    def count(
        self, name: str, sentence: str, more: int = 1, *, rule: str = "", dropped: int = 0, unit: str = ""
    ) -> None:
        """Count `more` of what adds up while rows come; `{count}` in the sentence stands for the sum.

        `rule`, `dropped` and `unit` are those of `Quirk`; `dropped` of `more` adds up as well.
        """
        if more:
            before = self._met.get((name, sentence), Quirk(name, 0, sentence))
            self._keep(Quirk(name, before.count + more, sentence, rule, before.dropped + dropped, unit))

    def note(
        self, name: str, sentence: str, count: int = 1, *, rule: str = "", dropped: int = 0, unit: str = ""
    ) -> None:
        """Note what may be met again when the same place is looked at twice: it counts once."""
        if count:
            self._keep(Quirk(name, count, sentence, rule, dropped, unit))

    def _keep(self, quirk: Quirk) -> None:
        assert not quirk.dropped or quirk.unit, f"{quirk.name}: {quirk.dropped} of what were left out?"
        self._met[quirk.name, quirk.sentence] = quirk

    def __iter__(self) -> Iterator[Quirk]:
        for quirk in self._met.values():
            yield replace(
                quirk, sentence=_with_count(quirk.sentence, quirk.count), unit=quirk.unit if quirk.dropped else ""
            )


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
