"""Random damage to foreign files, for a minute: nothing but our own errors comes of it, soon and in little memory.

python -m tests.interop.test_fuzz 10000 0      so many inputs from this seed on, and what came of them
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from tests.fuzz.doors import DOORS, valid_files
from tests.fuzz.edits import random_edits
from tests.fuzz.measure import Measurer, Outcome

pytestmark = [pytest.mark.interop, pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc")]

SEED, INPUTS, ENOUGH = 0, 2_000, 120.0
"""The same inputs in each run, as many as a machine manages in so many seconds."""

BAG = [name for name, door in DOORS.items() for _ in range(door.share)]


def outcomes(first: int, count: int, seconds: float) -> Iterator[tuple[str, str, Outcome]]:
    """The door, the recipe as a line of JSON and what came of it, for each input."""
    ends = time.monotonic() + seconds
    with Measurer() as measurer:
        for seed in range(first, first + count):
            rng = random.Random(seed)
            door = rng.choice(BAG)
            edits = random_edits(rng, valid_files(door))
            yield door, json.dumps({"door": door, "edits": edits}), measurer.outcome(door, edits)
            if time.monotonic() > ends:
                return


@pytest.mark.timeout(600)
def test_random_damage_is_refused_in_plain_words_or_read():
    bad, kinds = [], Counter[str]()
    for _, recipe, outcome in outcomes(SEED, INPUTS, ENOUGH):
        kinds[outcome.kind] += 1
        if outcome.kind not in ("clear", "accepted"):
            bad.append(f"{outcome.kind}: {outcome.words}\n{recipe}")
    assert not bad, "\n".join(bad) + "\nMend it, and add the recipe to tests/fuzz/corpus.jsonl."
    assert kinds["clear"] > kinds["accepted"] > 0


def main(count: int, first: int) -> None:
    """Print what failed, then a table."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    slowest = largest = 0.0
    for door, recipe, outcome in outcomes(first, count, float("inf")):
        table[door][outcome.kind] += 1
        table["all"][outcome.kind] += 1
        slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.bytes)
        if outcome.kind not in ("clear", "accepted"):
            print(
                f"{outcome.kind} {outcome.seconds:.1f} s {outcome.bytes / 1e6:.0f} MB: {outcome.words}\n{recipe}",
                flush=True,
            )
    for door, kinds in sorted(table.items()):
        print(f"{door:14} {sum(kinds.values()):6} {dict(kinds)}")
    print(f"slowest {slowest:.1f} s, largest {largest / 1e6:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
