"""Claims of episodes: each is made once, in runs that are as long as they are quick, and not too far ahead."""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.connection import Connection

import pytest

from pipeline.machine.processes import spawn_context
from pipeline.rollout.claims import AHEAD, Claims


def test_two_workers_claim_each_episode_once_but_for_those_that_are_there():
    claims = Claims(spawn_context(), 3, 200, {5, 6, 40}, workers=2)
    one, other = claims.starts(int, lambda: None), claims.starts(int, lambda: None)
    numbers: list[int | None] = []
    while True:
        pair = [next(each, -1) for each in (one, other)]
        numbers += [number for number in pair if number != -1]
        if pair == [-1, -1]:
            break
    assert sorted(filter(None, numbers)) == sorted(set(range(3, 200)) - {5, 6, 40})


def test_quick_episodes_are_claimed_several_at_a_time():
    claims = Claims(spawn_context(), 0, 1000, (), workers=2)
    one, other = claims.starts(int, lambda: None), claims.starts(int, lambda: None)
    first = [next(one), next(one), next(other)]
    assert first[:2] == [0, 1]
    assert first[2] > 2  # those between are the first worker's


def test_a_worker_that_has_just_begun_need_not_wait_for_one_that_claims_many_at_a_time():
    claims = Claims(spawn_context(), 0, None, (), workers=2)
    quick, new = claims.starts(int, lambda: None), claims.starts(int, lambda: None)
    while next(quick) < AHEAD + 1:
        pass
    assert next(new) is not None


def test_a_worker_that_is_too_far_ahead_lets_go_of_what_it_holds_and_waits():
    let_go: list[bool] = []
    claims = Claims(spawn_context(), 0, None, (), workers=1)
    starts = claims.starts(int, lambda: let_go.append(True))
    numbers = []
    while (number := next(starts)) is not None:
        numbers.append(number)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= AHEAD
    assert let_go == [True]
    claims.packed(len(numbers))
    assert next(starts) == len(numbers)


def wait_as_a_worker(claims: Claims, pipe: Connection) -> None:
    """Claim until nothing may be claimed, tell this process's number, and wait for a parent that packs nothing."""
    for number in claims.starts(int, lambda: pipe.send(os.getpid())):
        time.sleep(0.01 if number is None else 0)


def start_a_worker(pipe: Connection) -> None:
    """A parent that never packs an episode."""
    context = spawn_context()
    claims = Claims(context, 0, None, (), workers=1)  # kept: its lock goes with it
    worker = context.Process(target=wait_as_a_worker, args=(claims, pipe))
    worker.start()
    worker.join()


def test_a_worker_that_waits_ends_where_its_parent_was_killed():
    context = spawn_context()
    ours, theirs = context.Pipe(duplex=False)
    parent = context.Process(target=start_a_worker, args=(theirs,))
    parent.start()
    ours.recv()
    os.kill(parent.pid, signal.SIGKILL)
    parent.join()
    theirs.close()
    with pytest.raises(EOFError):  # the worker held the other end
        while ours.poll(60):
            ours.recv()
        raise AssertionError("the worker is still there")
