"""Checks of finished artifacts: what their manifests say of themselves, checksums of files, digests of content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.artifacts.artifact import ARRAYS, EPISODES, MANIFEST, PARTS, Artifact, Spec
from pipeline.digest import ArrayDigest, combine, digest_file
from pipeline.machine.files import files_below
from pipeline.storage.choice import open_arrays, storages
from pipeline.storage.contract import blocks


def wrong_identity(artifact: Artifact) -> Iterator[str]:
    """What a manifest says of itself that does not fit together, or not with the place where it lies."""
    manifest = artifact.manifest
    if _fingerprint(artifact) != manifest.fingerprint:
        yield "its kind, task, format, parameters and parents do not give its fingerprint"
    if manifest.kind != EPISODES and manifest.version != manifest.fingerprint:
        yield f"its version {manifest.version} is not its fingerprint {manifest.fingerprint}"
    if other := other_place(artifact):
        yield f"its manifest is of {other}"


def other_place(artifact: Artifact) -> str:
    """Where the folder of an artifact belongs, below a workspace; empty where it lies there."""
    manifest = artifact.manifest
    names = {manifest.version + storage.suffix for storage in storages()}
    place = (artifact.domain, artifact.task, manifest.kind)
    lies_there = artifact.path.parts[-4:-1] == place and artifact.path.name in names
    return "" if lies_there else f"{manifest.task}/{manifest.kind}/{manifest.version}"


def _fingerprint(artifact: Artifact) -> str:
    """The fingerprint of what a manifest says was asked for; empty where nobody can have asked for that."""
    manifest, parents = artifact.manifest, tuple(artifact.parents)
    asked = Spec(artifact.domain, artifact.task, manifest.kind, manifest.format, manifest.parameters, parents)
    try:
        return asked.fingerprint
    except (ValueError, RecursionError):  # NaN, lists without end
        return ""


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
    for folder in _folders(artifact):
        for path in files_below(folder):
            name = path.relative_to(artifact.path).as_posix()
            if name not in listed and name != MANIFEST:
                yield f"{name} is not in the manifest"


def _folders(artifact: Artifact) -> list[Path]:
    """Where all files are listed. A dataset may hold parts that have grown into larger ones; stage=gc lists those."""
    if artifact.manifest.kind != EPISODES or artifact.is_derived:
        return [artifact.path]
    return [artifact.path / PARTS / part.name for part in artifact.manifest.parts]


def wrong_arrays(artifact: Artifact) -> Iterator[str]:
    """Arrays whose content does not give the manifest's digest, or that are others than it lists."""
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
    listed = {each["name"]: (each["shape"], each["dtype"]) for each in artifact.manifest.arrays}
    if listed != {name: (list(array.shape), array.dtype.name) for name, array in arrays.items()}:
        yield "the arrays have other names, shapes or dtypes than the manifest lists"
