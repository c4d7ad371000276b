"""An artifact into a mirror at an address: its files, then its manifest, by which it is one.

A mirror knows no lock and no rename. Two that send one artifact send the same files. A note beside them says what is on
its way (`pipeline.remote.upload`); it goes when the manifest is there.
"""

from __future__ import annotations

import json
from dataclasses import replace

from pipeline.artifacts.artifact import MANIFEST
from pipeline.artifacts.record import CHECKSUM
from pipeline.errors import InvalidInput
from pipeline.machine.progress import Advance
from pipeline.remote.upload import NOTE, FolderUpload
from pipeline.sync.compare import COPY, Step
from pipeline.sync.end import End


def send(step: Step, target: End, advance: Advance) -> None:
    """Send an artifact that is whole. `advance` is called with the bytes that are there. Raises as FolderUpload.

    Raises DamagedArtifact where its files are not what its manifest lists, and InvalidInput where the mirror has
    another manifest than when it was looked at: nothing of it is sent then.
    """
    artifact = step.artifact
    artifact.require_whole()
    manifest = step.manifest_text()
    remote = replace(
        target.remote, address=f"{target.remote.address}/{step.name}", path=f"{target.remote.path}/{step.name}"
    )
    upload = FolderUpload(remote, {name: artifact.path / name for name in step.files}, step.files)
    if _checksum(upload.read(MANIFEST)) != (step.there.manifest.checksum if step.there else ""):
        raise InvalidInput(f"{remote.address} has changed since it was looked at: run the same command again.")
    if step.what == COPY and (step.there is not None or not upload.was_begun()):
        upload.remove([MANIFEST])  # first, so that nobody reads half of one thing and half of another
        upload.remove(upload.others(()))
    missing = upload.begin()
    advance(step.size - sum(int(step.files[name]["size"]) for name in missing))
    upload.send(missing, advance)
    upload.put(MANIFEST, manifest)
    listed = (step.manifest or artifact.manifest).files
    upload.remove([*upload.others([*listed, MANIFEST]), NOTE])


def _checksum(manifest: bytes | None) -> str:
    """The checksum that a manifest says of itself; empty where there is none, or it cannot be read."""
    try:
        found = json.loads(manifest or b"{}")
    except ValueError:
        return ""
    return str(found.get(CHECKSUM, "")) if isinstance(found, dict) else ""
