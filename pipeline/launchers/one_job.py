"""The composed settings of one job of a sweep: its number, its folder, and what is written there after a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from pipeline.campaign.failures import Failure
from pipeline.campaign.record import record_crash


def with_number(composed: DictConfig, number: int) -> DictConfig:
    """The same settings, which know the job's number in the sweep."""
    with open_dict(composed.hydra.job):
        composed.hydra.job.num, composed.hydra.job.id = number, str(number)
    return composed


def folder_of(composed: DictConfig) -> Path:
    """Where the record of a job with a number lies."""
    return Path(composed.hydra.sweep.dir) / str(composed.hydra.sweep.subdir)


def crashed(composed: DictConfig, message: str) -> Failure:
    """Write down how a job ended that did not say so itself."""
    chosen = composed.hydra.runtime.choices
    stage, domain = (_text(chosen.get(group)) for group in ("stage", "domain"))
    task = "/".join(filter(None, (domain, _text(composed.task))))
    return record_crash(folder_of(composed), stage, task, message)


def _text(choice: Any) -> str:
    """A choice of one or several names, as people write it; nothing for none."""
    if choice is None or isinstance(choice, str):
        return choice or ""
    return ",".join(map(str, choice))
