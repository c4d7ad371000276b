"""A plain episode is the same episode, made from fewer pieces."""

import numpy as np
import pytest

from pipeline.dataset.journal import Journal, read_journal
from pipeline.dataset.parts import pack
from pipeline.dataset.plain import bundle_plain, bundles_of, plain_episode, plain_rows
from pipeline.rollout.builder import EpisodeBuilder

ENDS = [(True, False), (False, True), (True, True)]


def made(number):
    """The arrays of an episode, and how it ends."""
    rng = np.random.default_rng(number)
    length = 1 + number % 7
    actions, rewards = rng.integers(0, 2, length), rng.normal(size=length)
    return actions, rng.normal(size=(length + 1, 4)).astype(np.float32), rewards, *ENDS[number % 3]


def plain(number):
    actions, observations, *rest = made(number)
    return plain_episode(plain_rows(actions, observations), actions, observations, *rest, seed=number - 1)


def built(number):
    """The same by the way that all others go."""
    actions, observations, rewards, *ends = made(number)
    builder = EpisodeBuilder(observations[0], seed=number - 1)
    for step, action in enumerate(actions):
        last = step == len(actions) - 1
        builder.add_step(np.asarray(action), observations[step + 1], rewards[step], *(ends if last else (False, False)))
    return builder.build()


def test_a_plain_episode_has_the_content_and_size_of_the_same_episode_and_comes_back_from_the_journal(tmp_path):
    journal = Journal(tmp_path / "journal.bin")
    for number in range(21):
        short, long = plain(number), built(number)
        assert b"".join(short.content()) == b"".join(long.content())
        assert (short.length, short.nbytes, len(short)) == (long.length, long.nbytes, long.length)
        assert journal.append(number, short) == long.digest()
    assert [each.digest() for _, each in read_journal(tmp_path / "journal.bin")] == [
        built(number).digest() for number in range(21)
    ]


def test_plain_episodes_are_packed_as_the_same_episodes_are():
    wanted = pack([built(number) for number in range(21)])
    of = plain(0).of
    packed = bundle_plain([(plain(number), built(number).digest()) for number in range(21)]).arrays
    assert of.nbytes == sum(
        wanted[f"steps/{name}"][0].nbytes for name in ("action", "observation", "reward", "discount")
    )
    assert packed.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(packed[name], array, strict=True)


def test_plain_episodes_and_others_lie_in_bundles_of_their_own_in_order():
    episodes = [plain(0), plain(1), built(2), plain(3), plain(5)]
    bundles = list(bundles_of([*zip([0, 1, 2, 3, 5], episodes, strict=True)]))
    assert [(first, len(bundle)) for first, bundle in bundles] == [(0, 2), (2, 1), (3, 1), (5, 1)]
    assert [each.digest() for _, bundle in bundles for each in bundle.episodes()] == [e.digest() for e in episodes]


@pytest.mark.parametrize(("name", "value"), [("reward", np.nan), ("reward", np.inf), ("observation", np.nan)])
def test_what_an_episode_refuses_is_no_plain_episode(name, value):
    actions, observations, rewards, *ends = made(4)
    (rewards if name == "reward" else observations)[1] = value
    assert plain_episode(plain_rows(actions, observations), actions, observations, rewards, *ends) is None


def test_an_infinite_observation_is_stored():
    actions, observations, rewards, *ends = made(4)
    observations[1, :2] = np.inf, -np.inf
    assert plain_episode(plain_rows(actions, observations), actions, observations, rewards, *ends) is not None


@pytest.mark.filterwarnings("error")
def test_numbers_whose_squares_are_infinite_are_no_reason_for_a_warning():
    actions, observations, rewards, *ends = made(4)
    observations[1] = 1e30
    assert plain_episode(plain_rows(actions, observations), actions, observations, rewards, *ends) is not None


@pytest.mark.parametrize("dtype", [">f4", np.longdouble, np.complex128, object])
def test_arrays_of_other_types_make_no_plain_episodes(dtype):
    assert plain_rows(np.zeros(1, np.int64), np.zeros((1, 2), dtype)) is None
    assert plain_rows(np.zeros(1, np.int64), {"a": np.zeros(1)}) is None


@pytest.mark.parametrize(("action", "observation"), [((), (0,)), ((0,), (3,)), ((0,), (2, 0))])
def test_rows_of_no_numbers_are_packed_as_the_same_episodes_are(action, observation):
    steps = [(np.zeros(action, np.float32), np.zeros(observation, np.float32), float(k)) for k in range(3)]
    builder = EpisodeBuilder(np.zeros(observation, np.float32))
    for number, (acted, seen, reward) in enumerate(steps):
        builder.add_step(acted, seen, reward, number == 2, False)
    plain = builder.build_plain()
    (_, bundle), wanted = next(iter(bundles_of([(0, plain)]))), pack([builder.build()])
    assert bundle.arrays.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(bundle.arrays[name], array, strict=True)
