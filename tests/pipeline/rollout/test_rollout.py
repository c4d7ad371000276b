"""Episodes of a scripted simulator, checked row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from pipeline.envs.toy import Toy
from pipeline.episode import Episode
from pipeline.errors import InvalidInput, NoRenderer
from pipeline.interfaces import ArraySpec, Decision, Environment, GaveUp, Observation, Player, Transition
from pipeline.policies.random import Random
from pipeline.policies.scripted import Scripted
from pipeline.rollout.rollout import Start, play, rollout

RNG = np.random.default_rng(0)


class Tape:
    """A simulator that plays back given transitions; an exception among them is raised."""

    mission = "play the tape"
    action_spec = ArraySpec((2,), np.dtype(np.float32))

    def __init__(self, first: Observation, tape: Sequence[Transition | Exception]) -> None:
        self._first, self._tape = first, tape
        self.actions: list[np.ndarray] = []

    def identity(self) -> Mapping[str, Any]:
        return {}

    def reset(self, seed: int) -> Observation:
        if isinstance(self._first, Exception):
            raise self._first
        return self._first

    def step(self, action: np.ndarray) -> Transition:
        transition = self._tape[len(self.actions)]
        self.actions.append(action)
        if isinstance(transition, Exception):
            raise transition
        return transition

    def render(self) -> np.ndarray:
        raise NoRenderer("a tape has no picture")

    def picture_identity(self) -> Mapping[str, Any]:
        return {}

    def expert(self) -> Player:
        raise InvalidInput("a tape has no expert")

    def close(self) -> None: ...


class OneBuffer:
    """Writes every action into the same array: 1, 2, 3, ...."""

    name = "one-buffer"
    slots = 1

    def __init__(self, shape: tuple[int, ...] = (2,), dtype: type[np.floating] = np.float32) -> None:
        self._action = np.zeros(shape, dtype)

    def identity(self) -> Mapping[str, Any]:
        return {"name": self.name}

    def start(self, slot: int, environment: Environment) -> None:
        self._action[...] = 0

    def act(self, decisions: Sequence[Decision]) -> list[np.ndarray]:
        self._action += 1
        return [self._action]


def seen(*values: float) -> np.ndarray:
    return np.float32(values)


def taped(tape: Sequence[Transition | Exception], first: Any = None, limit: int | None = None):
    first = seen(0.0) if first is None else first
    return rollout(Tape(first, tape), OneBuffer(), 42, RNG, limit)


def test_rows_hold_state_action_reward_and_the_last_observation():
    episode = taped([Transition(seen(1), 0.5), Transition(seen(2), 0.25, terminated=True)])
    assert episode.length == 2
    assert episode.steps["observation"].tolist() == [[0], [1], [2]]
    assert episode.steps["action"].tolist() == [[1, 1], [2, 2], [0, 0]]
    assert episode.steps["reward"].tolist() == [0.5, 0.25, 0]
    assert episode.steps["discount"].tolist() == [1, 0, 0]
    assert {name: array.dtype.name for name, array in episode.steps.items()} == {
        "observation": "float32",
        "action": "float32",
        "reward": "float64",
        "discount": "float64",
    }
    assert (episode.seed, episode.mission) == (42, "play the tape")
    assert (episode.terminated, episode.truncated, episode.end_reason) == (True, False, "terminated")


def test_the_time_limit_keeps_the_discount():
    episode = taped([Transition(seen(1), 0.0, truncated=True, discount=0.9)])
    assert episode.steps["discount"].tolist() == [0.9, 0]
    assert (episode.terminated, episode.truncated, episode.end_reason) == (False, True, "time_limit")


def test_termination_at_the_time_limit_keeps_both_flags():
    episode = taped([Transition(seen(1), 0.0, terminated=True, truncated=True)])
    assert (episode.terminated, episode.truncated, episode.end_reason) == (True, True, "terminated")


def test_a_budget_ends_the_episode_early():
    episode = taped([Transition(seen(1), 1.0)] * 5, limit=3)
    assert episode.length == 3
    assert (episode.terminated, episode.truncated, episode.end_reason) == (False, True, "budget")
    assert episode.steps["discount"].tolist() == [1, 1, 1, 0]


def test_an_end_at_the_last_decision_of_the_budget_is_the_environments():
    assert taped([Transition(seen(1), 1.0, truncated=True)], limit=1).end_reason == "time_limit"
    assert taped([Transition(seen(1), 1.0, terminated=True)], limit=1).end_reason == "terminated"


def test_a_budgeted_episode_is_a_prefix_of_the_whole_one():
    whole = rollout(Toy("maze"), Random(), 1, np.random.default_rng(1))
    part = rollout(Toy("maze"), Random(), 1, np.random.default_rng(1), limit=5)
    for name in ("action", "reward", "discount", "info/distance"):
        np.testing.assert_array_equal(part.steps[name][:5], whole.steps[name][:5])
    np.testing.assert_array_equal(part.steps["observation"], whole.steps["observation"][:6])


def test_a_budget_below_one_decision_is_refused():
    with pytest.raises(InvalidInput, match="limit=0"):
        taped([], limit=0)


def test_success_is_that_of_any_step_and_unknown_where_no_step_says():
    steps = [Transition(seen(1), 0.0, success=s) for s in (0, 1, 0)]
    assert taped(steps, limit=3).success == 1
    assert taped([Transition(seen(1), 0.0, success=0)], limit=1).success == 0
    assert taped([Transition(seen(1), 0.0)], limit=1).success == -1


def test_nested_observations_become_named_arrays():
    def nested(value: int) -> dict[str, Any]:
        return {"image": np.full((2, 2), value, np.uint8), "body": {"speed": np.float32(value)}}

    episode = taped([Transition(nested(1), 0.0), Transition(nested(2), 0.0, truncated=True)], first=nested(0))
    assert episode.steps["observation/image"].shape == (3, 2, 2)
    assert episode.steps["observation/image"].dtype == np.uint8
    assert episode.steps["observation/body/speed"].tolist() == [0, 1, 2]
    assert "observation" not in episode.steps


def test_a_text_observation_is_refused():
    with pytest.raises(InvalidInput, match="observation/mission"):
        taped([Transition({"mission": "go"}, 0.0, truncated=True)], first={"mission": "go"})


def info_arrays(*infos: dict[str, Any]):
    """The infos of an episode as lists, and what is to be told of the others."""
    tape = [Transition(seen(n), 0.0, truncated=n == len(infos), info=info) for n, info in enumerate(infos, 1)]
    played = next(play([Tape(seen(0.0), tape)], OneBuffer(), iter([Start(0, 42, RNG)])))
    steps = {n: a for n, a in played.episode.steps.items() if n.startswith("info")}
    return {name: array.tolist() for name, array in steps.items()}, list(played.notes)


def test_infos_that_every_step_has_are_columns():
    arrays, notes = info_arrays(
        {"lives": 3, "done": False, "place": np.float32([1, 2])},
        {"lives": 2, "done": True, "place": np.float32([3, 4])},
    )
    assert arrays == {
        "info/lives": [3, 2, 0],
        "info/done": [False, True, False],
        "info/place": [[1, 2], [3, 4], [0, 0]],
    }
    assert notes == []


def test_an_info_that_only_some_steps_have_is_kept_with_a_mask():
    arrays, _ = info_arrays({}, {"bonus": 2.5}, {})
    assert arrays == {"info/bonus": [0, 2.5, 0, 0], "info_present/bonus": [False, True, False, False]}


def test_nested_infos_get_names_joined_by_a_slash():
    arrays, _ = info_arrays({"x": 1}, {"x": 2, "episode": {"r": 7.0}})
    assert arrays["info/episode/r"] == [0, 7, 0]
    assert arrays["info_present/episode/r"] == [False, True, False]


def test_infos_that_no_array_can_hold_are_left_out_and_named():
    arrays, notes = info_arrays({"bits": b"a", "grows": [1], "n": 1}, {"bits": b"b", "grows": [1, 2], "n": 0.5})
    assert arrays == {"info/n": [1.0, 0.5, 0.0]}
    assert [note.split(":")[0] for note in notes] == ["the info bits is not stored", "the info grows is not stored"]


def test_the_name_of_an_info_can_not_leave_its_folder():
    arrays, _ = info_arrays({"../../up": 1, "..": 2, "": 3, "a/b c": 4})
    assert sorted(arrays) == ["info/%", "info/%2E%2E", "info/%2E.%2F..%2Fup", "info/a%2Fb c"]


def test_several_episodes_are_played_side_by_side_as_each_would_be_alone():
    starts = [Start(n, n + 100, np.random.default_rng(n)) for n in range(8)]
    environments = [Toy("maze", max_steps=30) for _ in range(3)]
    played = list(play(environments, DecidesEach(), iter(starts)))
    assert sorted(each.index for each in played) == list(range(8))
    for each in played:
        rng = np.random.default_rng(each.index)
        alone = rollout(Toy("maze", max_steps=30), DecidesEach(), each.index + 100, rng)
        assert each.episode.digest() == alone.digest()


class DecidesEach:
    """Random actions one by one: `Random` without its `upcoming`."""

    def __init__(self) -> None:
        self._random = Random()
        self.name, self.slots = self._random.name, self._random.slots
        self.identity, self.start, self.act = self._random.identity, self._random.start, self._random.act


@pytest.mark.parametrize("limit", [None, 1, 32, 40])
def test_actions_that_are_asked_for_several_at_a_time_make_the_same_episodes(limit: int | None):
    def played_by(policy) -> list[bytes]:
        starts = (Start(n, n + 100, np.random.default_rng(n)) for n in range(4))
        return [each.episode.digest() for each in play([Toy("maze")], policy, starts, limit)]

    assert played_by(Random()) == played_by(DecidesEach())


class Counting(Random):
    """Random actions, and how many decisions there were."""

    def __init__(self) -> None:
        super().__init__()
        self.decisions = 0

    def act(self, decisions):
        self.decisions += len(decisions)
        return super().act(decisions)


class Silent(Random):
    """Gives no action."""

    def upcoming(self, rng):
        return super().upcoming(rng)[:0]


def test_a_policy_that_gives_no_action_is_told_so():
    with pytest.raises(InvalidInput, match="gave no action"):
        rollout(Toy("maze"), Silent(), 100, np.random.default_rng(0))


def test_a_class_with_an_act_of_its_own_is_asked_to_act():
    policy = Counting()
    episode = rollout(Toy("maze"), policy, 100, np.random.default_rng(0))
    assert policy.decisions == episode.length
    assert episode.digest() == rollout(Toy("maze"), Random(), 100, np.random.default_rng(0)).digest()


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("policy", [Random, DecidesEach])
def test_plain_episodes_are_the_same_episodes(policy, limit: int | None):
    def played(plain: bool) -> list[bytes]:
        def tape() -> Tape:
            tape = Tape(seen(0), [Transition(seen(row), row) for row in range(1, 5)] + [Transition(seen(5), 0, True)])
            tape.mission, tape.action_spec = "", Toy("maze").action_spec
            return tape

        starts = (Start(n, n + 100, np.random.default_rng(n)) for n in range(1))
        return [each.episode.digest() for each in play([tape()], policy(), starts, limit, plain=plain)]

    assert played(plain=True) == played(plain=False)


def test_several_actions_of_another_shape_are_refused():
    class Wide(OneBuffer):
        def upcoming(self, rng):
            return np.zeros((5, 3), np.float32)

    with pytest.raises(InvalidInput, match=r"one-buffer gave an action of shape \(5, 3\), .* \(5, 2\)"):
        rollout(Tape(seen(0), []), Wide(), 0, RNG)


class LosesHeart(Toy):
    """Its expert gives up after as many decisions as the seed says."""

    def reset(self, seed):
        self.patience = seed
        return super().reset(seed)

    def expert(self):
        environment, inner = self, super().expert()

        class Expert:
            def act(self, observation, rng):
                if environment.patience == 0:
                    raise GaveUp("lost", np.asarray(4, np.int64))
                environment.patience -= 1
                return inner.act(observation, rng)

        return Expert()


def test_an_episode_ends_where_its_expert_gives_up_and_no_other_does():
    def played_in(slots: int) -> dict[int, Episode]:
        starts = (Start(n, seed, np.random.default_rng(n)) for n, seed in enumerate((3, 1000, 1)))
        environments = [LosesHeart("maze") for _ in range(slots)]
        return {each.index: each.episode for each in play(environments, Scripted(), starts)}

    played = played_in(1)
    assert {n: e.digest() for n, e in played.items()} == {n: e.digest() for n, e in played_in(2).items()}
    assert [(played[n].length, played[n].end_reason) for n in (0, 2)] == [(3, "gave_up"), (1, "gave_up")]
    assert (played[0].terminated, played[0].truncated, played[0].success) == (False, True, 0)
    assert played[1].end_reason == "terminated"
    whole = rollout(Toy("maze"), Scripted(), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(played[0].steps["action"][:-1], whole.steps["action"][:3])
    np.testing.assert_array_equal(played[0].steps["observation"], whole.steps["observation"][:4])


def test_giving_up_before_the_first_decision_leaves_one_idle_action():
    episode = rollout(LosesHeart("maze"), Scripted(), 0, RNG)
    assert episode.steps["action"].tolist() == [4, 0]
    assert (episode.end_reason, episode.truncated) == ("gave_up", True)


def test_an_idle_action_that_ends_the_episode_is_the_environments_end():
    episode = rollout(LosesHeart("maze", max_steps=1), Scripted(), 0, RNG)
    assert (episode.length, episode.end_reason) == (1, "time_limit")


def test_a_slot_waits_while_no_episode_may_begin():
    starts = iter([None, Start(0, 0, RNG), None, None])
    assert [each.index for each in play([Toy("corner"), Toy("corner")], Random(), starts)] == [0]


def test_every_row_is_watched_once_in_order():
    played = next(
        play([Toy("maze")], Random(), iter([Start(0, 1, RNG)]), limit=6, watch=lambda environment: environment.render())
    )
    assert len(played.pictures) == played.episode.rows == 7
    replay = Toy("maze")
    replay.reset(1)
    np.testing.assert_array_equal(played.pictures[0], replay.render())
    for row, action in enumerate(played.episode.steps["action"][:-1], 1):
        replay.step(action)
        np.testing.assert_array_equal(played.pictures[row], replay.render())


def test_the_applied_action_is_the_stored_one():
    tape = Tape(seen(0), [Transition(seen(1), 0.0)] * 3)
    episode = rollout(tape, OneBuffer(dtype=np.float64), 0, RNG, limit=3)
    assert [action.dtype for action in tape.actions] == [np.float32] * 3
    np.testing.assert_array_equal(episode.steps["action"][:-1], tape.actions)


def test_an_action_that_the_environments_type_cannot_hold_is_refused():
    class Huge(OneBuffer):
        def act(self, decisions):
            return [np.array([0.5, 1e39])]

    with pytest.raises(InvalidInput, match=r"one-buffer gave the action \[0.5, 1e\+39\], float64; .* takes float32"):
        rollout(Tape(seen(0), []), Huge(), 0, RNG, limit=1)


def test_an_action_of_another_shape_is_refused():
    with pytest.raises(InvalidInput, match=r"one-buffer gave an action of shape \(3,\), .* \(2,\)"):
        rollout(Tape(seen(0), []), OneBuffer((3,)), 0, RNG)


def test_plain_messages_of_the_house_pass_unchanged():
    error = NoRenderer("install something")
    with pytest.raises(NoRenderer) as raised:
        taped([error])
    assert raised.value is error


def test_infinity_in_an_observation_is_allowed():
    assert taped([Transition(seen(np.inf), 0.0, truncated=True)]).length == 1


class Scribbling(Scripted):
    """Writes into the observation that it is handed."""

    def act(self, decisions):
        actions = super().act(decisions)
        for decision in decisions:
            decision.observation[:] = 99.0
        return actions


def test_a_policy_that_writes_into_its_observation_does_not_change_the_record():
    play = [rollout(Toy("maze"), policy, 3, np.random.default_rng(0)) for policy in (Scripted(), Scribbling())]
    assert play[0].digest() == play[1].digest()
