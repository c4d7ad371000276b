"""From where on something is worth telling: shares between 0 and 1, and counts."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pipeline.errors import InvalidInput


@dataclass(frozen=True)
class Thresholds:
    """Settings of the checks, below `stage.doctor.thresholds`.

    Attributes:
        states: what a share of a dataset says is told where it has at least so many states ...
        episodes: ... and what a share of its episodes says, where it has at least so many of them.
        dark: share of screens that are black, or of one value, from which on it is told.
        frozen: share of screens that equal the one before.
        still: screens that stay the same one after the other, in an episode that is stuck.
        on_bounds: mean share of states, over the dimensions of an action, that lie exactly on a bound.
        one_action: share of the states at which the most frequent discrete action was taken.
        shifted: share of rewards that must fit an info at another row, and do not fit it at their own.

    Raises InvalidInput for a share that is none, and for a count below 1.
    """

    states: int = 1000
    episodes: int = 10
    dark: float = 0.01
    frozen: float = 0.9
    still: int = 500
    on_bounds: float = 0.95
    one_action: float = 0.999
    shifted: float = 0.99

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            whole = each.name in ("states", "episodes", "still")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise InvalidInput(
                    f"stage.doctor.thresholds.{each.name}={value} is no {'count' if whole else 'share'}."
                )
            if value < 1 if whole else not 0 <= value <= 1:
                wanted = "at least 1" if whole else "between 0 and 1"
                raise InvalidInput(f"stage.doctor.thresholds.{each.name}={value} must be {wanted}.")
