"""What people are told of the jobs of a sweep: their names, and what those that failed have said themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.campaign.failures import read_failures


def labels_of(all_overrides: Sequence[Sequence[str]], first: int) -> list[str]:
    """A name for each job: `#3 task=pong`, its number and those of its words that not all jobs have."""
    common = set(all_overrides[0]).intersection(*all_overrides)
    own = ([word for word in words if word not in common] for words in all_overrides)
    return [" ".join([f"#{number}", *words]) for number, words in enumerate(own, first)]


def failures_in(folder: Path) -> list[str]:
    """What a job has written down itself: the reason of each of its failures."""
    return list(dict.fromkeys(failure.message for failure in read_failures(folder)))
