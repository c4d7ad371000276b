"""What one run has made and what has failed, kept in its folder as it goes on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts.artifact import ALL_TASKS, EPISODES, Artifact, Manifest
from pipeline.artifacts.exported import EXPORT, export_words, place_in
from pipeline.artifacts.runs import MADE
from pipeline.campaign.console import stuck_episodes, success_rate
from pipeline.campaign.failures import FAILED, Failure, failure_of, read_failures
from pipeline.campaign.job import job_crashed
from pipeline.campaign.quirks import quirk_lines
from pipeline.campaign.reasons import why_made
from pipeline.campaign.stage import PiecesMade, StageResult
from pipeline.domains.domain import Domain
from pipeline.errors import TaskFailed
from pipeline.machine.files import write_json
from pipeline.machine.secrets import without_secrets
from pipeline.wording import few, how_many, writable

log = logging.getLogger(__name__)

SHOWN_DIGITS = 16
"""Of a digest, as on pages."""
TRACEBACKS = "REPERTOIRE_TRACEBACKS"
"""1: tracebacks are shown, too. run.py sets it where the user has set HYDRA_FULL_ERROR, jobs of a sweep inherit it."""

Begun = Callable[[str, str], None]
"""Is told the stage and the task that begin."""


def nobody(stage: str, task: str) -> None:
    """Nobody wants to know what begins."""


@dataclass
class RunRecord:
    """`artifacts.json` and `failed.json` of one run folder, and the line on the terminal for each of their entries.

    `begun` is told what is tried next, by whoever runs the stages.
    """

    folder: Path
    begun: Begun = nobody
    made: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in (FAILED, MADE):  # a run folder that was named by hand may hold those of an earlier run
            (self.folder / name).unlink(missing_ok=True)

    def done(self, stage: str, made: StageResult) -> None:
        """A stage has built or found an artifact or several, has made pieces of one, or has printed all that it had."""
        if isinstance(made, PiecesMade):
            log.info("%s", made.line)
            made = None
        for artifact in [made] if made is None or isinstance(made, Artifact) else made:
            if artifact is None:
                self.made.append({"stage": stage})
                continue
            reason = why_made(artifact)
            _log_artifact(stage, artifact, reason)
            manifest = artifact.manifest
            keys = {"kind": manifest.kind, "task": manifest.task, "version": manifest.version}
            entry = {"stage": stage, "built": artifact.built, "reason": reason, "path": str(artifact.path), **keys}
            self.made.append({**entry, "digest": manifest.digest, **({"out": artifact.laid} if artifact.laid else {})})
        write_json(self.folder / MADE, self.made)

    def failed(self, stage: str, task: str, error: Exception, domain: Domain | None) -> Failure:
        """A stage of a task has failed, or the run before its first stage. The same cause is shown in full once."""
        failure = failure_of(stage, task, error, domain)
        before = next((each for each in self.failures if each.message == failure.message), None)
        log.error("%s", failure.line(before))
        if os.environ.get(TRACEBACKS) == "1":
            log.error("%s", failure.traceback)
        self.failures.append(failure)
        self._keep()
        return failure

    def not_tried(self, tasks: list[str]) -> None:
        """The last failure is none of its task's, so these tasks were not tried."""
        if tasks:
            log.error("not tried, because the cause is no task's own: %s", few(tasks))
            self.failures[-1] = self.failures[-1].before(tasks)
            self._keep()

    def _keep(self) -> None:
        """Write `failed.json`, by which the exit status is set. Raises TaskFailed where that cannot be written."""
        _write_failures(self.folder / FAILED, self.failures)


def record_crash(folder: Path, stage: str, task: str, message: str, traceback: str = "") -> Failure:
    """Write into the folder of a job why it ended without having said so itself: a crash, a kill, a cluster's refusal.

    It is added to the failures that the job has written; the same one is never there twice. The folder is made where
    the job never began. `stage` and `task` may be empty. Raises TaskFailed where the file cannot be written.
    """
    crash = Failure(stage, task, _shown(message), _shown(traceback))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FAILED
    there = read_failures(folder)
    if crash not in there:
        _write_failures(path, [*there, crash])
    job_crashed(folder)
    return crash


def _shown(text: str) -> str:
    return writable(without_secrets(text))


def _write_failures(path: Path, failures: list[Failure]) -> None:
    try:
        write_json(path, [asdict(each) for each in failures])
    except OSError as error:
        raise TaskFailed(
            f"{path} could not be written: {error.strerror}. The reason of the failure stands above."
        ) from None


def _log_artifact(stage: str, artifact: Artifact, reason: str) -> None:
    manifest = artifact.manifest
    counts = manifest.counts
    facts = [how_many(int(counts[unit]), unit) for unit in ("episodes", "states") if unit in counts]
    form, lost = export_words(artifact) if manifest.kind == EXPORT else ("", "")
    facts += filter(None, [form])
    if rate := success_rate(artifact):
        facts.append(f"success {rate}")
    if still := stuck_episodes(artifact):
        facts.append(still)
    if manifest.kind == EPISODES:
        facts.append(f"digest {manifest.digest[:SHOWN_DIGITS]}")
    if artifact.built:
        facts.append(f"{manifest.seconds:.1f} s")
    label = manifest.task.removesuffix(f"/{ALL_TASKS}")
    how = "built" if artifact.built else "found"
    where = artifact.laid or (place_in(artifact) if form else artifact.path)
    log.info("%s %s %s %s (%s)", stage, label, how, where, "; ".join(filter(None, [", ".join(facts), lost])))
    log.info("  %s", reason)
    if (page := artifact.path / "page" / "index.html").is_file():
        log.info("  page: %s", page)
    if artifact.built:
        _log_notes(manifest)


def _log_notes(manifest: Manifest) -> None:
    """The oddities of foreign data as one table, each other warning as a line."""
    sentences = {quirk["sentence"] for quirk in manifest.quirks}
    if lines := quirk_lines(manifest.quirks):
        log.warning("  odd in these data:")
        for line in lines:
            log.warning(line)
    for warning in manifest.warnings:
        if warning not in sentences:
            log.warning("  note: %s", warning)
