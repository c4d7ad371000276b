"""What is wrong with stored pictures: files against their digests."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.artifacts.artifact import Artifact
from pipeline.digest import ArrayDigest, combine
from pipeline.errors import InvalidInput
from pipeline.frames.png import decode_png
from pipeline.frames.store import DIGESTS, NO_PICTURE, Frames, episode_digest, pixel_digest
from pipeline.storage.choice import open_arrays


def wrong_frames(artifact: Artifact) -> Iterator[str]:
    """Files that are no pictures, and pictures whose pixels do not give their episode's digest."""
    frames, stored = Frames(artifact), open_arrays(artifact.arrays)[DIGESTS][:]
    for number, episode in enumerate(frames):
        try:
            digests = [_digest(episode[row]) for row in range(len(episode))]
        except InvalidInput as error:
            yield f"a picture of episode {number} cannot be read: {error}"
            continue
        if episode_digest(digests) != episode.digest:
            yield f"the pictures of episode {number} do not match their digest"
    digest = ArrayDigest(DIGESTS, stored.dtype, stored.shape)
    digest.update(stored)
    if combine([digest.digest()]) != artifact.manifest.digest:
        yield "the pictures' digests do not give the manifest's digest"


def _digest(file: bytes) -> bytes:
    return pixel_digest(decode_png(file)) if file else NO_PICTURE.digest
