"""RLHF-Blender's rows as an episode of ours.

Its row t holds observation t, the action chosen there, and the reward, the end and the info of the step that *led*
there. Its recorder keeps a row for the end, whose observation is already the first one after the reset; and it begins
all episodes but the first one step late, because it keeps no row for a reset that it undoes. Our exports have neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from pipeline.dataset.ends import implied_discounts, implied_reason
from pipeline.dataset.infos import stack_infos
from pipeline.episode import INFO, PRESENT, UNKNOWN, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.exact import exactly, one_array
from pipeline.policies import outputs
from pipeline.sources.quirks import Quirks
from pipeline.sources.rlhf_blender.reading import InfoRows, RecordedRows

TERMINAL, CUT = "terminal_observation", "TimeLimit.truncated"
"""What Stable-Baselines3 adds to infos: the last observation, and whether a time limit ended the episode."""

FIRST = frozenset({"seed", "mission"})
LAST = frozenset({"terminated", "end_reason", "is_success"})
"""What exports of ours add to the info of the first row and of the last one."""

OUTPUTS = {"value": outputs.VALUE, "entropy": outputs.ENTROPY}
"""What the agent says of a row's own action, by the name in its info -> our name."""

NOBODY = (0.0, 1.0)
"""Value and entropy of agents that have none: 0 of a trained one, 1 of a random one."""


@dataclass(frozen=True)
class RowRules:
    """How the rows of a folder are read.

    Attributes:
        own: an export of ours wrote them.
        observation_space, action_space: as registered: `label`, `shape`; empty where nobody says.
    """

    own: bool
    observation_space: Mapping[str, Any]
    action_space: Mapping[str, Any]


def as_episode(rows: RecordedRows, number: int, rules: RowRules, quirks: Quirks) -> Episode:
    """The episode of T+1 recorded rows; T is at least 1.

    Raises InvalidInput where an episode ends before its last row.
    """
    if rows.dones[:-1].any():
        raise InvalidInput(
            f"dones is true in row {int(np.argmax(rows.dones))} of {len(rows.dones)}: more than one episode is in it"
        )
    length = len(rows.rewards) - 1
    infos = rows.infos if rows.infos is not None else [{}] * (length + 1)
    late = not rules.own and _begins_late(rows, number)
    observation, end = _observation_and_end(rows, infos[-1], rules, quirks)
    stacked = stack_infos({} if late else _rest(infos[0], rules), _step_infos(infos, rules))
    for note in stacked.notes:
        sentence = f"{note[0].upper()}{note[1:]}."
        quirks.note("unread_arrays", sentence, rule="numbers of one shape, or texts", dropped=1, unit="infos")
    first = {} if late else infos[0]
    _note_what_is_missing(rows, late, quirks)
    steps = {
        "observation": observation,
        "action": with_last_row("action", _actions(rows.actions, rules)[:-1]),
        "reward": with_last_row("reward", _rewards(rows)),
        "discount": implied_discounts(length, end.terminated),
    }
    return Episode(
        steps={**stacked.steps, **steps, **_outputs(rows, infos, quirks)},
        seed=_whole(first.get("seed")),
        terminated=end.terminated,
        truncated=end.truncated,
        success=_success(infos[-1]),
        mission=mission if isinstance(mission := first.get("mission", ""), str) else "",
        end_reason=end.reason,
        has_final_observation=end.has_observation,
        reset_info=stacked.reset,
        info_texts=stacked.texts,
        reset_texts=stacked.reset_texts,
    )


@dataclass(frozen=True)
class _End:
    terminated: bool
    truncated: bool
    reason: str
    has_observation: bool


def _begins_late(rows: RecordedRows, number: int) -> bool:
    """Whether the first row is not that of the reset, but the one after it."""
    if rows.rewards[0] != 0:
        return True
    if number == 0:
        return False
    if rows.infos is not None and len(rows.infos) > 1:
        is_step = [CUT in info for info in rows.infos]
        if is_step[1]:
            return is_step[0]
    return rows.length is None or rows.length == len(rows.rewards)


