"""Reading ahead: the same results in the same order, one at a time, and errors where they belong."""

import threading

import pytest

from pipeline.embedding.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_it_is_a_map(count):
    assert list(ahead(lambda n: n * n, range(count))) == [n * n for n in range(count)]


def test_the_next_is_made_while_the_present_one_is_used():
    started = [threading.Event() for _ in range(3)]

    def make(number):
        started[number].set()
        return number

    for number in ahead(make, range(3)):
        if number < 2:
            assert started[number + 1].wait(10)


def test_an_error_comes_in_its_turn():
    def make(number):
        if number == 2:
            raise ValueError("two")
        return number

    found = []
    with pytest.raises(ValueError, match="two"):
        found.extend(iter(ahead(make, range(5))))
    results = ahead(make, range(5))
    assert (next(results), next(results)) == (0, 1)
    with pytest.raises(ValueError, match="two"):
        next(results)
