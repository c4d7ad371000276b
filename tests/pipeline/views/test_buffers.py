"""Memory of batches is used again, and never while anybody holds a piece of it."""

import gc
import os
import pickle
import threading

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.views.buffers import ALIGNMENT, KEPT, MOST_MAPPED, SMALL, Buffers
from pipeline.views.shared import whole_pages


def large(buffers: Buffers, rows: int = 4) -> np.ndarray:
    return buffers.take({"observation": ((rows, SMALL), np.dtype(np.uint8))})["observation"]


def test_arrays_are_as_asked_aligned_and_apart():
    specs = {
        "frames": ((3, 200, 200), np.dtype(np.uint8)),
        "reward": ((3,), np.dtype(np.float64)),
        "action": ((3, 5), np.dtype(np.int32)),
        "none": ((0, 4), np.dtype(np.float32)),
        "wide": ((3, 30_000), np.dtype(np.float32)),
    }
    batch = Buffers().take(specs)
    assert {name: (array.shape, array.dtype) for name, array in batch.items()} == specs
    for number, array in enumerate(batch.values()):
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.ctypes.data % ALIGNMENT == 0 or not array.size
        array[...] = number
    for number, array in enumerate(batch.values()):
        assert (array == number).all()


def test_memory_is_used_again_as_soon_as_nobody_holds_it():
    buffers = Buffers()
    batch = large(buffers)
    address = batch.ctypes.data
    del batch
    again = large(buffers)
    assert again.ctypes.data == address
    assert large(buffers).ctypes.data != address
    smaller = again[:1]
    del again
    assert large(buffers).ctypes.data != address
    tensor = torch.from_numpy(smaller)[0, 5:]
    del smaller
    assert large(buffers).ctypes.data != address
    view = memoryview(tensor.numpy())
    del tensor
    assert large(buffers).ctypes.data != address
    del view
    gc.collect()
    assert address in {large(buffers).ctypes.data for _ in range(2)}


HOLD = (
    lambda array: array,
    lambda array: array[1:, ::7],
    lambda array: array.reshape(-1)[:6].view(np.uint16),
    lambda array: array.T,
    lambda array: torch.from_numpy(array),
    lambda array: torch.from_numpy(array)[0].view(torch.int8).view(-1),
    lambda array: memoryview(array)[1:],
)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, len(HOLD) - 1), st.integers(0, 4)), max_size=40))
def test_what_somebody_holds_is_never_changed(steps):
    buffers, held = Buffers(), {}
    for number, (rows, kind, kept) in enumerate(steps):
        batch = buffers.take({"a": ((rows, SMALL // 4 - 1), np.dtype(np.uint8)), "b": ((2, rows), np.dtype(np.uint8))})
        for name, array in batch.items():
            array[...] = number
            part = HOLD[kind](array) if array.size > 8 else array
            held[number % (kept + 1), name] = part, bytes(np.ascontiguousarray(np.asarray(part)))
            del part
        del batch, array
        for part, content in held.values():
            assert bytes(np.ascontiguousarray(np.asarray(part))) == content


def test_who_keeps_every_batch_gets_ordinary_memory_in_the_end_and_little_is_kept_of_it():
    buffers = Buffers()
    batches = [large(buffers, rows=1) for _ in range(MOST_MAPPED + 5)]
    for number, batch in enumerate(batches):
        batch[...] = number
    assert all((batch == number).all() for number, batch in enumerate(batches))
    addresses = {batch.ctypes.data for batch in batches}
    del batches, batch
    again = [large(buffers, rows=1) for _ in range(KEPT)]
    assert {each.ctypes.data for each in again} <= addresses
    assert len(buffers._own._free) == 0


def test_threads_get_different_memory():
    buffers, wrong = Buffers(), []

    def fill(number: int) -> None:
        for _ in range(200):
            array = large(buffers, 1)
            array[...] = number
            if (array != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forked_process_writes_into_memory_of_its_own():
    buffers = Buffers()
    kept, free = large(buffers), large(buffers)
    kept[...], free[...] = 1, 2
    view = free[:1]
    if not (child := os.fork()):
        large(buffers)[...] = 3
        kept[...] = 3
        os._exit(0)
    os.waitpid(child, 0)
    assert (kept == 1).all()
    assert (view == 2).all()


def test_buffers_are_sent_without_their_memory():
    buffers = Buffers()
    large(buffers)
    assert len(pickle.dumps(buffers)) < 200
    assert (large(pickle.loads(pickle.dumps(buffers))).shape) == (4, SMALL)


def test_sizes_are_rounded_up_by_an_eighth_at_most():
    for nbytes in (0, 1, 4096, 4097, 70_000, 2**20 + 1, 30_000_000):
        assert whole_pages(nbytes) >= nbytes
        assert whole_pages(nbytes) % 4096 == 0
        assert whole_pages(nbytes) <= max(nbytes * 9 / 8, nbytes + 4096)
