"""What once ended in a traceback, took minutes or filled the memory is refused in plain words, or read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.doors import DOORS
from tests.fuzz.measure import measured

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="measures by /proc"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
]

CORPUS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("corpus.jsonl").read_text().splitlines()
]


@pytest.mark.parametrize("door", sorted({recipe["door"] for recipe in CORPUS}))
def test_what_once_failed_is_refused_or_read(door: str):
    measured(door, [])  # what is imported and compiled at first is no fault of the files
    assert measured(door, []).kind == "accepted", "the valid files themselves"
    for recipe in CORPUS:
        if recipe["door"] == door:
            outcome = measured(door, recipe["edits"])
            assert outcome.kind in ("clear", "accepted"), f"{outcome.kind}: {outcome.words}\n{json.dumps(recipe)}"


def test_every_recipe_names_a_door():
    assert {recipe["door"] for recipe in CORPUS} <= set(DOORS)