def _observation_and_end(
    rows: RecordedRows, last: Mapping[Any, Any], rules: RowRules, quirks: Quirks
) -> tuple[Shaped[np.ndarray, "rows ..."], _End]:
    """The observations with the true last one, or zeros for it; and how the episode ended."""
    obs, ended = rows.obs, bool(rows.dones[-1])
    cut, terminal = bool(last.get(CUT, False)), _terminal(obs, last.get(TERMINAL))
    known = True
    if isinstance(stated := last.get("terminated"), bool | np.bool_):
        terminated, truncated = bool(stated), cut or (ended and not stated and not rules.own)
    elif terminal is not None:
        terminated, truncated = not cut, cut
    elif not ended or (CUT in last and TERMINAL not in last):
        terminated, truncated = False, ended  # the recorder's own limit ends the recording, and resets nothing
    else:
        terminated, truncated, known = not cut, cut, rules.own
        quirks.count("no_terminals", END_UNKNOWN, CUT not in last, rule="dones alone: terminated")
    reason = last.get("end_reason")
    reason = reason if isinstance(reason, str) and rules.own else implied_reason(terminated, truncated)
    if terminal is not None and not rules.own:
        obs = _with_last(obs, terminal)
    elif not known:
        quirks.count("no_final_observations", NO_LAST, rule=RESET_SEEN, dropped=1, unit="observations")
        obs = _with_last(obs, 0)
    return _observations(obs, rules), _End(terminated, truncated, reason, known)


END_UNKNOWN = "{count} episodes do not say whether a time limit ended them; they count as terminated."
RESET_SEEN = "the last row is of the next episode"
NO_LAST = (
    "{count} episodes have no last observation: their last row shows the first one after the reset, and their infos do "
    "not hold it."
)
LATE = "{count} episodes begin one step after their start, as RLHF-Blender records all but the first."
SUMS = "{count} files of rewards hold sums; the rewards are those of the episode's .npz."


def _note_what_is_missing(rows: RecordedRows, late: bool, quirks: Quirks) -> None:
    quirks.count("late_starts", LATE, late, rule="an episode begins at its first row", dropped=late, unit="steps")
    quirks.count("cumulative_rewards", SUMS, rows.is_cumulative, rule="the .npz has those of each row")
    rule = "source.infos=false, or none are there"
    quirks.count("no_infos", "{count} episodes were read without infos.", rows.infos is None, rule=rule)
    if more := len(rows.others):
        sentence = f"{{count}} arrays of other names were left out, such as {rows.others[0]}."
        quirks.count("unread_arrays", sentence, more, rule="arrays of RLHF-Blender's", dropped=more, unit="arrays")


def _terminal(obs: Shaped[np.ndarray, "rows ..."], found: Any) -> Shaped[np.ndarray, "..."] | None:
    """The last observation, where an info holds it as an array like the others."""
    if not isinstance(found, np.ndarray | list | tuple | int | float | np.generic):
        return None
    array = one_array([found])
    if array is None or math.prod(array.shape) != math.prod(obs.shape[1:]):
        return None
    return exactly(array.reshape(obs.shape[1:]), obs.dtype)


def _with_last(obs: Shaped[np.ndarray, "rows ..."], last: Any) -> Shaped[np.ndarray, "rows ..."]:
    """With another last row, which is written into them where they can be written to: nobody else has them."""
    if not obs.flags.writeable:
        obs = obs.copy()
    obs[-1] = last
    return obs


def _observations(obs: Shaped[np.ndarray, "rows ..."], rules: RowRules) -> Shaped[np.ndarray, "rows ..."]:
    """Without the axis that RLHF-Blender gives to what has two: (rows, h, w, 1) is (rows, h, w)."""
    shape = _shape(rules.observation_space)
    if shape is not None and shape == obs.shape[1:]:
        return obs
    is_grey = obs.ndim == 4 and obs.shape[-1] == 1
    return obs[..., 0] if is_grey and shape in (None, obs.shape[1:-1]) else obs


def _actions(actions: Shaped[np.ndarray, "rows ..."], rules: RowRules) -> Shaped[np.ndarray, "rows ..."]:
    """In the shape of a Box where it is known; RLHF-Blender makes one number of a Box of one."""
    is_box = actions.dtype.kind == "f" or str(rules.action_space.get("label", "")).startswith("Box")
    shape = _shape(rules.action_space) if is_box else None
    if shape is not None and math.prod(shape) == math.prod(actions.shape[1:]):
        return actions.reshape(len(actions), *shape)
    return actions[:, np.newaxis] if actions.ndim == 1 and is_box else actions


