"""Identities of the user's functions and classes: what stands in a fingerprint, byte for byte."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from blake3 import blake3

from pipeline.embedding.networks import Module
from pipeline.errors import InvalidInput
from pipeline.machine.source_code import name_and_source
from pipeline.policies.function import Function

HERE = blake3(Path(__file__).read_bytes()).hexdigest()
NAME = f"{__name__}.push"


def push(observations, generators, strength=1):
    raise NotImplementedError


def test_a_name_is_that_in_its_module_and_the_source_is_that_file():
    assert name_and_source(push, {}) == (NAME, HERE)


def test_the_identity_of_a_policy_is_as_it_ever_was():
    plain = {"name": "push", "function": NAME, "source": HERE, "parameters": {}, "batched": True, "width": 8}
    assert json.dumps(Function(push).identity()) == json.dumps(plain)
    given = {"": [3], "strength": 2}
    told = Function(partial(push, 3, strength=2), batched=False).identity()
    assert json.dumps(told) == json.dumps(plain | {"parameters": given, "batched": False, "width": 1})


@pytest.mark.parametrize(
    ("make", "parameters"), [(push, {"": []}), (partial(push, 3, strength=2), {"": [3], "strength": 2})]
)
def test_the_identity_of_a_network_is_as_it_ever_was(make, parameters):
    expected = {"name": NAME, "parameters": parameters, "source": HERE}
    assert json.dumps(Module(make).identity()) == json.dumps(expected)


@pytest.mark.parametrize("code", [lambda: 0, object()])
def test_what_has_no_name_is_refused(code):
    with pytest.raises(InvalidInput, match="no name by which it could be found again"):
        name_and_source(code, {})


def test_parameters_that_are_no_json_are_refused():
    with pytest.raises(InvalidInput, match=rf"{NAME} must be plain values"):
        name_and_source(push, {"strength": object()})
