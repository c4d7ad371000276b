"""The files of the DQN Replay dataset: what is there of a game and run, and bringing it onto this machine.

Two layouts are read, of a folder or of any file system that fsspec can list:

    {root}/{Game}/{run}/replay_logs/$store$_observation_ckpt.{N}.gz    the bucket's; the counters lack the $store$_
    {root}/{Game}/{run}/{N}/observation.gz                             the cache of d4rl-atari

Either may lie below {root}/dqn instead. Downloads are laid out as the bucket is, so that their folder is itself a root.
Source: google-research/batch_rl (README); takuseno/d4rl-atari (offline_env.py).
"""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InvalidInput, InvalidSettings, Unreachable
from pipeline.machine.files import is_folder, is_plain_file
from pipeline.machine.secrets import refuse_password
from pipeline.remote.download import RemoteFile, download
from pipeline.remote.filesystem import Failed, Remote, connect, scrubbed, with_retries
from pipeline.wording import few

log = logging.getLogger(__name__)

NEEDED = ("observation", "action", "reward", "terminal")
FIELDS = (*NEEDED, "add_count", "invalid_range")

_FIELD = f"(?P<field>{'|'.join(FIELDS)})"
LAYOUTS = {
    "bucket": re.compile(rf"replay_logs/(?:\$store\$_)?{_FIELD}_ckpt\.(?P<number>[0-9]+)\.gz"),
    "cache": re.compile(rf"(?P<number>[0-9]+)/{_FIELD}\.gz"),
}
MOST_DIGITS = 6
"""Of a checkpoint's number; a run has about 51 of them."""
BELOW = ("", "dqn")
"""Where the games may lie below a root."""
ROOT, CACHE = "source.root", "source.cache"


@dataclass(frozen=True)
class LogFile(RemoteFile):
    """One gzip file of a checkpoint."""