def _shape(space: Mapping[str, Any]) -> tuple[int, ...] | None:
    shape = space.get("shape")
    if not isinstance(shape, list | tuple) or not all(type(each) is int and each > 0 for each in shape):
        return None
    return tuple(shape)


def _rewards(rows: RecordedRows) -> Float[np.ndarray, "t"]:
    """Of each step, which arrived with the row after it."""
    exact = exactly(rows.rewards[1:], np.float64)
    if exact is None:
        raise InvalidInput(f"rewards should be numbers that float64 holds; they are {rows.rewards.dtype}")
    return exact


def _step_infos(infos: InfoRows, rules: RowRules) -> list[dict[Any, Any]]:
    """The info of each step, which stands in the row that it led to."""
    found = [_rest(info, rules) for info in infos[1:]]
    if found:
        once = LAST - {key for info in found[:-1] for key in info} if rules.own else frozenset[str]()
        found[-1] = {key: value for key, value in found[-1].items() if key not in once}
    return found


def _rest(info: Mapping[Any, Any], rules: RowRules) -> dict[Any, Any]:
    """What is kept as an info."""
    left_out = _OURS if rules.own else _ADDED
    return {key: value for key, value in info.items() if key not in left_out}


_ADDED = frozenset({TERMINAL, CUT, *OUTPUTS})
_OURS = _ADDED | FIRST


def _outputs(rows: RecordedRows, infos: InfoRows, quirks: Quirks) -> dict[str, Shaped[np.ndarray, "rows ..."]]:
    """Value and entropy of the decision at each step, where the agent has them."""
    length = len(infos) - 1
    columns = {name: _column([info.get(name) for info in infos[:length]]) for name in OUTPUTS}
    known = {name: column for name, column in columns.items() if column is not None}
    if known and any(all((each[0] == nothing).all() for each in known.values()) for nothing in NOBODY):
        sentence = "{count} episodes are of an agent that has neither value nor entropy."
        quirks.count("no_policy_outputs", sentence, rule="0 or 1 at every row is nobody's")
        known = {}
    found = {}
    for name, (numbers, there) in known.items():
        found[f"{INFO}{OUTPUTS[name]}"] = with_last_row(name, numbers)
        if not there.all():
            found[f"{PRESENT}{OUTPUTS[name]}"] = with_last_row(name, there)
    return found | _uncertainty(rows, known.get("entropy"), length)


def _column(values: list[Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """Numbers of steps, zeros where there is none, and where there is one. None where there never is."""
    there = np.array([isinstance(each, float | int | np.number) for each in values])
    if not there.any():
        return None
    numbers = np.array([float(each) if known else 0.0 for each, known in zip(values, there, strict=True)])
    narrow = exactly(numbers, np.float32)
    return (numbers if narrow is None else narrow), there


def _uncertainty(
    rows: RecordedRows, entropy: tuple[np.ndarray, np.ndarray] | None, length: int
) -> dict[str, Shaped[np.ndarray, "rows"]]:
    """What a file says besides: the entropy where no info has it, or an uncertainty of another kind."""
    if rows.uncertainty is None or any((rows.uncertainty == nothing).all() for nothing in NOBODY):
        return {}
    stated = rows.uncertainty[:length]
    if entropy is None:
        return {f"{INFO}{outputs.ENTROPY}": with_last_row("entropy", stated)}
    numbers, there = entropy
    if np.array_equal(stated[there].astype(np.float32), numbers[there].astype(np.float32)):
        return {}
    return {f"{INFO}uncertainty": with_last_row("uncertainty", stated)}


def _success(last: Mapping[Any, Any]) -> int:
    stated = last.get("is_success")
    return int(stated) if isinstance(stated, bool | np.bool_) else UNKNOWN


def _whole(seed: Any) -> int:
    is_number = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    return int(seed) if is_number and 0 <= seed < 2**63 else UNKNOWN
