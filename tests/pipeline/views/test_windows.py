"""Windows equal a plain loop over the dataset."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InvalidInput
from pipeline.views.windows import Windows
from tests.conftest import collected, toy_domain


@pytest.fixture
def dataset(workspace):
    collected(toy_domain(), workspace)
    return workspace["toy/corner/scripted-v1"]


def plain(dataset, length, skip, padding, stack):
    """Sample by sample, state by state."""
    span = (length - 1) * skip + 1
    for number, episode in enumerate(dataset):
        for anchor in range(episode.length if padding else max(0, episode.length - span + 1)):
            begin = anchor - span + 1 if padding == "left" else anchor
            rows = [begin + skip * i for i in range(length)]
            mask = [0 <= row < episode.length for row in rows]
            steps = episode.steps
            seen = [
                [steps["observation"][max(row - k, 0)] for k in range(stack - 1, -1, -1)]
                for row in rows
                if 0 <= row < episode.length
            ]
            observation = np.zeros((length, stack, *steps["observation"].shape[1:]), steps["observation"].dtype)
            observation[mask] = seen
            reward = np.float32([steps["reward"][row] if there else 0 for row, there in zip(rows, mask, strict=True)])
            to_go = np.float32(
                [steps["reward"][row:].sum() if there else 0 for row, there in zip(rows, mask, strict=True)]
            )
            yield {
                "observation": observation if stack > 1 else observation[:, 0],
                "reward": reward,
                "mask": np.array(mask),
                "return_to_go": to_go,
                "timestep": np.array([row if there else 0 for row, there in zip(rows, mask, strict=True)]),
                "terminated": np.array([row == episode.length - 1 and episode.terminated for row in rows]),
                "episode": number,
            }


@pytest.mark.parametrize(
    ("length", "skip", "padding", "stack"), [(3, 1, None, 1), (4, 2, "left", 3), (5, 1, "right", 2)]
)
def test_windows_equal_a_plain_loop(dataset, length, skip, padding, stack):
    fields = ("observation", "reward", "mask", "return_to_go", "timestep", "terminated", "episode")
    view = Windows.of(dataset, length=length, skip=skip, padding=padding, frame_stack=stack, fields=fields, seed=None)
    wanted = list(plain(dataset, length, skip, padding, stack))
    assert len(view) == len(wanted)
    batch = view.batch(np.arange(len(view)))
    for name in fields:
        np.testing.assert_array_equal(batch[name], np.stack([each[name] for each in wanted]), err_msg=name)


def test_each_window_comes_once_an_epoch_in_an_order_of_its_own(dataset):
    view = Windows.of(dataset, length=3, fields=("episode", "timestep"), seed=1)
    epochs = [view.batch(np.arange(len(view)) + epoch * len(view)) for epoch in (0, 1)]
    starts = [list(zip(each["episode"].tolist(), each["timestep"][:, 0].tolist(), strict=True)) for each in epochs]
    assert sorted(starts[0]) == sorted(starts[1]) == sorted(set(starts[0]))
    assert starts[0] != starts[1] != sorted(starts[1])


def test_a_window_longer_than_every_episode_is_refused(dataset):
    with pytest.raises(InvalidInput, match=r"the longest has \d+. Take a shorter one"):
        Windows.of(dataset, length=10_000)
