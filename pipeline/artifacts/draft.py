"""A draft: what a stage fills with arrays, files, counts, facts and warnings before it becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.artifact import ARRAYS, Manifest, Spec
from pipeline.artifacts.claim import IDENTITY, DraftFolder
from pipeline.digest import combine
from pipeline.machine.files import file_table, sync_tree
from pipeline.machine.provenance import Stopwatch
from pipeline.storage.contract import Storage
from pipeline.storage.resumable import PROGRESS, ArrayWriter


class Draft:
    """What a stage fills: arrays, files, counts, facts and warnings of one derived artifact."""

    def __init__(self, folder: DraftFolder, storage: Storage) -> None:
        self.path = folder.path
        self.counts: dict[str, int | float] = {}
        self.facts: dict[str, Any] = {}
        self.warnings: list[str] = []
        self._storage = storage
        self._arrays: list[dict[str, Any]] = []
        self._digests: dict[str, bytes] = {}
        self._writers: list[ArrayWriter] = []
        self._apart: set[str] = set()

    def array(self, name: str, shape: tuple[int, ...], dtype: Any, unit: str, content: bool = True) -> ArrayWriter:
        """Begin or resume an array; append rows from its `done` on.

        `content=False` leaves it out of the artifact's digest: its bytes may differ where the content is the same.
        """
        folder = self.path / ARRAYS
        if not folder.exists():
            self._storage.create_folder(folder)
        writer = ArrayWriter(self._storage, folder, self.path / PROGRESS, name, shape, np.dtype(dtype))
        self._writers.append(writer)
        if not content:
            self._apart.add(name)
        self._arrays.append({"name": name, "shape": list(shape), "dtype": writer.dtype.name, "unit": unit})
        return writer

    def folder(self, name: str) -> Path:
        """An empty folder for files; what an earlier, killed run left in it is removed."""
        path = self.path / name
        if path.exists():
            for file in sorted(path.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
        path.mkdir(exist_ok=True)
        return path

    def content(self, name: str, digest: bytes) -> None:
        """Say what a file's content is; the artifact's digest is made of these and of the arrays."""
        self._digests[name] = digest

    def listed(self, name: str, shape: tuple[int, ...], dtype: Any, unit: str) -> None:
        """Describe an array that lies in a file of its own format."""
        self._arrays.append({"name": name, "shape": list(shape), "dtype": np.dtype(dtype).name, "unit": unit})

    def finish(self, spec: Spec, stopwatch: Stopwatch) -> Manifest:
        """Close the arrays, sweep, checksum, and write the manifest into the draft.

        Raises DamagedArtifact where a parent was changed while it was read.
        """
        for parent in spec.parents:
            parent.require_whole()
        closed = {writer.name: writer.close() for writer in self._writers}
        self._digests |= {name: digest for name, digest in closed.items() if name not in self._apart}
        if (self.path / ARRAYS).exists():
            self._storage.sweep(self.path / ARRAYS)
        for left in (PROGRESS, IDENTITY):
            (self.path / left).unlink(missing_ok=True)
        sync_tree(self.path)
        manifest = Manifest(
            kind=spec.kind,
            task=spec.label,
            version=spec.version,
            fingerprint=spec.fingerprint,
            digest=combine(self._digests[name] for name in sorted(self._digests)),
            format=spec.format,
            parents=[parent.as_json() for parent in spec.parents],
            parameters=dict(spec.parameters),
            arrays=self._arrays,
            files=file_table(self.path, self.path),
            counts=self.counts,
            warnings=self.warnings,
            facts=self.facts,
            **stopwatch.record(),
        )
        manifest.write(self.path)
        return manifest