@dataclass(frozen=True)
class Listing:
    """What is there of one run of a game.

    Attributes:
        checkpoints: the files by number N, ascending, then field, in the order of FIELDS. Incomplete ones are included.
        layout: "bucket" or "cache".
        unknown: names, below the run's folder, that no layout knows, and those of the layout that was not taken.
    """

    game: str
    run: int
    checkpoints: Mapping[int, Mapping[str, LogFile]]
    layout: str
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A file as a file system lists it; `size` is None where it does not tell."""

    remote: str
    size: int | None
    md5: bytes | None = None
    crc32c: int | None = None


class Bucket:
    """A root that holds games, and the folder that downloads go to.

    Args:
        root: an fsspec URL, as gs://BUCKET/FOLDER, or a folder (plain or file://), which is read where it is.
        cache: folder for downloads. None: dqn_replay in the user's cache folder for this project.
    """

    def __init__(self, root: str, cache: str | None) -> None:
        if root in (None, ""):
            raise InvalidInput(f"{ROOT} is empty: give an address, as gs://BUCKET/FOLDER, or a folder.")
        refuse_password(str(root), ROOT)
        self.root = root = str(root)  # a folder called 123 is typed as a number
        self.cache = Path(cache).expanduser() if cache else _user_cache()
        self._folder = _folder(root)

    @property
    def address(self) -> str:
        """The root without a name or password."""
        return scrubbed(self.root)

    @property
    def local(self) -> bool:
        """Whether the files are read where they are."""
        return self._folder is not None

    def listing(self, game: str, run: int) -> Listing:
        """The files of a run of a `game`, named as the bucket does (SpaceInvaders). One request lists them.

        Raises InvalidInput where there are none (it says what there is), for names that lead elsewhere, for a number
        that two files have, and where the listing cannot be read.
        """
        if not re.fullmatch(r"[A-Za-z0-9]+", game) or run < 0:
            raise InvalidInput(f"{game} run {run} is no game and run of {ROOT}={self.address}; one is Pong run 1.")
        if self._folder is not None and not is_folder(self._folder):
            raise InvalidSettings(
                f"{ROOT} must be a folder with {game}/{run}/ or dqn/{game}/{run}/ in it, or an address, as "
                f"gs://BUCKET/FOLDER. There is no folder {self._folder}."
            )
        strange: list[str] = []
        for below in BELOW:
            entries = self._entries("/".join(filter(None, (below, game, str(run)))))
            if (found := self._listing(game, run, entries)) is not None:
                return found
            strange += entries
        raise self._absent(game, run, strange)

    def missing(self, files: Sequence[LogFile]) -> list[LogFile]:
        """Those that are not on this machine yet, or with another size than listed."""
        return [file for file in files if not file.whole]

    def fetch(self, files: Sequence[LogFile], label: str) -> None:
        """Bring what is missing of `files` onto this machine, verified; `label` stands in the log and beside the bar.

        A call after a kill or an error goes on where that one ended. Raises InvalidInput
        as `pipeline.remote.download` does.
        """
        if self._folder is None:
            download(self._connect(), files, self.cache, label, CACHE)
            return
        for file in files:
            if not file.size:
                raise InvalidInput(f"{file.local} is empty (0 bytes): it holds no data. Copy it again.")
            if not file.whole:
                raise InvalidInput(f"{file.local} is gone, or has no longer the {file.size:,} bytes that it had.")

    def _connect(self) -> Remote:
        return connect(self.root, ROOT)

    def _listing(self, game: str, run: int, entries: Mapping[str, Entry]) -> Listing | None:
        """The entries as files of the first layout that knows any of them; None where no layout does."""
        for layout, pattern in LAYOUTS.items():
            known = {name: match for name in entries if (match := pattern.fullmatch(name))}
            if known:
                checkpoints: dict[int, dict[str, LogFile]] = {}
                for name, match in known.items():
                    number, field = self._number(name, match), match["field"]
                    fields = checkpoints.setdefault(number, {})
                    if field in fields:
                        raise InvalidInput(
                            f"{self.address} holds {field} of checkpoint {number} of {game} run {run} twice: "
                            f"{fields[field].remote} and {entries[name].remote}. Remove the wrong one."
                        )
                    fields[field] = self._file(entries[name], self._place(entries[name], game, run, field, number))
                ordered = {
                    number: {field: checkpoints[number][field] for field in FIELDS if field in checkpoints[number]}
                    for number in sorted(checkpoints)
                }
                return Listing(game, run, ordered, layout, tuple(sorted(entries.keys() - known.keys())))
        return None

    def _number(self, name: str, match: re.Match[str]) -> int:
        if len(match["number"]) > MOST_DIGITS:
            raise InvalidInput(
                f"{self.address} holds {_shown([name[:100]])}: a run has about 51 checkpoints, numbered from 0 on, and "
                f"none with a number of {len(match['number'])} digits. Remove the file, or look where it was copied "
                f"from."
            )
        return int(match["number"])

    def _file(self, entry: Entry, local: Path) -> LogFile:
        if self._folder is not None:
            is_plain_file(local)
        if entry.size is None:
            raise InvalidInput(
                f"The listing of {self.address} tells no size of {entry.remote}. Copy the files into a folder, and "
                f"give that: {ROOT}=FOLDER"
            )
        return LogFile(entry.remote, entry.size, local, entry.md5, entry.crc32c)

    def _place(self, entry: Entry, game: str, run: int, field: str, number: int) -> Path:
        """Where a file lies: where it was found, or, for a download, at a path built only from its parsed game, run,
        field and number.
        """
        if self._folder is not None:
            return Path(entry.remote)
        store = "$store$_" if field in NEEDED else ""
        return self.cache / game / str(run) / "replay_logs" / f"{store}{field}_ckpt.{number}.gz"

    def _entries(self, path: str) -> dict[str, Entry]:
        """The files below `path` of the root, by their name below it; none where it does not exist."""
        if self._folder is not None:
            return _local_entries(self._folder / path)
        remote = self._connect()
        base = f"{remote.path}/{path}"
        found: dict[str, Any] = self._ask(remote, lambda: remote.lists.find(base, detail=True), base) or {}
        entries = {}
        for name, facts in found.items():
            if facts.get("type") == "directory" or name == base or (name.endswith("/") and not facts.get("size")):
                continue
            entries[_below(name, base, self.address)] = _entry(name, facts)
        return entries

    def _ask(self, remote: Remote, step: Any, path: str) -> Any:
        """What a file system answers; None where there is no such path. Raises Unreachable where it fails."""
        try:
            return with_retries(step, f"listing {path} of {remote.address}")
        except FileNotFoundError:
            return None
        except Failed as failed:
            raise Unreachable(
                f"Listing {path} of {remote.address} {failed}. Check {ROOT} and the network, and run the "
                f"same command again; or give a folder with a copy: {ROOT}=FOLDER"
            ) from failed

    def _absent(self, game: str, run: int, strange: Sequence[str]) -> InvalidInput:
        """What to say where a run has no file of a known pattern."""
        if strange:
            return InvalidInput(
                f"{self.address} has no replay log of {game} run {run}, only files of other names: "
                f"{_shown(sorted(strange))}. Wanted: $store$_observation_ckpt.N.gz and so on in replay_logs/, or "
                f"N/observation.gz."
            )
        if runs := self._folders(game):
            there = [name for name in runs if name.isdigit()]
            hint = f" Take one of them: source.run={there[0]}" if there else ""
            return InvalidInput(f"{self.address} has no run {run} of {game}. It has: {_shown(runs)}.{hint}")
        games = [name for name in self._folders("") if name not in BELOW]
        return InvalidInput(
            f"{self.address} has no game {game}. It has: {_shown(games) if games else 'none'}. Wanted below {ROOT}: "
            f"{game}/{run}/, or dqn/{game}/{run}/."
        )

    def _folders(self, path: str) -> list[str]:
        """Names of the folders in `path`, in order, wherever the games may lie."""
        names: set[str] = set()
        for below in BELOW:
            inner = "/".join(filter(None, (below, path)))
            if self._folder is not None:
                place = self._folder / inner
                names |= {each.name for each in place.iterdir() if each.is_dir()} if place.is_dir() else set()
                continue
            remote = self._connect()
            base = f"{remote.path}/{inner}".rstrip("/")
            found = self._ask(remote, lambda remote=remote, base=base: remote.lists.ls(base, detail=True), base) or []
            inside = [each["name"].rstrip("/") for each in found if each["type"] == "directory"]
            names |= {name.rsplit("/", 1)[-1] for name in inside if name != base}
        return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


def _folder(root: str) -> Path | None:
    """The folder that a root names, or None for one that is elsewhere."""
    for protocol in ("file://", "local://"):
        if root.startswith(protocol):
            return Path(root.removeprefix(protocol))
    return None if "://" in root else Path(root).expanduser()


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "repertoire" / "dqn_replay"


def _local_entries(folder: Path) -> dict[str, Entry]:
    """The files in a folder and in its folders; names that begin with a point are nobody's data."""
    found = [path for pattern in ("*", "*/*") for path in folder.glob(pattern) if path.exists() and not path.is_dir()]
    shown = [path for path in found if not path.relative_to(folder).as_posix().startswith(".")]
    return {
        path.relative_to(folder).as_posix(): Entry(str(path), path.stat().st_size)
        for path in sorted(shown)
        if not path.name.startswith(".")
    }


