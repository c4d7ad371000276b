"""Status: how each campaign stands, why what failed has failed, and the command that finishes the rest."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from beartype import beartype
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.artifacts.pieces import not_joined
from pipeline.campaign.console import wide_console
from pipeline.campaign.history import campaigns
from pipeline.campaign.job import DONE, JOB_FAILED, RUNNING
from pipeline.campaign.past import LATER, MISSING, TO_COME, PastCampaign, PastJob, TaskState
from pipeline.campaign.stage import StageFacts
from pipeline.command import Command, Typed, typed
from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.files import write_json
from pipeline.wording import few

FACTS = StageFacts(per_task=False)

SHOWN = 8
"""Campaigns that are listed, unless all are asked for."""

SHOWN_REASONS = 3
"""Reasons that are told of each, unless it is asked for by its name."""

SHOWN_CHARACTERS = 160
"""Of a reason, and of a command in the table."""

EXPLAINED = (JOB_FAILED, MISSING, RUNNING)
"""States of which the reason, or the place, is printed, in this order."""

log = logging.getLogger(__name__)


@beartype
def run(*, workspace: Workspace, all: bool, campaign: str | None, json: str | None) -> None:
    """Print a table of campaigns, newest first, and of each what failed, where, its log, and how to finish it.

    `campaign` is a part of a name: that one alone, with every task that is not done. `json` is a file for the same.
    Raises InvalidInput where no campaign, or more than one, has such a name.
    """
    place = workspace.root.parent
    found = campaigns(place)
    chosen = [_named(campaign, found)] if campaign else [*(found if all else islice(found, SHOWN))]
    console = wide_console()
    if chosen:
        console.print(_table(chosen))
    else:
        console.print(f"No campaign is there yet under {place}.", markup=False, soft_wrap=True)
    for each in chosen:
        _print_rest(console, each, None if campaign else SHOWN_REASONS)
    for what, joins in () if campaign else not_joined(workspace.root):
        line = f"\npieces of {what} wait to be joined: {joins}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if not campaign and next(found, None) is not None:
        more = Command("status", settings={"stage.status.all": True}).line()
        console.print(f"\nOlder ones: {more}", markup=False, highlight=False, soft_wrap=True)
    if json:
        write_json(Path(json).expanduser(), [_plain(each) for each in chosen])
        log.info("status: written to %s", json)


def _named(name: str, found: Iterable[PastCampaign]) -> PastCampaign:
    names = {}
    for each in found:
        names[each.name] = each
    fitting = [each for each in names if name in each]
    if len(fitting) > 1:
        raise InvalidInput(f"stage.status.campaign={name} fits several: {few(fitting)}.")
    if not fitting:
        raise unknown_name("campaign", name, [*names])
    return names[fitting[0]]


def _table(chosen: list[PastCampaign]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("campaign", "where", DONE, RUNNING, TO_COME, "failed", MISSING):
        left = column in ("campaign", "where")
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "where")
    table.add_column("command", overflow="fold", ratio=1)
    for each in chosen:
        later, counts = each.count(LATER), map(each.count, (RUNNING, TO_COME, JOB_FAILED, MISSING))
        done = f"{each.count(DONE, LATER):,}" + (f" ({later:,} later)" if later else "")
        cells = [_short(each), few(each.hosts(), 2), done, *(f"{number:,}" if number else "" for number in counts)]
        words = shlex.join(each.words)
        table.add_row(*map(Text, [*cells, words if len(chosen) == 1 else _cut(words)]))
    return table


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _short(campaign: PastCampaign) -> str:
    """`2026-11-29/02-16-39`, which names it."""
    return "/".join(campaign.folder.parts[-2:])[:19]


def _print_rest(console: Console, campaign: PastCampaign, most: int | None) -> None:
    """What is told of a campaign below the table; nothing where all is done."""
    groups = _groups(campaign, apart=most is None)
    left = campaign.remaining()
    if not groups and not left:
        return
    lines = [f"\n{_short(campaign)}"]
    if campaign.error:
        lines.append(f"  the command failed: {campaign.error}")
    for (state, stage, why, _), members in islice(groups.items(), most):
        lines += _reason(state, stage, why, members)
    if most is not None and len(groups) > most:
        lines.append(f"  {len(groups) - most} more: {_page(campaign)}")
    if campaign.goes_on:
        lines.append(f"  goes on: the command runs on {campaign.host}")
    if left:
        mended = ", when that is mended" if campaign.error and not campaign.instead else ""
        lines.append(f"  what is left{mended}: {_finish(campaign, left)}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


_Group = tuple[str, str, str, str]
"""State, stage, reason, and a label where each task is told apart."""


def _groups(campaign: PastCampaign, apart: bool) -> dict[_Group, list[tuple[PastJob, TaskState]]]:
    """Tasks that stand the same for the same reason; each alone with `apart`."""
    groups: dict[_Group, list[tuple[PastJob, TaskState]]] = {}
    for state in EXPLAINED:
        for job in campaign.jobs:
            for task in job.tasks:
                if task.state == state:
                    key = (state, task.stage, task.why, task.label if apart and task.why else "")
                    groups.setdefault(key, []).append((job, task))
    return groups


def _reason(state: str, stage: str, why: str, members: list[tuple[PastJob, TaskState]]) -> Iterator[str]:
    """`failed  atari/pong on node7, collect: Killed for memory ...`, and where its log is."""
    labels = [task.label for _, task in members]
    who = labels[0] if len(labels) == 1 else f"{len(labels)} tasks ({few(labels)})"
    hosts = list(dict.fromkeys(job.host for job, _ in members if job.host))
    what = ": ".join(filter(None, (stage, _cut(why))))
    yield f"  {state:8} {who}{f' on {few(hosts, 2)}' if hosts else ''}{f', {what}' if what else ''}"
    file = next((job.log for job, _ in members if job.log), None) if state != RUNNING else None
    if file is not None:
        yield f"           log: {file}"


def _page(campaign: PastCampaign) -> str:
    return Command("status", settings={"stage.status.campaign": campaign.name}).line()


def _finish(campaign: PastCampaign, words: tuple[str, ...]) -> str:
    """The command that finishes what is left, for a shell; with the folder where it was typed, if that is another."""
    elsewhere = campaign.place not in ("", str(Path.cwd()))
    script = campaign.script if campaign.place else typed().script
    line = Command().line(Typed(words, script))
    return f"cd {shlex.quote(campaign.place)} && {line}" if elsewhere else line


def _plain(campaign: PastCampaign) -> dict[str, Any]:
    """A campaign as JSON: its counts, and each task that is not done."""
    states = (DONE, LATER, RUNNING, TO_COME, JOB_FAILED, MISSING)
    left = campaign.remaining()
    return {
        "campaign": campaign.name,
        "words": [*campaign.words],
        "host": campaign.host,
        "goes_on": campaign.goes_on,
        "error": campaign.error,
        "tasks": {state: campaign.count(state) for state in states},
        "not_done": [
            {"task": task.label, "state": task.state, "stage": task.stage, "why": task.why, "host": job.host}
            | {"log": str(job.log or "")}
            for job in campaign.jobs
            for task in job.tasks
            if task.state != DONE
        ],
        "finish": _finish(campaign, left) if left else "",
    }
