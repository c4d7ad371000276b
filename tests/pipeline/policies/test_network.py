"""Networks whose rows mind neither their place nor their neighbours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.policies.network import SLOTS, SlotNetwork, zeros


def perceptron(*widths: int) -> torch.nn.Module:
    torch.manual_seed(0)
    layers = [layer for a, b in pairwise(widths) for layer in (torch.nn.Linear(a, b), torch.nn.Tanh())]
    return torch.nn.Sequential(*layers)


NETWORKS = {
    "two layers": (perceptron(17, 64, 64, 6), (17,)),
    "odd widths": (perceptron(17, 6), (17,)),
    "odd layers": (perceptron(9, 33, 7, 3), (9,)),
    "pictures": (
        torch.nn.Sequential(
            torch.nn.Conv2d(4, 32, 8, 4),
            torch.nn.ReLU(),
            torch.nn.Conv2d(32, 64, 4, 2),
            torch.nn.Flatten(),
            torch.nn.Linear(1600, 6),
        ),
        (4, 52, 52),
    ),
}


def network(name: str) -> SlotNetwork:
    module, shape = NETWORKS[name]
    rng = np.random.default_rng(0)
    inputs = {"x": zeros(shape, np.dtype(np.float32))}
    examples = {"x": rng.normal(size=(SLOTS, *shape)).astype(np.float32)}
    return SlotNetwork(lambda seen: (module(seen["x"]),), inputs, examples)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_row_has_the_same_bits_in_every_slot_and_company(name):
    made, (_, shape), rng = network(name), NETWORKS[name], np.random.default_rng(1)
    inputs = made._inputs["x"].numpy()
    rows = rng.normal(size=(20, *shape)).astype(np.float32)
    bits: dict[int, bytes] = {}
    for _ in range(40):
        numbers, slots = rng.choice(20, SLOTS, replace=False), np.flatnonzero(rng.random(SLOTS) < 0.7)
        inputs[...] = rng.normal(size=inputs.shape)  # what earlier episodes have left in idle slots
        inputs[slots] = rows[numbers[slots]]
        (outputs,) = made(slots.tolist())
        for slot in slots:
            assert bits.setdefault(numbers[slot], outputs[slot].tobytes()) == outputs[slot].tobytes()
        with torch.inference_mode():
            np.testing.assert_allclose(
                outputs[slots], NETWORKS[name][0](torch.from_numpy(rows[numbers[slots]])), atol=1e-4
            )


def test_a_network_that_looks_at_its_neighbours_is_found_out():
    calls = []

    def forward(seen):
        calls.append(len(seen["x"]))
        return (seen["x"] - seen["x"].mean(0),)

    made = SlotNetwork(forward, {"x": torch.ones(SLOTS, 2)}, {"x": np.float32(np.arange(2 * SLOTS)).reshape(SLOTS, 2)})
    assert not made.rows_stand_alone
    (outputs,) = made([3])
    np.testing.assert_array_equal(outputs[3], [0.875, 0.875])  # 1, less the mean of one 1 and seven zeros
    assert set(calls) == {SLOTS}


def test_the_number_of_threads_is_left_as_it_was():
    before, within = torch.get_num_threads(), []

    def forward(seen):
        within.append(torch.get_num_threads())
        return (seen["x"],)

    try:
        torch.set_num_threads(2)
        SlotNetwork(forward, {"x": torch.zeros(SLOTS, 1)}, {"x": np.zeros((SLOTS, 1), np.float32)})([0])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(within) == {1}


def test_several_outputs_and_inputs_keep_their_slots():
    inputs = {"a": torch.zeros(SLOTS, 1), "b": torch.zeros(SLOTS, 2, dtype=torch.uint8)}
    rng = np.random.default_rng(0)
    examples = {"a": rng.normal(size=(SLOTS, 1)).astype(np.float32), "b": rng.integers(0, 256, (SLOTS, 2), np.uint8)}
    made = SlotNetwork(lambda seen: (seen["a"] + 1, seen["b"]), inputs, examples)
    inputs["a"][5], inputs["b"][5] = 2, 7
    plus, same = made([5])
    assert plus[5] == 3
    np.testing.assert_array_equal(same[5], [7, 7])
