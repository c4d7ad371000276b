"""Which checks there are, and those that a command asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.doctor.actions import ActionsCheck
from pipeline.doctor.block import Check, Subject
from pipeline.doctor.drift import DriftCheck
from pipeline.doctor.duplicates import DuplicatesCheck
from pipeline.doctor.ends import EndsCheck
from pipeline.doctor.finals import FinalsCheck
from pipeline.doctor.lengths import LengthsCheck
from pipeline.doctor.numbers import ColumnsCheck, FiniteCheck
from pipeline.doctor.outcomes import LivesCheck, SuccessCheck
from pipeline.doctor.outside import OUTSIDE
from pipeline.doctor.rewards import ReturnsCheck, RewardsCheck
from pipeline.doctor.screens import ScreensCheck
from pipeline.doctor.seeds import SeedsCheck
from pipeline.doctor.thresholds import Thresholds
from pipeline.errors import InvalidInput, unknown_name

DOCTOR_FORMAT = 1
"""Raised whenever a check finds something else than before."""

OF_ONE: dict[str, Callable[[Subject, Thresholds], Check]] = {
    each.name: each
    for each in (
        EndsCheck,
        ReturnsCheck,
        RewardsCheck,
        LengthsCheck,
        FinalsCheck,
        FiniteCheck,
        ColumnsCheck,
        ScreensCheck,
        ActionsCheck,
        SuccessCheck,
        LivesCheck,
        DuplicatesCheck,
        SeedsCheck,
        DriftCheck,
    )
}
"""Checks of one dataset, which see each of its blocks once."""


def chosen_checks(only: Sequence[str] | None, skip: Sequence[str] | None) -> list[str]:
    """The names of the checks to make, in order.

    Raises UnknownName with the nearest of those there are, InvalidInput where none is left.
    """
    known = [*OF_ONE, *OUTSIDE]
    for name in (*(only or ()), *(skip or ())):
        if name not in known:
            raise unknown_name("check", str(name), known)
    chosen = [name for name in known if (not only or name in only) and name not in (skip or ())]
    if not chosen:
        raise InvalidInput("stage.doctor.only and stage.doctor.skip leave no check to make.")
    return chosen


def checks_of(names: Iterable[str], subject: Subject, thresholds: Thresholds) -> list[Check]:
    """The named checks of one dataset, ready to see it."""
    return [OF_ONE[name](subject, thresholds) for name in names if name in OF_ONE]
