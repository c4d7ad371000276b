"""Transitions: from one state to another, with what was done, what it brought, and how to go on from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import ArrayLike

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput, unknown_name
from pipeline.views.fields import Fields, check_discount, check_fields
from pipeline.views.goals import Goal, Goals
from pipeline.views.normalize import FieldStatistics, chosen_statistics
from pipeline.views.opened import dataset_named
from pipeline.views.order import Order
from pipeline.views.pictures import FRAME
from pipeline.views.view import Samples, View, sample_numbers
from pipeline.wording import check_choice, check_count, how_many

REWARD, BOOTSTRAP, STEPS, TERMINATED, TRUNCATED = OWN = ("reward", "bootstrap", "steps", "terminated", "truncated")
GOAL, GOAL_OFFSET, NEXT = "goal", "goal_offset", "next_"
DEFAULT = ("observation", "action", REWARD, "next_observation", BOOTSTRAP)
DROP, REPEAT, ZERO = FINAL_OBSERVATIONS = ("drop", "repeat", "zero")
SPARSE = "sparse"
_OTHERS = (*OWN, "next_observation", GOAL, GOAL_OFFSET)


class Transitions(View):
    """Transitions of `n_step` steps, one from each state; they end early where their episode does.

    Fields, besides step arrays by name and what `pipeline.views.fields` computes, all of the state they begin at:

    * `reward` float: the sum of the rewards of its k steps, each times the discounts of the steps before it. A step's
      discount is `discount` times the one in the dataset, which is 1 almost everywhere
    * `bootstrap` float: what the value of `next_observation` is to be multiplied with: the product of the k discounts;
      0 where the episode terminated in these steps. A target is `reward + bootstrap * value(next_observation)`
    * `next_observation`, and `next_` before any step array or `frame`: k steps later. After an episode's last action
      and reward these are zeros
    * `steps` int64: k
    * `terminated`, `truncated` bool: whether the episode ended so in these steps
    * `goal`: an observation; `goal_offset` int64: so many steps after the first one, -1 where it is a random one

    Where the source dropped an episode's last observation, `next_observation` is zeros if the episode terminated there:
    `bootstrap` is 0. Otherwise the last step is left out, as if the episode had been cut one step earlier; or
    `final_observation="repeat"` gives the observation before, "zero" zeros, for every such episode. With goals the last
    step is left out in either case: there is no later observation to be the goal.

    Args:
        root: the folder that holds `artifacts`, such as `outputs`; or a workspace.
        dataset: `domain/task/dataset`; or one that is open already.
        n_step: steps of a transition.
        discount: of one step, from 0 to 1; of `return_to_go`, too.
        fields: None for observation, action, reward, next_observation and bootstrap, and goal and goal_offset if there
            are goals.
        goals: `future`, `final`, `geometric`, `current`, `random`, or the share of each: `pipeline.views.goals`. They
            are drawn anew in each epoch.
        goal_discount: of `geometric`; None for `discount`.
        goal_reward: None leaves rewards as they are. "sparse": each step brings -1 until the goal is reached, the step
            that reaches it 0; `bootstrap` is 0 then. Rewards of the dataset are not used. A random goal is never
            taken to be reached.
        final_observation: `drop`, `repeat` or `zero`, see above.
        frame_stack, full_actions, weights, samples, normalize, float64, seed, rank, world_size, episodes, storage: as
            of `Windows`. Of `next_observation` and `goal` stacks are given, too, and they are normalised alike.

    Raises UnknownName for a field that there is not, InvalidInput for settings that contradict each other, and where no
    transition is left.

    >>> transitions = Transitions("outputs", "metaworld/assembly/scripted-v1", n_step=3)  # doctest: +SKIP
    >>> batch = transitions.batch(np.arange(256))  # doctest: +SKIP
    >>> target = batch["reward"] + batch["bootstrap"] * value(batch["next_observation"])  # doctest: +SKIP
    """

    def __init__(
        self,
        root: str | Path | Workspace,
        dataset: str | EpisodeDataset,
        *,
        n_step: int = 1,
        discount: float = 0.99,
        fields: Sequence[str] | None = None,
        goals: str | Mapping[str, float] | None = None,
        goal_discount: float | None = None,
        goal_reward: str | None = None,
        final_observation: str = DROP,
        frame_stack: int = 1,
        full_actions: bool = False,
        weights: str | ArrayLike | None = None,
        samples: int | None = None,
        normalize: Sequence[str] | Mapping[str, FieldStatistics] = (),
        float64: bool = False,
        seed: int | None = 0,
        rank: int = 0,
        world_size: int = 1,
        episodes: int | None = None,
        storage: str = "zarr",
    ) -> None:
        found = dataset_named(root, dataset, episodes, storage)
        names = (DEFAULT if goals is None else (*DEFAULT, GOAL, GOAL_OFFSET)) if fields is None else fields
        check_fields(names)
        check_count("n_step", n_step)
        check_choice("final_observation", final_observation, FINAL_OBSERVATIONS)
        check_discount("discount", discount)
        check_discount("goal_discount", discount if goal_discount is None else goal_discount)
        _check_goals(goals, goal_reward, names)
        self.n_step, self.discount = n_step, discount
        self._goal_reward, self._repeats, self._float64 = goal_reward, final_observation == REPEAT, float64
        self._ends = {name: found.per_episode(name) for name in (TERMINATED, TRUNCATED)}
        self._lost = ~found.per_episode("has_final_observation")
        lasts = found.lengths - self._lost
        dropped = self._lost & ((final_observation == DROP) & ~self._ends[TERMINATED] | (goals is not None))
        self._usable = found.lengths - dropped
        self._goals = None
        if goals is not None:
            self._goals = Goals(goals, discount if goal_discount is None else goal_discount, lasts, seed or 0)
        self.statistics = chosen_statistics(found, normalize, [name for name in names if name not in OWN])
        self._choose(
            found, names, frame_stack=frame_stack, discount=discount, full_actions=full_actions, float64=float64,
            statistics=self.statistics,
        )  # fmt: skip
        if not self._usable.any():
            raise InvalidInput(
                f"No transition of {found.name} has an observation that it leads to: its source dropped the last one "
                f"of each of its {how_many(len(found), 'episodes')}, which have one step. Let the one before stand "
                "for it: final_observation='repeat'."
            )
        self.order = Order.of(
            found,
            np.cumsum(self._usable),
            seed=seed,
            rank=rank,
            world_size=world_size,
            weights=weights,
            samples=samples,
        )
        self._settings = {
            "n_step": n_step, "discount": discount, "fields": list(names), "goals": self._goals and self._goals.shares,
            "goal_discount": goal_discount, "goal_reward": goal_reward, "final_observation": final_observation,
            "frame_stack": frame_stack, "full_actions": full_actions, "float64": float64,
        }  # fmt: skip

    def _choose(self, dataset: EpisodeDataset, names: Sequence[str], **settings: Any) -> None:
        """Sort the fields by where they are read: where a transition begins, where it leads to, at its goal."""
        following = [name.removeprefix(NEXT) for name in names if name.startswith(NEXT)]
        known = [*dataset.array_names(), FRAME]
        for name in following:
            if not any(each == name or each.startswith(f"{name}/") for each in known):
                raise unknown_name(f"field of {dataset.name}", f"{NEXT}{name}", [f"{NEXT}{each}" for each in known])
        goals = [name.replace(GOAL, "observation", 1) for name in names if name.split("/")[0] == GOAL]
        self._own = [name for name in names if name in (*OWN, GOAL_OFFSET)]
        here = [
            name for name in names if name not in self._own and name.split("/")[0] != GOAL and not name.startswith(NEXT)
        ]
        self.fields = Fields(dataset, [*here, *following, *goals], also=_OTHERS, **settings)
        self._here, self._next, self._goal = (
            [each for name in some for each in self.fields.named(name)] for some in (here, following, goals)
        )
        self.names = [each for name in names for each in self._shown(name)]
        self._both = [name for name in self._here if name in self._next]
        self._paid = Fields(dataset, (REWARD, "discount"), float64=True)

    def _shown(self, name: str) -> list[str]:
        """The fields of a batch that a name stands for."""
        if name in self._own:
            return [name]
        if name.startswith(NEXT):
            return [f"{NEXT}{each}" for each in self.fields.named(name.removeprefix(NEXT))]
        if name.split("/")[0] == GOAL:
            inside = self.fields.named(name.replace(GOAL, "observation", 1))
            return [each.replace("observation", GOAL, 1) for each in inside]
        return self.fields.named(name)

    @classmethod
    def of(cls, dataset: EpisodeDataset, **settings: Any) -> Transitions:
        """The transitions of a dataset that is open already; the settings are those of the class."""
        return cls("", dataset, **settings)

    def batch(self, numbers: Int64[np.ndarray, " n"]) -> Samples:
        numbers = sample_numbers(numbers)
        return self._gather(self.order.places(numbers), self._counters(numbers))

    def _counters(self, numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Numbers of samples -> a number that no other sample has, of any rank or epoch: it draws the goal."""
        epochs, within = np.divmod(numbers, len(self))
        return epochs * self.order.samples + within * self.order.world_size + self.order.rank

    def gather(self, places: Int64[np.ndarray, " n"]) -> Samples:
        return self._gather(places, places)

    def _gather(self, places: Int64[np.ndarray, " n"], counters: Int64[np.ndarray, " n"]) -> Samples:
        """The transitions at these places; the counters draw their goals."""
        episodes = np.searchsorted(self.order.ends, places, "right")
        begins = places - (self.order.ends - self._usable)[episodes]
        stops = np.minimum(begins + self.n_step, self._usable[episodes])
        batch = self._ends_of(episodes, begins, stops)
        goal = None if self._goals is None else self._goals.draw(counters, episodes, begins)
        if goal is not None:
            found = self._rows(goal.episodes, goal.rows, self._goal)
            batch |= {name.replace("observation", GOAL, 1): array for name, array in found.items()}
        batch |= self._computed(episodes, begins, stops, goal)
        return {name: batch[name] for name in self.names}

    def _ends_of(
        self, episodes: Int64[np.ndarray, " n"], begins: Int64[np.ndarray, " n"], stops: Int64[np.ndarray, " n"]
    ) -> Samples:
        """The fields where transitions begin, and those where they lead to: what is wanted of both in one read."""
        count = len(episodes)
        rows = np.concatenate([begins, stops])
        both = self._rows(np.concatenate([episodes, episodes]), rows, self._both)
        here = {name: array[:count] for name, array in both.items()}
        following = {name: array[count:] for name, array in both.items()}
        here |= self._rows(episodes, begins, [name for name in self._here if name not in both])
        following |= self._rows(episodes, stops, [name for name in self._next if name not in both])
        lost = np.flatnonzero(self._lost[episodes] & (stops == self.fields.dataset.lengths[episodes]))
        if self._repeats and len(lost):
            seen = [name for name in self._next if name.split("/")[0] in ("observation", FRAME)]
            for name, array in self._rows(episodes[lost], stops[lost] - 1, seen).items():
                following[name][lost] = array
        return here | {f"{NEXT}{name}": array for name, array in following.items()}

    def _rows(self, episodes: Int64[np.ndarray, " n"], rows: Int64[np.ndarray, " n"], names: Sequence[str]) -> Samples:
        """Fields at one row of each of some episodes, which may be the last one."""
        read = self.fields.read(episodes, rows[:, None], np.ones((len(rows), 1), np.bool_), names)
        return {name: array if name == "episode" else array[:, 0] for name, array in read.items()}

    def _computed(
        self,
        episodes: Int64[np.ndarray, " n"],
        begins: Int64[np.ndarray, " n"],
        stops: Int64[np.ndarray, " n"],
        goal: Goal | None,
    ) -> Samples:
        """The fields that are of the transition itself."""
        finished = stops == self.fields.dataset.lengths[episodes]
        own: Samples = {name: finished & of[episodes] for name, of in self._ends.items()}
        own[STEPS] = stops - begins
        if goal is not None:
            own[GOAL_OFFSET] = goal.offsets
        if REWARD in self._own or BOOTSTRAP in self._own:
            own |= self._returns(episodes, begins, stops, own[TERMINATED], goal)
        return own

    def _returns(
        self,
        episodes: Int64[np.ndarray, " n"],
        begins: Int64[np.ndarray, " n"],
        stops: Int64[np.ndarray, " n"],
        terminated: Bool[np.ndarray, " n"],
        goal: Goal | None,
    ) -> Samples:
        """`reward` and `bootstrap` of transitions."""
        rows = begins[:, None] + np.arange(self.n_step)
        there = rows < stops[:, None]
        paid = self._paid.read(episodes, rows, there)
        products = np.cumprod(np.where(there, self.discount * paid["discount"], 1.0), axis=1)
        before = np.concatenate([np.ones((len(rows), 1)), products[:, :-1]], axis=1)
        bootstrap = np.where(terminated, 0.0, products[:, -1])
        if goal is None or self._goal_reward is None:
            reward = (before * paid[REWARD]).sum(axis=1)
        else:
            beyond = self.n_step + 1  # a random goal is never taken to be reached
            apart = np.where(goal.offsets < 0, beyond, goal.offsets)
            reward = -(before * (there & (np.arange(self.n_step) + 1 < apart[:, None]))).sum(axis=1)
            bootstrap = np.where(apart <= stops - begins, 0.0, bootstrap)
        dtype = np.float64 if self._float64 else np.float32
        return {REWARD: reward.astype(dtype), BOOTSTRAP: bootstrap.astype(dtype)}

    def identity(self) -> dict[str, Any]:
        return {"view": "Transitions", **self._settings, **self.fields.identity(), **self.order.identity()}

    def __repr__(self) -> str:
        return f"Transitions({self.fields.dataset.name}: {len(self):,} of up to {how_many(self.n_step, 'steps')})"


def _check_goals(goals: object, goal_reward: str | None, names: Sequence[str]) -> None:
    """Raises InvalidInput for settings that contradict each other."""
    if goal_reward is not None:
        check_choice("goal_reward", goal_reward, (SPARSE,))
    asked = [f"field {name}" for name in names if name.split("/")[0] in (GOAL, GOAL_OFFSET)]
    asked += ["goal_reward='sparse'"] if goal_reward else []
    if asked and goals is None:
        raise InvalidInput(f"{asked[0]} needs goals: set goals='future', or another kind of pipeline.views.goals.")
