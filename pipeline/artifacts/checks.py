"""Checks of finished artifacts: checksums of files, digests of content, invariants of each kind."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.artifacts.artifact import ARRAYS, MANIFEST, Artifact
from pipeline.digest import ArrayDigest, combine, digest_file
from pipeline.machine.files import files_below
from pipeline.storage.choice import open_arrays
from pipeline.storage.contract import blocks


def damaged_files(artifact: Artifact) -> Iterator[str]:
    """Files that are missing, changed, or not in the manifest."""
    listed = artifact.manifest.files
    for name, record in listed.items():
        path = artifact.path / name
        if not path.is_file():
            yield f"{name} is missing"
        elif path.stat().st_size != record["size"]:
            yield f"{name} has {path.stat().st_size} bytes, the manifest says {record['size']}"
        elif digest_file(path) != record["blake3"]:
            yield f"{name} has other bytes than when it was made"
    if not artifact.manifest.parts:  # a dataset may hold parts that have grown; stage=gc lists them
        for path in files_below(artifact.path):
            name = path.relative_to(artifact.path).as_posix()
            if name not in listed and name != MANIFEST:
                yield f"{name} is not in the manifest"


def wrong_arrays(artifact: Artifact) -> Iterator[str]:
    """Arrays whose content does not give the manifest's digest."""
    if not (artifact.path / ARRAYS).is_dir():
        return
    arrays = open_arrays(artifact.arrays)
    digests = {}
    for name, array in arrays.items():
        digest = ArrayDigest(name, array.dtype, array.shape)
        for block in blocks(array):
            digest.update(block)
        digests[name] = digest.digest()
    if combine(digests[name] for name in sorted(digests)) != artifact.manifest.digest:
        yield "the arrays' content does not give the manifest's digest"
