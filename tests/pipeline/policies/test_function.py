"""Functions and classes of the user as policies."""

from __future__ import annotations

import functools
from functools import partial

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.interfaces import Decision
from pipeline.policies.function import Function
from pipeline.policies.network import SLOTS
from pipeline.rollout.rollout import rollout
from tests.contracts.policy import PolicyContract
from tests.pipeline.policies.agents import FORCE, Small


def sign(observation, rng, chance=0.0):
    """Left or right, by the first number; at times, still."""
    return 1 if rng.random() < chance else 2 * int(observation[0] > 0)


def signs(observations, generators, chance=0.0):
    return [0 if rng is None else sign(seen, rng, chance) for seen, rng in zip(observations, generators, strict=True)]


def pushes(observations, generators):
    return np.clip(observations["place"], FORCE.low, FORCE.high)


class Counter:
    """Does move 2 at each slot's every third decision."""

    def __init__(self, every=3):
        self.every, self.counts = every, np.zeros(SLOTS, int)

    def start(self, slot):
        self.counts[slot] = 0

    def __call__(self, observations, generators):
        busy = np.asarray([rng is not None for rng in generators])
        self.counts += busy
        return 2 * (self.counts % self.every == 0)


class TestOneByOne(PolicyContract):
    def make(self):
        return Function(partial(sign, chance=0.3), batched=False)

    def environment(self):
        return Small()


class TestBatched(TestOneByOne):
    def make(self):
        return Function(partial(signs, chance=0.3))


class TestWithMemory(TestOneByOne):
    def make(self):
        return Function(partial(Counter, every=2))


class TestSeveralArrays(TestOneByOne):
    def make(self):
        return Function(pushes)

    def environment(self):
        return Small("several", FORCE)


def test_both_ways_of_calling_play_the_same_episode():
    one, all_ = Function(partial(sign, chance=0.3), batched=False), Function(partial(signs, chance=0.3))
    assert (one.slots, all_.slots) == (1, SLOTS)
    episodes = [rollout(Small(), policy, 5, np.random.default_rng(5)).digest() for policy in (one, all_)]
    assert episodes[0] == episodes[1]


def test_idle_slots_are_zeros_without_a_generator():
    seen = []

    def spy(observations, generators):
        seen.append((observations.copy(), generators))
        return np.zeros(SLOTS, int)

    policy, rng = Function(spy), np.random.default_rng(0)
    policy.start(2, Small())
    policy.act([Decision(2, np.ones(3), rng)])
    ((observations, generators),) = seen
    np.testing.assert_array_equal(observations.sum(axis=1), [0, 0, 3, 0, 0, 0, 0, 0])
    assert [each is rng for each in generators] == [slot == 2 for slot in range(SLOTS)]


def test_an_object_is_told_when_an_episode_starts():
    policy = Function(Counter)
    policy.start(0, Small())
    policy.start(1, Small())
    moves = []
    for step in range(6):
        if step == 2:
            policy.start(1, Small())
        moves.append(
            [int(a) for a in policy.act([Decision(slot, np.zeros(3), np.random.default_rng(0)) for slot in (0, 1)])]
        )
    assert moves == [[0, 0], [0, 0], [2, 0], [0, 0], [0, 2], [2, 0]]


def test_the_identity_names_the_function_its_source_and_its_parameters():
    identity = Function(partial(sign, chance=0.3), batched=False).identity()
    assert identity["name"] == "sign"
    assert identity["function"] == f"{__name__}.sign"
    assert len(identity["source"]) == 64
    assert identity["parameters"] == {"chance": 0.3}
    assert Function(partial(Counter, every=2)).identity()["parameters"] == {"every": 2}
    assert Function(Counter).identity()["function"] == f"{__name__}.Counter"


def test_what_cannot_be_found_again_has_no_identity():
    with pytest.raises(InvalidInput, match="no name"):
        Function(lambda observations, generators: 0).identity()
    with pytest.raises(InvalidInput, match="no name"):
        Function(Counter()).identity()
    with pytest.raises(InvalidInput, match="plain values"):
        Function(partial(sign, chance=functools.reduce)).identity()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda observations, generators: np.zeros(3), "answer with 8 actions.* 3"),
        (lambda observations, generators: ["a"] * SLOTS, "must give numbers; it gave str"),
        (lambda observations, generators: np.full(SLOTS, 0.5), r"gave 0\.5; this environment takes whole numbers"),
        (lambda observations, generators: np.full(SLOTS, np.nan), r"gave nan; this environment takes whole numbers"),
        (lambda observations, generators: [2**64] * SLOTS, "must give numbers"),
        (lambda observations, generators: np.full(SLOTS, 2**63, np.uint64), "gave 9223372036854775808; .* takes int64"),
    ],
)
def test_answers_that_are_no_actions_are_refused(function, message):
    policy = Function(function)
    policy.start(0, Small())
    with pytest.raises(InvalidInput, match=message):
        policy.act([Decision(0, np.zeros(3), np.random.default_rng(0))])


def test_what_cannot_be_called_is_refused():
    with pytest.raises(InvalidInput, match=r"policy\.function"):
        Function(5)

    class Silent:
        pass

    with pytest.raises(InvalidInput, match="__call__"):
        Function(Silent).start(0, Small())
