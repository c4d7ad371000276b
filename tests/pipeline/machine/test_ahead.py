"""Reading ahead: the same things in the same order, one ahead, and errors where they belong."""

import gc
import threading

import pytest

from pipeline.machine.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_all_things_come_in_their_order(count):
    assert list(ahead(range(count))) == list(range(count))


def test_a_thing_may_be_none():
    assert list(ahead([None, None])) == [None, None]


def test_the_next_is_made_while_the_present_one_is_used_and_no_more_than_that():
    made = []
    begun = threading.Semaphore(0)

    def things():
        for number in range(4):
            made.append(number)
            begun.release()
            yield number

    for number in ahead(things()):
        for _ in range(2 if number == 0 else 1 if number < 3 else 0):
            assert begun.acquire(timeout=10)
        assert made == list(range(min(number + 2, 4)))


def test_an_error_comes_in_its_turn():
    def things():
        yield from (0, 1)
        raise ValueError("two")

    found = ahead(things())
    assert (next(found), next(found)) == (0, 1)
    with pytest.raises(ValueError, match="two"):
        next(found)
    assert list(found) == []


def test_who_stops_early_leaves_no_thread():
    before = set(threading.enumerate())
    made = []
    found = ahead(made.append(number) or number for number in range(100))
    assert next(found) == 0
    found.close()
    assert set(threading.enumerate()) <= before
    assert made in ([0], [0, 1])


def test_an_interrupt_of_who_uses_them_leaves_no_thread():
    before = set(threading.enumerate())

    def use():
        for number in ahead(range(100)):
            if number == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        use()
    del caught  # its frames hold what was being read
    gc.collect()
    assert set(threading.enumerate()) <= before