def _below(name: str, base: str, address: str) -> str:
    """The part of a listed `name` that lies below `base`. Raises InvalidInput where it leads elsewhere."""
    inner = name.removeprefix(f"{base}/")
    if not name.startswith(f"{base}/") or any(part in ("", ".", "..") for part in inner.split("/")):
        raise InvalidInput(
            f"The listing of {address} has the object {name!r}, whose name leads out of {base}/. That is no copy of "
            f"the dataset: check {ROOT}."
        )
    return inner


def _entry(name: str, facts: Mapping[str, Any]) -> Entry:
    """A listed file; Google's storage adds checksums in base 64."""
    try:
        md5 = base64.b64decode(facts["md5Hash"], validate=True) if facts.get("md5Hash") else None
        crc32c = (
            int.from_bytes(base64.b64decode(facts["crc32c"], validate=True), "big") if facts.get("crc32c") else None
        )
    except ValueError as error:
        raise InvalidInput(f"The listing tells checksums of {name!r} that are none: {error}.") from error
    size = facts.get("size")
    return Entry(name, None if size is None else int(size), md5, crc32c)


def _shown(names: Sequence[str]) -> str:
    """The first names, and how many more there are, without what would move a cursor."""
    return few([name.encode("unicode_escape").decode() for name in names], most=8)
