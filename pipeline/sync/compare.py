"""What is to be done about an artifact: it is there, or to be copied, or something else lies in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.artifacts.artifact import EPISODES, MANIFEST, Artifact, Manifest
from pipeline.artifacts.store import artifact_in_place
from pipeline.artifacts.whole import Files
from pipeline.errors import DamagedArtifact, InvalidInput
from pipeline.fingerprint import differences
from pipeline.sync.end import End, place_of
from pipeline.wording import how_many

COPY, GROW, MEND, THERE, LONGER, OTHER = "copy", "grow", "mend", "there", "longer", "other"
"""All of it is to be copied; its first episodes are there; some of its files are missing there; all of it is there;
it is there with more episodes; something else is there.
"""

SHOWN_DIGITS = 16
SHOWN_LINES = 6


@dataclass(frozen=True)
class Step:
    """One artifact on its way.

    Attributes:
        artifact: at the end that it comes from.
        there: what is in its place at the other end.
        what: one of the words above.
        files: those that are to be copied.
        differs: of something else that is there: in what, a line each.
    """

    artifact: Artifact
    there: Artifact | None
    what: str
    files: Files = field(default_factory=dict)
    differs: Sequence[str] = ()

    @property
    def name(self) -> str:
        """`toy/corner/episodes/scripted-v1`."""
        return place_of(self.artifact)

    @property
    def size(self) -> int:
        """Bytes to copy."""
        return sum(int(each["size"]) for each in self.files.values())

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of a dataset that has grown: the parts that are there stay. None: the artifact's own one."""
        if self.what != GROW or self.there is None:
            return None
        listed = self.artifact.manifest.files.keys() - self.files.keys()
        stay = {name: record for name, record in self.there.manifest.files.items() if name in listed}
        stay |= {name: dict(record) for name, record in self.files.items()}
        return replace(self.artifact.manifest, files=dict(sorted(stay.items())))

    def manifest_text(self) -> bytes:
        """The manifest as it is to lie there. Raises InvalidInput where the artifact's own is another one by now."""
        folder = self.artifact.path
        text = (folder / MANIFEST).read_bytes()
        if Manifest.read(folder) != self.artifact.manifest:
            raise InvalidInput(f"{self.name} has changed since it was looked at: run the same command again.")
        if self.manifest is None:
            return text
        with TemporaryDirectory(prefix="manifest-") as own:
            self.manifest.write(Path(own))
            return (Path(own) / MANIFEST).read_bytes()

    def as_new(self) -> Step:
        """The same, in the place of whatever is there."""
        return replace(self, what=COPY, files=self.artifact.manifest.files, differs=())

    def words(self) -> str:
        """What is to be done, for people."""
        have, count = (
            int(each.manifest.counts.get(EPISODES, 0)) if each else 0 for each in (self.there, self.artifact)
        )
        return {
            COPY: "to copy" if self.there is None else "to copy, in the place of what is there",
            GROW: f"to grow from {have:,} to {how_many(count, EPISODES)}",
            MEND: f"to mend: {how_many(len(self.files), 'files')} missing there",
            THERE: "there already",
            LONGER: f"there already, with {how_many(have - count, EPISODES)} more",
            OTHER: "something else is there",
        }[self.what]


def planned_step(artifact: Artifact, source: End, target: End) -> Step:
    """What is to be done about an artifact of the source, as the manifests of both ends say."""
    there = _there(artifact, target)
    new = Step(artifact, there, COPY, artifact.manifest.files)
    if there is None:
        return new
    mine, its = artifact.manifest, there.manifest
    lacking = set(target.lacks(there))
    if mine.digest == its.digest:
        if lacking and mine.checksum != its.checksum:
            return new
        what = MEND if lacking else THERE
        return Step(artifact, there, what, {name: mine.files[name] for name in mine.files if name in lacking})
    if lines := differences(its.parameters, mine.parameters, words=("there", "to be copied")):
        return Step(artifact, there, OTHER, differs=lines[:SHOWN_LINES])
    if mine.kind == EPISODES and not artifact.is_derived and not there.is_derived:
        have, count = int(its.counts[EPISODES]), int(mine.counts[EPISODES])
        if have < count and source.leading_digest(artifact, have) == its.digest:
            return new if lacking else Step(artifact, there, GROW, _of_new_parts(mine, its))
        if have > count and target.leading_digest(there, count) == mine.digest:
            return Step(artifact, there, LONGER)
    return Step(artifact, there, OTHER, differs=_other_content(mine, its))


def _there(artifact: Artifact, target: End) -> Artifact | None:
    """What lies in an artifact's place. In a mirror a manifest that cannot be read counts as none."""
    folder = target.place(artifact)
    try:
        return artifact_in_place(folder) if (folder / MANIFEST).is_file() else None
    except DamagedArtifact:
        if target.is_folder:
            raise
        return None


def _of_new_parts(mine: Manifest, its: Manifest) -> Mapping[str, Any]:
    there = {part.name for part in its.parts}
    return {name: record for name, record in mine.files.items() if name.split("/")[1] not in there}


def _other_content(mine: Manifest, its: Manifest) -> list[str]:
    """In what two artifacts differ that were asked to be the same."""
    lines = [f"digest: {its.digest[:SHOWN_DIGITS]} there, {mine.digest[:SHOWN_DIGITS]} to be copied"]
    there, here = ({"counts": each.counts, "versions": each.versions, "host": each.host} for each in (its, mine))
    return [*lines, *differences(there, here, words=("there", "to be copied"))][:SHOWN_LINES]
