"""Spilled episodes: one file each, from when an episode ends until it is packed into a part."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.dataset.parts import pack, unpack
from pipeline.episode import Episode
from pipeline.errors import DamagedArtifact
from pipeline.machine.files import write_spilled

SPILL = "spill"
SPILLED = ".safetensors"


def spill_path(folder: Path, index: int) -> Path:
    """Where episode `index` waits to be packed."""
    return folder / f"{index:08d}{SPILLED}"


def save_episode(path: Path, episode: Episode) -> None:
    """One finished episode as one whole file."""
    write_spilled(path, pack([episode]))


def load_episode(path: Path) -> Episode:
    """A spilled episode; checked against the digest that was taken when it was made."""
    try:
        arrays = load_file(path)
        episode = unpack(arrays)[0]
        digest = arrays["episodes/digest"][0].tobytes()
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedArtifact(f"{path} is torn: {error}. Run the same command again.") from error
    if episode.digest() != digest:
        raise DamagedArtifact(f"{path} does not match its digest. Run the same command again.")
    return episode


def intact(path: Path) -> bool:
    """Whether a spilled file of an earlier run can be used; a torn one is removed, its episode is made again."""
    try:
        load_episode(path)
    except DamagedArtifact:
        path.unlink()
        return False
    return True


def remove_torn(folder: Path) -> None:
    """Remove spilled files that a power cut has torn; those of a kill are whole by their rename."""
    for path in folder.glob(f"*{SPILLED}"):
        intact(path)


def remove_packed(folder: Path, packed: int) -> None:
    """Remove the spilled files of the first `packed` episodes, which are in parts."""
    for path in folder.glob(f"*{SPILLED}"):
        if int(path.stem) < packed:
            path.unlink()
