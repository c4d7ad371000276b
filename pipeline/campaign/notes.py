"""The notes in the folders of jobs and sweeps, read with care: one that is not as this program writes it says nothing.

A power cut, a full disk or a hand may have left anything there, and one such note must not hide all other campaigns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.runs import JOB, plain_json
from pipeline.campaign.job import CAMPAIGN

_Check = Callable[[Any], bool]
"""Whether a value is what a note has in its place."""


def read_job_note(folder: Path) -> dict[str, Any]:
    """`job.json` of a job; empty where there is none that can be understood."""
    return _understood(folder / JOB, OF_JOB)


def read_campaign_note(folder: Path) -> dict[str, Any]:
    """`campaign.json` of a sweep; empty where there is none that can be understood."""
    return _understood(folder / CAMPAIGN, OF_CAMPAIGN)


def is_plain_text(value: Any) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def is_text_list(value: Any) -> bool:
    """Whether a value is a list of texts alone."""
    return isinstance(value, list) and all(map(is_plain_text, value))


def _are_jobs(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_text_list, value)))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_place(value: Any) -> bool:
    """Stage and task, or none."""
    return value is None or (is_text_list(value) and len(value) == 2)


MAY_HAVE: dict[str, _Check] = {
    **dict.fromkeys(("script", "folder", "host", "error"), is_plain_text),
    "instead": is_text_list,
}
"""What any note may have."""

OF_CAMPAIGN: dict[str, _Check] = {"words": is_text_list, "jobs": _are_jobs}
OF_JOB: dict[str, _Check] = {
    "words": is_text_list,
    "state": is_plain_text,
    "domain": is_plain_text,
    "tasks": is_text_list,
    "over": _is_count,
    "at": _is_place,
}
"""What a note must have."""


def _understood(path: Path, needed: Mapping[str, _Check]) -> dict[str, Any]:
    note = plain_json(path)
    if not isinstance(note, dict) or needed.keys() - note.keys():
        return {}
    checks = {**MAY_HAVE, **needed}
    return note if all(check(note[key]) for key, check in checks.items() if key in note) else {}
