"""Where the files of a checkpoint lie in a tree, whose names hold the experiment's id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.artifacts.whole import Files
from pipeline.errors import InvalidInput
from pipeline.formats.blender.files import ENV_STATES, KINDS, RENDERS, THUMBNAILS
from pipeline.formats.blender.registration import TreeLayout
from pipeline.formats.places import files_inside
from pipeline.sources.rlhf_blender.names import DATA, EXPERIMENT, PROVENANCE

MOST_BYTES = 200
"""Of a name: file systems take 255, and numbers and endings stand beside it."""

_NUMBERED = re.compile(r"(?:\w+_)?(\d+)(\.\w+)")
"""The number and the ending in the name of an episode's file."""


@dataclass(frozen=True)
class TreeFile:
    """A file of an export, and where it lies.

    Attributes:
        source: its path in the export.
        path: its path in the tree.
        digest: BLAKE3 of its bytes; None where the tree holds it in another form.
    """

    source: str
    path: PurePosixPath
    digest: str | None

    @property
    def is_converted(self) -> bool:
        """Whether it is a picture of another form than in the export: the manual has PNG, the server JPEG."""
        return self.digest is None


@dataclass(frozen=True)
class CheckpointPlace:
    """One checkpoint of an experiment in a tree.

    Attributes:
        env_id: of the environment, as it is.
        experiment, number: name and id of the experiment.
        checkpoint: as it stands in the experiment's list: `-1`, `100000`.
    """

    layout: TreeLayout
    env_id: str
    experiment: str
    number: int
    checkpoint: str

    def folder(self, kind: str) -> PurePosixPath:
        """The folder of one kind of files, below the tree.

        >>> place = CheckpointPlace(TreeLayout.BACKEND, "ALE/Pong-v5", "Mine", 3, "-1")
        >>> str(place.folder("renders")), str(place.folder("env_states"))
        ('data/renders/ALE-Pong-v5/ALE-Pong-v5_3_-1', 'data/env_states/ALE/Pong-v5/ALE/Pong-v5_3_-1')
        """
        documented = self.layout == TreeLayout.DOCUMENTED
        env = self.env_id if kind == ENV_STATES and not documented else data_spelling(self.env_id)
        top = file_spelling(self.experiment) if documented else env
        return PurePosixPath(DATA, kind, top, f"{env}_{self.number}_{self.checkpoint}")

    @property
    def projection(self) -> PurePosixPath:
        """The file of its points."""
        env = self.env_id.replace("/", "_").replace(":", "_")
        return PurePosixPath(DATA, "saved_projections", f"{env}_{self.number}_{self.checkpoint}_PCA.npz")

    @property
    def folders(self) -> list[PurePosixPath]:
        """The folders of all kinds."""
        return [self.folder(kind) for kind in (*KINDS, PROVENANCE)]

    def files(self, files: Files, place: PurePosixPath) -> list[TreeFile]:
        """Where the files of an export lie, which are below `place` there; what makes an episode be seen, its video,
        comes last.
        """
        found = [self._file(name, str(record["blake3"]), place) for name, record in files_inside(files, place)]
        return sorted(found, key=lambda file: (f"/{RENDERS}/" in str(file.path), file.path))

    def _file(self, name: str, digest: str, place: PurePosixPath) -> TreeFile:
        source = str(place / name)
        kind, _, own = name.rpartition("/")
        if name == EXPERIMENT:
            return TreeFile(source, self.folder(PROVENANCE) / name, digest)
        if self.layout == TreeLayout.DOCUMENTED and (numbered := _NUMBERED.fullmatch(own)):
            png = kind == THUMBNAILS
            own = f"{numbered[1]}{'.png' if png else numbered[2]}"
            return TreeFile(source, self.folder(kind) / own, None if png else digest)
        return TreeFile(source, self.folder(kind) / own, digest)


def data_spelling(env_id: str) -> str:
    """An environment's id as data folders have it: `ALE-Pong-v5` for `ALE/Pong-v5`; other slashes make folders.

    Raises InvalidInput for an id that would lead out of its folder, and for a very long one.
    """
    spelt = env_id.replace("/", "-") if "ALE" in env_id else env_id
    if any(part in ("", ".", "..") or part.startswith(".") for part in spelt.split("/")) or "\\" in spelt:
        raise InvalidInput(f"{env_id} cannot be the name of a folder. Name the environment: format.env_id=NAME")
    _require_short(spelt, "environment", "format.env_id")
    return spelt


def file_spelling(name: str) -> str:
    """A name as that of one folder: `a-b` for `a/b`. Raises InvalidInput for a very long one."""
    spelt = re.sub(r"[/\\:]", "-", name).strip()
    _require_short(spelt, "experiment", "format.experiment")
    return f"_{spelt}" if spelt.startswith(".") else spelt


def _require_short(spelt: str, what: str, setting: str) -> None:
    """Raises InvalidInput for a name that leaves no room beside it in that of a file."""
    if len(spelt.encode()) > MOST_BYTES:
        raise InvalidInput(
            f"The name of the {what} is too long for files: {spelt[:40]}... has {len(spelt.encode())} bytes, and at "
            f"most {MOST_BYTES} are possible. Give it a shorter one: {setting}=NAME"
        )
