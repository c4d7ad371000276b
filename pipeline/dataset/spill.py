"""Spilled episodes: files of one or a few, from when an episode ends until it is packed into a part."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from pipeline.dataset.bundle import Bundle
from pipeline.dataset.parts import ENDS
from pipeline.digest import digest_arrays
from pipeline.episode import Episode
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import write_spilled

SPILL = "spill"
SPILLED = ".safetensors"
CHECK = "check"
"""The digest of all other arrays of a file."""

UNLINKING = 8
"""Files that are removed at a time."""


def spill_path(folder: Path, index: int) -> Path:
    """Where episode `index` waits to be packed, and perhaps some that follow it."""
    return folder / f"{index:08d}{SPILLED}"


def save_episode(path: Path, episode: Episode) -> None:
    """One finished episode as one whole file."""
    save_bundle(path, Bundle.of([episode]))


def save_bundle(path: Path, bundle: Bundle) -> None:
    """Finished episodes as one whole file, at the `spill_path` of the first."""
    check = np.frombuffer(digest_arrays(bundle.arrays), np.uint8)
    write_spilled(path, {**bundle.arrays, CHECK: check})


def load_bundle(path: Path) -> Bundle:
    """Spilled episodes; checked against the digest that was taken when they were written."""
    try:
        arrays = load_file(path)
        check, bundle = arrays.pop(CHECK, None), Bundle(arrays)
        sound = _is_as_made(bundle) if check is None else digest_arrays(arrays) == check.tobytes()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedArtifact(f"{path} is torn: {error}. Run the same command again.") from error
    if not sound:
        raise DamagedArtifact(f"{path} does not match its digest. Run the same command again.")
    return bundle


def spilled_episodes(folder: Path) -> set[int]:
    """The numbers of all episodes that wait to be packed, in files that are whole."""
    return {number for path in folder.glob(f"*{SPILLED}") for number in _numbers_in(path)}


def intact(path: Path) -> bool:
    """Whether a spilled file of an earlier run can be used; a torn one is removed, its episodes are made again."""
    try:
        load_bundle(path)
    except DamagedArtifact:
        path.unlink()
        return False
    return True


def remove_torn(folder: Path, numbers: range | None = None) -> None:
    """Remove spilled files that a power cut has torn; those of a kill are whole by their rename.

    `numbers` are those that a file's first episode may have.
    """
    for path in folder.glob(f"*{SPILLED}"):
        if numbers is None or int(path.stem) in numbers:
            intact(path)


def without_overlaps(folder: Path) -> None:
    """Leave each spilled episode in one whole file: two jobs may have made the same where one had lost its lease."""
    after = 0
    for path in sorted(folder.glob(f"*{SPILLED}")):
        numbers = _numbers_in(path)
        if numbers.start < after:
            if numbers.stop > after:
                save_bundle(spill_path(folder, after), load_bundle(path).between(after - numbers.start, len(numbers)))
            path.unlink()
        after = max(after, numbers.stop)


def remove_packed(folder: Path, packed: int) -> None:
    """Remove the first `packed` episodes, which are in parts, from the spilled files."""
    if done := sorted(path for path in folder.glob(f"*{SPILLED}") if int(path.stem) < packed):
        _keep_from(done[-1], packed)
    with ThreadPoolExecutor(UNLINKING) as several:  # the disk takes milliseconds for each, and as long for several
        list(several.map(Path.unlink, done))


def _keep_from(path: Path, packed: int) -> None:
    """Spill the episodes of a file that are not packed once more, by themselves."""
    try:
        bundle = load_bundle(path)
    except DamagedArtifact:  # they are made again
        return
    if (begin := packed - int(path.stem)) < len(bundle):
        save_bundle(spill_path(path.parent, packed), bundle.between(begin, len(bundle)))


def _numbers_in(path: Path) -> range:
    with safe_open(path, "numpy") as file:
        count = file.get_slice(ENDS).get_shape()[0]
    return range(int(path.stem), int(path.stem) + count)


def _is_as_made(bundle: Bundle) -> bool:
    """Whether the episodes have the digests that were taken when they were made; earlier versions wrote no other."""
    return all(episode.digest() == digest for episode, digest in bundle.digested())
