"""How campaigns stand, by what jobs and sweeps have written: which tasks are done, run, have failed, are missing.

A campaign is a sweep's folder, with one folder for each job, or the folder of a single run. Few small files are read of
each job, one where it is done. Folders of earlier versions have no `job.json`: what they say is taken from the rest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.artifacts.runs import JOB, MADE, RUNS, SWEEPS, plain_json
from pipeline.campaign.failures import FAILED, read_failures
from pipeline.campaign.job import ALIVE, DONE, JOB_FAILED, RUNNING, STOPPED
from pipeline.campaign.notes import is_text_list, read_campaign_note, read_job_note
from pipeline.campaign.past import MISSING, TO_COME, Key, PastCampaign, PastJob, TaskState
from pipeline.command import key_of
from pipeline.machine.files import file_clock

SILENT_SECONDS = 60.0
"""A job that says that it runs, and has not touched its `alive` for so long, has ended without a word."""

SILENT = "silent"
"""The state of a job that was killed, or whose host was."""

HYDRA = ".hydra"
UNKNOWN_END = "no word of an end; the folder is of an earlier version"
UNREADABLE = f"its {JOB} is damaged"


def campaigns(root: Path) -> Iterator[PastCampaign]:
    """Every campaign below `paths.root`, the newest first. Left out are runs of stage=status itself, and a command that
    failed before its jobs were known and was typed again since.
    """
    finished: set[Key] = set()
    typed_since: set[tuple[str, ...]] = set()
    for folder in _newest_first(root):
        campaign = _sweep(folder) if folder.parts[-3] == SWEEPS else _run(folder)
        if campaign is None or "stage=status" in campaign.words or campaign.is_empty:
            continue
        if not campaign.jobs and not typed_since.isdisjoint((campaign.words, campaign.instead)):
            continue
        typed_since.add(campaign.words)
        yield replace(campaign, jobs=tuple(job.after(finished) for job in campaign.jobs))
        finished.update(key for job in campaign.jobs for key in job.finished())


def _newest_first(root: Path) -> list[Path]:
    found = [
        Path(time.path)
        for kind in (RUNS, SWEEPS)
        for date in _folders(root / kind)
        for time in _folders(Path(date.path))
    ]
    return sorted(found, key=lambda path: path.parts[-2:], reverse=True)


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _run(folder: Path) -> PastCampaign | None:
    record = _job_note(folder)
    words = _words(folder, record)
    if not record and not words and not any((folder / name).exists() for name in (JOB, MADE, FAILED)):
        return None  # nothing can be told of it: no run, or one for whose record the disk had no room
    job = _job(folder, record, words, goes_on=False)
    return PastCampaign(folder, job.words, *_origin(record), False, _has(job, RUNNING), (job,))


def _has(job: PastJob, state: str) -> bool:
    return any(task.state == state for task in job.tasks)


def _origin(record: Mapping[str, Any]) -> tuple[str, str, str]:
    return record.get("script", "run.py"), record.get("folder", ""), record.get("host", "")


def _sweep(folder: Path) -> PastCampaign | None:
    record = read_campaign_note(folder)
    goes_on = record != {} and _is_alive(folder)
    by_number = {entry.name: Path(entry.path) for entry in _folders(folder) if entry.name.isdigit()}
    listed = record.get("jobs")
    if listed is None:
        places = [by_number[name] for name in sorted(by_number, key=int)]
        jobs = [_job(place, note, _words(place, note), goes_on) for place, note in _notes(places)]
    else:
        places = [by_number.get(str(number), folder / str(number)) for number in range(len(listed))]
        jobs = [
            _job(place, note, tuple(words), goes_on)
            for (place, note), words in zip(_notes(places), listed, strict=True)
        ]
    words = tuple(record["words"]) if record else _typed_for_sweep(folder)
    error, instead = record.get("error", ""), tuple(record.get("instead", ()))
    return PastCampaign(folder, words, *_origin(record), True, goes_on, tuple(jobs), error, instead)


def _notes(places: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    return ((place, _job_note(place)) for place in places)


def _job_note(folder: Path) -> dict[str, Any]:
    """`job.json`; its state is SILENT where the job says that it runs, and nothing is heard of it."""
    note = read_job_note(folder)
    if note.get("state") != RUNNING or _is_alive(folder):
        return note
    note = read_job_note(folder)  # again, for it may have ended meanwhile
    return {**note, "state": SILENT} if note.get("state") == RUNNING else note


def _job(folder: Path, record: Mapping[str, Any], words: tuple[str, ...], goes_on: bool) -> PastJob:
    if not record:
        return PastJob(folder, words, "", tuple(_unrecorded(folder, words, goes_on)))
    host = record.get("host", "")
    return PastJob(folder, words, host, tuple(_recorded(folder, record, words, host)))


def _recorded(folder: Path, record: Mapping[str, Any], words: tuple[str, ...], host: str) -> Iterator[TaskState]:
    """Of each task, by the record of its job."""
    domain, state, over = record["domain"], record["state"], record["over"]
    labels = ["/".join(filter(None, (domain, task))) for task in record["tasks"]]
    labels = labels or [domain or _label(words)]
    if state == DONE:
        yield from (TaskState(label, DONE) for label in labels)
        return
    failures = _failures(folder, domain)
    if state == JOB_FAILED and not over and not any(label in failures for label in labels):
        reason = next(iter(failures.values()), TaskState("", JOB_FAILED, "it ended without a reason: see its log"))
        yield from (replace(reason, label=label) for label in labels)
        return
    rest = _rest(record, host)
    for number, label in enumerate(labels):
        ended = TaskState(label, DONE) if number < over else rest(number - over, label)
        yield failures.pop(label, ended)
    yield from failures.values()  # of a stage that runs once, after all tasks


def _rest(record: Mapping[str, Any], host: str) -> Any:
    """What to say of the tasks that are not over: the one that it is at, and those after it."""
    stage = (record["at"] or ("", ""))[0]
    if record["state"] == RUNNING:
        return lambda number, label: TaskState(label, TO_COME if number else RUNNING, "", "" if number else stage)
    if record["state"] == JOB_FAILED:
        why = "not begun: the job had ended before"
    elif record["state"] == STOPPED:
        why = "stopped: it was told to end"
    else:
        why = f"stopped: host {host} no longer reports"
    return lambda number, label: TaskState(label, MISSING, why, "" if number else stage)


def _unrecorded(folder: Path, words: tuple[str, ...], goes_on: bool) -> Iterator[TaskState]:
    """Of a job that has not begun, that was refused or lost before, or that an earlier version has run."""
    failures = _failures(folder, "")
    yield from failures.values()
    made = plain_json(folder / MADE)
    entries = [each for each in made if isinstance(each, dict)] if isinstance(made, list) else []
    labels = dict.fromkeys(str(each.get("task", _label(words))) for each in entries)
    yield from (TaskState(label, DONE) for label in labels if label not in failures)
    if not entries and not failures:
        if goes_on:
            yield TaskState(_label(words), TO_COME)
        else:
            yield TaskState(_label(words), MISSING, _why_unrecorded(folder))


def _why_unrecorded(folder: Path) -> str:
    if (folder / JOB).exists():
        return UNREADABLE
    return UNKNOWN_END if (folder / HYDRA).is_dir() else "not begun"


def _failures(folder: Path, domain: str) -> dict[str, TaskState]:
    """What has failed, by its label; the first reason of each."""
    found: dict[str, TaskState] = {}
    for failure in read_failures(folder):
        why = (failure.message.strip().splitlines() or [""])[0]
        found.setdefault(failure.task, TaskState(failure.task, JOB_FAILED, why, failure.stage))
        domain = domain or failure.task.partition("/")[0]
        for task in failure.untried:
            label = f"{domain}/{task}"
            found.setdefault(label, TaskState(label, JOB_FAILED, f"not tried: {why}", failure.stage))
    return found


def _label(words: Sequence[str]) -> str:
    """`atari/pong`, as far as the words say it."""
    values = {key_of(word): word.partition("=")[2] for word in words}
    return "/".join(values[key] for key in ("domain", "task") if values.get(key)) or " ".join(words)


def _is_alive(folder: Path) -> bool:
    """Whether somebody has touched `alive` in a folder lately, by the clock of the file system that it lies on.

    Where nothing can be written there, one cannot know: whoever has left it is taken to be alive.
    """
    try:
        # opened, not looked up: a network file system then asks its server, and not what it remembers
        with (folder / ALIVE).open("rb") as file:
            touched = os.fstat(file.fileno()).st_mtime
    except OSError:
        return False
    with suppress(OSError):
        return file_clock(folder) - touched < SILENT_SECONDS
    return True


def _words(folder: Path, record: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a job; of an earlier version's, those that Hydra has kept."""
    if record:
        return tuple(record["words"])
    words = _yaml(folder / HYDRA / "overrides.yaml")
    return tuple(words) if is_text_list(words) else ()


def _typed_for_sweep(folder: Path) -> tuple[str, ...]:
    settings = _yaml(folder / "multirun.yaml")
    words, of_hydra = (_below(settings, "hydra", "overrides", key) for key in ("task", "hydra"))
    if not is_text_list(words) or not is_text_list(of_hydra):
        return ("-m",)
    return ("-m", *words, *(word for word in of_hydra if not word.startswith("hydra.mode=")))


def _below(settings: Any, *keys: str) -> Any:
    """A value deep in nested mappings; None where there is none."""
    for key in keys:
        settings = settings.get(key) if isinstance(settings, dict) else None
    return settings


def _yaml(path: Path) -> Any:
    import yaml  # here, for folders of earlier versions alone

    try:
        return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError):
        return None
