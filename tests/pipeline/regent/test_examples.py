"""The worked examples in the docstrings of the numeric cores."""

import doctest
from importlib import import_module

import numpy as np
import pytest

MODULES = ("bins", "counts", "distances", "missions", "parquet", "pools", "rows", "statistics")


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_give_what_they_say(name):
    module = import_module(f"pipeline.regent.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted > 0
    assert found.failed == 0
