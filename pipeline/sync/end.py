"""One end of a copy: a store in a folder, or a mirror of artifacts at an address of fsspec.

Both have the same files: ADDRESS/artifacts/DOMAIN/TASK/KIND/VERSION/..., and a manifest that is written last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pipeline.artifacts.artifact import MANIFEST, Artifact
from pipeline.artifacts.store import ArtifactStore, artifacts_below
from pipeline.artifacts.whole import Files
from pipeline.dataset.indexing import files_of_index, index_of
from pipeline.errors import DamagedArtifact, InvalidInput, Unreachable
from pipeline.keys import stays_inside
from pipeline.remote.download import RemoteFile, bring_files
from pipeline.remote.filesystem import Failed, Remote, connect, folder_of_files, with_retries

log = logging.getLogger(__name__)

TOP = "artifacts"
"""The folder of a store that holds its artifacts."""

PLACE_DEPTH = 4
"""Names of an artifact's place: domain, task, kind, version."""


@dataclass(frozen=True)
class End:
    """A store, and how its files are reached.

    Attributes:
        store: itself; of a mirror its manifests alone, in a temporary folder of this machine.
        remote: the folder `artifacts`.
        sizes: of a mirror, bytes of the files by their path in it, by the place of each artifact.
    """

    store: ArtifactStore
    remote: Remote
    sizes: Mapping[str, Mapping[str, int]] | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine, which leases can be taken in."""
        return self.sizes is None

    def shown(self, artifact: Artifact) -> str:
        """Where an artifact lies, or would lie, in words for people."""
        return f"{self.remote.address}/{place_of(artifact)}"

    def place(self, artifact: Artifact) -> Path:
        """The folder of an artifact of the other end, as this end has it."""
        return self.store.root / place_of(artifact)

    def lacks(self, artifact: Artifact) -> list[str]:
        """The files that are not there with the size that the manifest says. Of a folder nothing is looked at."""
        if self.sizes is None:
            return []
        there = self.sizes.get(place_of(artifact), {})
        return [name for name, record in artifact.manifest.files.items() if there.get(name) != record["size"]]

    def files(self, artifact: Artifact, names: Sequence[str], folder: Path) -> list[RemoteFile]:
        """Files of an artifact, and where they are to lie below a folder."""
        top, records = f"{self.remote.path}/{place_of(artifact)}", artifact.manifest.files
        return [
            RemoteFile(
                f"{top}/{name}", records[name]["size"], folder / name, blake3=records[name]["blake3"], flush=False
            )
            for name in names
        ]

    def leading_digest(self, dataset: Artifact, episodes: int) -> str:
        """The digest of a dataset's first episodes; of one in a mirror the few small files that say it are fetched."""
        if self.sizes is not None:
            bring(self, dataset, files_of_index(dataset.manifest), dataset.path)
        return index_of(dataset).digest(episodes)


def place_of(artifact: Artifact) -> str:
    """`toy/corner/episodes/scripted-v1`: the folder of an artifact in every store."""
    return "/".join(artifact.path.parts[-PLACE_DEPTH:])


def bring(source: End, artifact: Artifact, wanted: Files, folder: Path) -> None:
    """Fetch a few files of an artifact into a folder that nobody else writes to."""
    names = [name for name, record in wanted.items() if record["size"]]
    for name in wanted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not wanted[name]["size"]:
            (folder / name).touch()
    missing = [file for file in source.files(artifact, names, folder) if not file.whole]
    bring_files(source.remote, missing, lambda _: None, lambda: None)


def folder_end(store: ArtifactStore) -> End:
    """A store in a folder of this machine."""
    return End(store, folder_of_files(store.root))


@contextmanager
def opened_end(asked: str, setting: str, writes: bool, among: Sequence[str]) -> Iterator[End]:
    """The store in a folder, or at an address, that a setting names.

    Of a mirror only what lies below the folders `among` is listed: names of domains, or `domain/task`; all where there
    are none. Raises InvalidInput for what cannot be used, Unreachable where nothing answers.
    """
    protocol, mark, rest = asked.partition("://")
    if not mark or protocol in ("file", "local"):
        yield folder_end(ArtifactStore(rest if mark else asked))
        return
    remote = connect(asked.rstrip("/"), setting, writes=writes)
    remote = replace(remote, address=f"{remote.address.rstrip('/')}/{TOP}", path=f"{remote.path}/{TOP}")
    with TemporaryDirectory(prefix="manifests-") as folder:
        found: dict[str, dict[str, int]] = {}
        for each in among or [""]:
            _list(remote, each, found)
        store = ArtifactStore(folder)
        _fetch_manifests(remote, store.root, found)
        yield End(store, remote, found)


def _list(remote: Remote, below: str, found: dict[str, dict[str, int]]) -> None:
    """Add the files that are listed below a folder. Whatever has no name of an artifact's file is nobody's."""
    remote.lists.invalidate_cache()
    try:
        listed: dict[str, Any] = _asked(
            f"listing {remote.address}",
            lambda: remote.lists.find(f"{remote.path}/{below}".rstrip("/"), detail=True),
        )
    except FileNotFoundError:
        return
    top = remote.path.strip("/")
    for path, facts in listed.items():
        inner = path.strip("/").removeprefix(top).lstrip("/")
        names = inner.split("/")
        if facts["type"] == "file" and len(names) > PLACE_DEPTH and stays_inside(inner):
            place = "/".join(names[:PLACE_DEPTH])
            found.setdefault(place, {})["/".join(names[PLACE_DEPTH:])] = int(facts["size"])


def _fetch_manifests(remote: Remote, root: Path, found: Mapping[str, Mapping[str, int]]) -> None:
    """Read each manifest in one piece: it may be replaced while this goes on."""

    def fetch(place: str) -> None:
        path = f"{remote.path}/{place}/{MANIFEST}"
        with suppress(FileNotFoundError):
            text = _asked(f"reading {remote.address}/{place}", lambda: remote.reads.cat_file(path))
            (root / place).mkdir(parents=True)
            (root / place / MANIFEST).write_bytes(text)

    with ThreadPoolExecutor(remote.together) as pool:
        for _ in pool.map(fetch, [place for place, sizes in found.items() if MANIFEST in sizes]):
            pass


def artifacts_of(end: End, domain: str | None, tasks: Sequence[str] | None) -> tuple[list[Artifact], list[str]]:
    """The finished artifacts of some tasks of a domain, or of all; and of each folder that should hold one, and holds
    none that can be read, what is wrong.
    """
    damage: list[DamagedArtifact] = []
    folders = [path for task in tasks or ["*"] for path in end.store.root.glob(f"{domain or '*'}/{task}/*")]
    artifacts = [each for folder in sorted(folders) for each in artifacts_below(folder, damage)]
    unreadable = [str(each.args[0]).replace(str(end.store.root), end.remote.address) for each in damage]
    for reason in unreadable:
        log.warning("left alone: %s", reason)
    return artifacts, unreadable


def _asked(what: str, step: Callable[[], Any]) -> Any:
    try:
        return with_retries(step, what)
    except Failed as failed:
        raise Unreachable(
            f"{what.capitalize()} {failed}. Check the address, the network and your keys, and run the same command "
            f"again."
        ) from failed


def require_other(one: End, other: End, setting: str) -> None:
    """Raises InvalidInput where both ends are one folder."""
    if one.is_folder and other.is_folder and one.store.root.resolve() == other.store.root.resolve():
        raise InvalidInput(f"{setting}={one.remote.address.removesuffix(f'/{TOP}')} is this store: name another one.")
