"""Copies from one end to the other: what is to be done is found first, then done, what others were made from first."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.artifacts.artifact import ALL_TASKS, Artifact
from pipeline.artifacts.derived import referred_to
from pipeline.command import Command, domain_words
from pipeline.errors import DamagedArtifact, InvalidInput, Unreachable
from pipeline.machine.files import human_bytes
from pipeline.machine.progress import Advance, progress
from pipeline.remote.download import check_space
from pipeline.sync.choice import Lineage
from pipeline.sync.compare import OTHER, Step, planned_step
from pipeline.sync.end import End, place_of
from pipeline.sync.receive import kept_bytes, receive
from pipeline.sync.send import send
from pipeline.wording import how_many

log = logging.getLogger(__name__)

FROM, TO = "stage.sync.from", "stage.sync.to"


@dataclass
class Copies:
    """Artifacts on their way from one end to the other.

    Attributes:
        source: the end that they come from.
        target: the other one.
        lineage: the artifacts of the source.
        asked: the other store than the user's own, as it was typed.
        sends: whether that one is the target.
        replaces: copy them whatever lies in their places, and let them take these.
        refused: why an artifact is not copied, by its place; what was made from it is not copied either.
    """

    source: End
    target: End
    lineage: Lineage
    asked: str
    sends: bool
    replaces: bool = False
    refused: dict[str, str] = field(default_factory=dict)

    def plan(self, artifacts: Sequence[Artifact]) -> list[Step]:
        """What is to be done about each. Those about which nothing can be done are refused."""
        steps = []
        for artifact in artifacts:
            try:
                step = self._compared(artifact)
            except DamagedArtifact as error:
                self._refuse(artifact, str(error))
                continue
            if step.what == OTHER:
                self._refuse(artifact, self._other(step))
            else:
                steps.append(step)
        return steps

    def carry_out(self, steps: Sequence[Step]) -> list[Step]:
        """Copy what is not there; what was done in the end. One that fails holds back only what was made from it.

        Raises InvalidInput where the disk has no room, before the first byte, and Unreachable.
        """
        total = sum(step.size for step in steps)
        if self.target.is_folder:
            kept = sum(kept_bytes(step, self.target) for step in steps if step.files)
            check_space(self.target.store.root, total - kept, "sync", TO if self.sends else "paths.root")
        done = []
        with progress("sync", "all", "bytes", total) as advance:
            for step in steps:
                if reason := self._held_back(step):
                    self._refuse(step.artifact, reason)
                elif (copied := self._copied(step, advance)) is not None:
                    done.append(copied)
        return done

    def _compared(self, artifact: Artifact) -> Step:
        if artifact.is_derived and self.source.is_folder:
            referred_to(artifact)  # raises where a dataset is gone whose episodes it refers to
        step = planned_step(artifact, self.source, self.target)
        return step.as_new() if self.replaces else step

    def _copied(self, step: Step, advance: Advance) -> Step | None:
        """What was done about an artifact; None where it failed."""
        try:
            if step.files and self.target.is_folder:
                step = receive(step, self.source, self.target, lambda: self._compared(step.artifact), advance)
            elif step.files:
                send(step, self.target, advance)
        except Unreachable:
            raise
        except (DamagedArtifact, InvalidInput) as error:
            self._refuse(step.artifact, self._why(step.artifact, error))
            return None
        if step.what == OTHER:  # another process was faster
            self._refuse(step.artifact, self._other(step))
            return None
        size = f"copied ({how_many(len(step.files), 'files')}, {human_bytes(step.size)})"
        log.info("sync %s %s", step.name, size if step.files else step.words())
        return step

    def _held_back(self, step: Step) -> str:
        """Why an artifact is not copied: it would lie there without what it was made from."""
        refused = [place for each in self.lineage.parents(step.artifact) if (place := place_of(each)) in self.refused]
        return f"It was made from {refused[0]}, which was not copied." if step.files and refused else ""

    def _refuse(self, artifact: Artifact, reason: str) -> None:
        self.refused[place_of(artifact)] = reason
        log.warning("sync %s left out: %s", place_of(artifact), reason.split("\n")[0])

    def _other(self, step: Step) -> str:
        """What to say where something else lies in the place of an artifact."""
        lines = "".join(f"\n  {line}" for line in step.differs)
        return (
            f"{self.target.shown(step.artifact)} is something else, and was left as it is:{lines}\n"
            f"To put this one in its place: {self._replacing(step.artifact).line()}"
        )

    def _why(self, artifact: Artifact, error: DamagedArtifact | InvalidInput) -> str:
        """What to say where files do not have the checksums of their manifest."""
        if self.sends:
            try:
                artifact.require_whole(fresh=True)
            except DamagedArtifact as damaged:
                return str(damaged)
            return str(error)
        again = self._replacing(artifact, {FROM: None, TO: self.asked}).line()
        return f"{error}\nWhere it is whole, this sends it there again: {again}"

    def _replacing(self, artifact: Artifact, settings: dict[str, object] | None = None) -> Command:
        """The command that copies one artifact over whatever is there."""
        manifest = artifact.manifest
        own = {"names": [f"{manifest.kind}/{artifact.path.name}"], "parents": False, "replace": True, "dry_run": None}
        words = {f"stage.sync.{key}": value for key, value in own.items()} | (settings or {})
        task = "" if artifact.task == ALL_TASKS else artifact.task
        return Command("sync", task, domain_words(manifest.command, artifact.domain), words)
