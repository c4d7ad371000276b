"""OpenVINO: the vectors that torch gives, each by itself, or what to do instead."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.embedding.engine import Engine
from pipeline.embedding.openvino_network import PRECISIONS, OpenVinoNetwork
from pipeline.embedding.settings import DTYPES
from pipeline.errors import InvalidInput
from tests.pipeline.embedding.encoders import Mixing, Pair, Small, embedding
from tests.pipeline.embedding.test_engine import SHAPE, inputs, plain

ALONE = "REPERTOIRE_TESTS_OF_OPENVINO"
installed = pytest.mark.skipif(not find_spec("openvino"), reason="needs openvino")
there = pytest.mark.skipif(os.environ.get(ALONE) != "1", reason="runs in a process without forked workers")


@pytest.mark.slow
@installed
def test_what_needs_openvino_passes_in_a_process_of_its_own():
    """Where OpenVINO has computed, the end of a forked worker of torch's DataLoader ends the process, too."""
    env = {name: value for name, value in os.environ.items() if "XDIST" not in name} | {ALONE: "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rs", __file__]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "SKIPPED" not in done.stdout


class Grouped(Small):
    """With group normalisation, as REGENT's network has it."""

    def __init__(self, channels: int = 6) -> None:
        super().__init__(channels)
        self.norm = nn.GroupNorm(3, channels)
        nn.init.uniform_(self.norm.weight)
        nn.init.uniform_(self.norm.bias)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.second(torch.relu(self.first(pictures)))))).mean((2, 3))


def test_every_dtype_has_its_precision():
    assert set(PRECISIONS) == set(DTYPES)


def test_without_it_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(InvalidInput, match=r"OpenVINO is not installed.*pip install 'repertoire\[openvino\]'"):
        OpenVinoNetwork(Small(), "float32")


@there
@pytest.mark.parametrize("make", [Small, Grouped])
def test_vectors_are_torchs_and_depend_on_the_row_alone(make):
    settings, given = embedding(make, compile="openvino"), inputs()
    engine = Engine(settings, SHAPE)
    whole = engine.start(given)()
    np.testing.assert_allclose(whole, plain(settings, given), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(engine.start(given[7:12])(), whole[7:12])
    assert engine.notes == []


@there
def test_a_number_of_threads_changes_no_bit(monkeypatch):
    settings, given = embedding(compile="openvino"), inputs()
    whole = Engine(settings, SHAPE).start(given)()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    np.testing.assert_array_equal(Engine(settings, SHAPE).start(given)(), whole)


def computable():
    import openvino

    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {dtype for dtype, word in (("bfloat16", "BF16"), ("float16", "FP16")) if word in able}


@there
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_numbers_are_close_or_refused(dtype):
    settings, given = embedding(compile="openvino", dtype=dtype), inputs()
    if dtype not in computable():
        with pytest.raises(InvalidInput, match=f"dtype={dtype}, but OpenVINO computes in b?f(16|32) on this processor"):
            Engine(settings, SHAPE)
        return
    found = Engine(settings, SHAPE).start(given)()
    assert 0 < np.abs(found - plain(settings, given)).max() < 0.02


@there
def test_a_network_with_two_outputs_is_told():
    with pytest.raises(InvalidInput, match="must give one tensor .*; it gives tuple"):
        Engine(embedding(Pair, compile="openvino"), SHAPE)


@there
def test_a_network_that_looks_at_its_neighbours_sees_one_at_a_time():
    engine = Engine(embedding(Mixing, compile="openvino"), SHAPE)
    assert "one at a time" in engine.notes[0]
    np.testing.assert_array_equal(engine.start(inputs())(), np.zeros((40, 8), np.float32))
