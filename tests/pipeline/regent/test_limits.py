"""Numbers that neither a search nor the bins can hold: named with dataset, array, episode and row, before a build."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.artifact import Spec
from pipeline.dataset.amount import Amount
from pipeline.dataset.grow import Noticed, grow
from pipeline.dataset.workspace import Workspace
from pipeline.dataset.writer import DatasetWriter
from pipeline.episode import Episode
from pipeline.errors import InvalidInput
from pipeline.regent.chain import Chain
from pipeline.regent.limits import check_rows, check_vectors
from pipeline.regent.recipe import Recipe
from pipeline.regent.settings import RetrievalSettings
from stages import retrieval
from tests.pipeline.embedding.pictures import DOMAIN, dataset

LENGTHS = (4, 3, 5)


def shown(dtype, wrong=None, at=(2, 1, 3), width=4):
    """Observations of three episodes, small numbers; one of them (episode, row, place) is `wrong`."""
    rng = np.random.default_rng(0)
    episodes = [rng.integers(0, 2, (length + 1, width)).astype(dtype) for length in LENGTHS]
    if wrong is not None:
        episode, row, place = at
        episodes[episode][row, place] = wrong
    return episodes


def recipe(metric="l2", **more):
    return Recipe(DOMAIN, "pong", "made-v1", retrieval=RetrievalSettings(metric=metric, **more))


def chain(folder, observations, metric="l2"):
    workspace = Workspace(str(folder), "bin")
    dataset(workspace, observations)
    return Chain.of(recipe(metric), workspace)


@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        ("f2", np.inf),
        ("f4", -np.inf),
        ("f8", np.inf),
        ("f8", 1e300),
        ("f8", 3.5e38),
        ("i4", 2**24 + 1),
        ("i8", -(2**24) - 1),
        ("i8", 2**40),
        ("u4", 2**31),
        ("u8", 2**64 - 1),
    ],
)
def test_a_number_that_float32_cannot_hold_is_named_with_its_place(tmp_path, dtype, wrong):
    with pytest.raises(InvalidInput) as caught:
        check_vectors(chain(tmp_path, shown(dtype, wrong)))
    message = str(caught.value)
    assert "the array observation of pictures/pong/made-v1 holds" in message
    assert "at row 1 of episode 2 (number 3 of 4, counted from 0)" in message
    assert "Clip or scale" in message
    assert "the 2 episodes before it: episodes=2" in message


def test_where_no_two_episodes_come_before_it_none_are_suggested(tmp_path):
    with pytest.raises(InvalidInput, match="at row 2 of episode 1") as caught:
        check_vectors(chain(tmp_path, shown("f4", np.inf, (1, 2, 0))))
    assert "episodes=" not in str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "wrong"),
    [
        ("f2", 65504),
        ("f8", 1e37),
        ("f8", 1e-300),
        ("i8", 2**24),
        ("i8", -(2**24)),
        ("u8", 2**24),
        ("u2", 65535),
        ("?", 1),
    ],
)
def test_a_number_that_float32_holds_is_compared(tmp_path, dtype, wrong):
    check_vectors(chain(tmp_path, shown(dtype, wrong)))


def test_the_last_row_of_an_episode_is_no_state_and_is_not_compared(tmp_path):
    check_vectors(chain(tmp_path, shown("f8", np.inf, (0, LENGTHS[0], 0))))


def test_vectors_so_far_apart_that_their_distance_is_infinite_are_refused(tmp_path):
    far = shown("f4", 3e38)
    far[0][0] = -3e38
    with pytest.raises(InvalidInput, match=r"made-v1 goes from -3e\+38 to 3e\+38 \(number 3 of 4.*so large\. Clip"):
        check_vectors(chain(tmp_path / "l2", far))
    check_vectors(chain(tmp_path / "cosine", far, "cosine"))  # an angle is never large
    constant = shown("f4")
    for episode in constant:
        episode[:] = np.finfo(np.float32).max
    check_vectors(chain(tmp_path / "constant", constant))


def test_nothing_is_built_of_what_is_refused(tmp_path):
    workspace = Workspace(str(tmp_path), "bin")
    dataset(workspace, shown("f8", 1e300))
    with pytest.raises(InvalidInput, match=r"1e\+300"):
        retrieval.run(recipe=recipe(), workspace=workspace, force=False)
    assert not (tmp_path / "artifacts/pictures/pong/retrieval").exists()
    few = replace(recipe(), episodes=2)  # as the message suggests
    assert retrieval.run(recipe=few, workspace=workspace, force=False).built


def acted(folder, **last):
    """A chain of two episodes of zeros, of which the second ends with this action or reward."""

    def fill(writer: DatasetWriter, amount: Amount) -> Noticed:
        for number in range(2):
            steps = {
                "observation": np.zeros((5, 2), np.float32),
                "action": np.zeros((5, *np.shape(last.get("action", 0))), np.asarray(last.get("action", 0)).dtype),
                "reward": np.zeros(5),
                "discount": np.ones(5) * (np.arange(5) < 4),
            }
            for name, value in last.items():
                steps[name][3] = value * number
            writer.append(Episode(steps))
        return Noticed()

    workspace = Workspace(str(folder), "bin")
    grow(workspace, Spec("pictures", "pong", "episodes", 1, {}, name="made-v1"), Amount(2, None), fill)
    return Chain.of(recipe(), workspace)


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        (
            {"action": np.float64(1e300)},
            r"hold float32; the action of .*made-v1 holds 1e\+300, at row 3 of episode 1\.",
        ),
        ({"reward": -1e39}, r"hold float32; the reward of .*made-v1 holds -1e\+39, at row 3 of episode 1\."),
        ({"action": np.int64(2**31)}, "hold int32; the action of .*made-v1 holds 2147483648, at row 3 of episode 1"),
        ({"action": np.uint64(2**63)}, "hold int32; the action of .*made-v1 holds 9223372036854775808, at row 3"),
    ],
)
def test_actions_and_rewards_that_the_bins_would_change_are_named(tmp_path, last, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        check_rows(acted(tmp_path, **last))


@pytest.mark.parametrize(
    "action", [np.int64(-(2**31)), np.uint32(2**31 - 1), np.float16(1), np.float64(np.nan), np.True_]
)
def test_actions_that_the_bins_hold_pass_and_unknown_ones_stay_unknown(tmp_path, action):
    check_rows(acted(tmp_path, action=action))


def test_actions_without_numbers_are_refused_before_anything_is_built(tmp_path):
    with pytest.raises(InvalidInput, match=r"bins of .* hold actions; those of .*made-v1 are float32 \[0\]\."):
        check_rows(acted(tmp_path, action=np.zeros(0, np.float32)))
