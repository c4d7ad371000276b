"""Environment variables for a while."""

import os

import pytest

from pipeline.machine.variables import variables_set


def test_variables_are_as_before_even_after_an_error(monkeypatch):
    monkeypatch.setenv("A_VARIABLE", "old")
    monkeypatch.delenv("NO_VARIABLE", raising=False)
    with pytest.raises(KeyError), variables_set({"A_VARIABLE": "new", "NO_VARIABLE": "new"}):
        assert (os.environ["A_VARIABLE"], os.environ["NO_VARIABLE"]) == ("new", "new")
        del os.environ["NO_VARIABLE"]
        raise KeyError
    assert os.environ["A_VARIABLE"] == "old"
    assert "NO_VARIABLE" not in os.environ
