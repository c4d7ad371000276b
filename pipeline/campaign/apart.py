"""A job of a sweep in a process of its own: what ends its interpreter ends no other job, and has a reason."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.campaign.record import record_crash
from pipeline.campaign.run import Campaign, run_campaign
from pipeline.machine.forked import Crash, Note, can_fork, run_forked
from pipeline.machine.threads import keep_to_cores

log = logging.getLogger(__name__)

SHOW_CURSOR = "\x1b[?25h"


def run_apart(compose: Callable[[], Campaign], folder: Path, stage: str, task: str) -> None:
    """`run_campaign` in a forked child; where it crashes or is killed, `failed.json` says in what and how.

    `stage` and `task` are what is named where it ends before it has begun anything. Where no child can be forked, the
    job runs in this process.
    """
    if not can_fork():
        keep_to_cores(is_job=True)
        run_campaign(compose, folder)
        return

    def work(note: Note) -> None:
        run_campaign(compose, folder, lambda stage, task: note(f"{stage}\n{task}"))

    try:
        crash = run_forked(work)
    except OSError as error:  # of the fork itself: those of the job are written down by then
        crash = Crash("", f"No process could be started for it: {error.strerror}.", "")
    if crash is not None:
        _record(crash, folder, stage, task)


def _record(crash: Crash, folder: Path, stage: str, task: str) -> None:
    if crash.note:
        stage, task = crash.note.split("\n")
    if sys.stderr.isatty():
        print(SHOW_CURSOR, end="", file=sys.stderr, flush=True)  # a progress bar hides it
    advice = "What is finished is kept; the same command goes on from there."
    if crash.for_memory:
        advice += " Give it more memory, or less to do at once: fewer workers=, fewer jobs at a time."
    failure = record_crash(folder, stage, task, f"{crash.reason} {advice}", crash.traceback)
    log.error("%s", failure.line())
