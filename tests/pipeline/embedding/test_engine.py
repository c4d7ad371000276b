"""The engine: a vector depends on its own input alone, and what cannot run says why."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.embedding import compiler
from pipeline.embedding.engine import Engine
from pipeline.embedding.preprocessing import prepare
from pipeline.embedding.settings import WIDTHS
from pipeline.embedding.weights import load
from pipeline.errors import InvalidInput
from tests.pipeline.embedding.encoders import PLAIN, Broken, Mixing, Pair, Small, embedding

SHAPE = (4, 18, 16)


def inputs(count=40, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8))


def plain(settings, given):
    with torch.inference_mode():
        module = load(settings.network, settings.weights, settings.seed).eval()
        return module(prepare(given, settings.layout, settings.prepared())).numpy()


@pytest.mark.parametrize("make", [Small, Mixing])
def test_neither_place_nor_company_nor_count_changes_a_bit(make):
    engine, given = Engine(embedding(make), SHAPE), inputs()
    whole = engine.start(given)()
    assert whole.shape == (40, 8)
    assert whole.dtype == np.float32
    for count in (1, 3, 17):
        for start in (5, 40 - count):
            np.testing.assert_array_equal(engine.start(given[start : start + count])(), whole[start : start + count])
    order = torch.from_numpy(np.random.default_rng(1).permutation(40))
    np.testing.assert_array_equal(engine.start(given[order])(), whole[order])
    assert engine.start(given[:0])().shape == (0, 8)


def test_vectors_are_those_of_the_network():
    settings = embedding()
    engine = Engine(settings, SHAPE)
    np.testing.assert_allclose(engine.start(inputs())(), plain(settings, inputs()), rtol=0, atol=1e-6)
    assert engine.notes == []


def test_a_network_that_looks_at_its_neighbours_sees_one_at_a_time():
    engine = Engine(embedding(Mixing), SHAPE)
    assert "one at a time" in engine.notes[0]
    np.testing.assert_array_equal(engine.start(inputs())(), np.zeros((40, 8), np.float32))


def test_the_first_numbers_are_kept():
    whole, cut = (Engine(embedding(width=width), SHAPE).start(inputs())() for width in (None, 3))
    np.testing.assert_array_equal(cut, whole[:, :3])


@pytest.mark.skipif(bool(compiler.missing_tools("cpu")), reason="no compiler")
@pytest.mark.slow
def test_a_compiled_network_gives_the_same_and_depends_on_the_row_alone():
    settings = embedding(compile=True)
    engine, given = Engine(settings, SHAPE), inputs()
    whole = engine.start(given)()
    np.testing.assert_allclose(whole, plain(settings, given), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(engine.start(given[7:12])(), whole[7:12])
    assert engine.notes == []


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 0.02), ("float16", 0.002)])
def test_narrow_numbers_are_close_stand_alone_and_become_float32(dtype, bound):
    engine, given = Engine(embedding(dtype=dtype), SHAPE), inputs()
    found = engine.start(given)()
    assert found.dtype == np.float32
    assert 0 < np.abs(found - plain(embedding(), given)).max() < bound
    np.testing.assert_array_equal(engine.start(given[7:12])(), found[7:12])
    assert engine.notes == []


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    compiler.missing_tools.cache_clear()
    yield
    compiler.missing_tools.cache_clear()


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_so_and_runs_all_the_same():
    settings = embedding(compile="auto")
    assert settings.engine == "eager"
    assert "not compiled, because this machine lacks" in Engine(settings, SHAPE).notes[0]
    with pytest.raises(InvalidInput, match="embedding.compile=true, but this machine lacks"):
        Engine(embedding(compile=True), SHAPE)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_of_the_run_and_not_of_the_settings():
    settings = embedding(device="cuda:1")
    assert settings.identity()["numerics"]["device"] == "cuda"
    with pytest.raises(InvalidInput, match="embedding.device=cuda:1, but torch .* finds 0 GPUs here"):
        Engine(settings, SHAPE)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("compiled", [False, True])
def test_a_gpu_gives_the_same_to_four_digits(compiled):
    if compiled and compiler.missing_tools("cuda"):
        pytest.skip("no compiler")
    engine, given = Engine(embedding(device="cuda", compile=compiled), SHAPE), inputs(300)
    whole = engine.start(given)()
    np.testing.assert_allclose(whole, plain(embedding(), given), rtol=0, atol=1e-4)
    np.testing.assert_array_equal(engine.start(given[7:9])(), whole[7:9])


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"features": 9}, "gives 8 numbers for an input of shape .*, 9 were expected.*embedding.features=N"),
        ({"make": Pair}, "must give one tensor .*; it gives tuple"),
        ({"make": Broken}, "does not take inputs of shape .*out of order"),
    ],
)
def test_a_network_that_does_not_work_is_told_before_any_state_is_read(settings, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        Engine(embedding(**settings), SHAPE)


def test_pictures_that_are_too_small_are_told():
    with pytest.raises(InvalidInput, match="no middle of 64 x 64"):
        Engine(embedding(layout="each", features=8, picture=replace(PLAIN, crop=64)), SHAPE)


def test_every_kind_of_device_has_its_width():
    assert set(WIDTHS) == {"cpu", "cuda"}
