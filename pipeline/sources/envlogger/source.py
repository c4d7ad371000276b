"""EnvLogger's Riegeli logs: what DeepMind's recorder of dm_env environments writes.

Source: https://github.com/google-deepmind/envlogger; what is read how is told in docs/sources/envlogger.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.episode import Episode
from pipeline.errors import InvalidInput, unknown_name
from pipeline.machine.secrets import values_without_secrets
from pipeline.sources.contract import Source
from pipeline.sources.envlogger.episodes import episode_of
from pipeline.sources.envlogger.metadata import nested_values
from pipeline.sources.envlogger.side import log_frames, log_metadata
from pipeline.sources.envlogger.stream import Frame
from pipeline.sources.files import files_identity, local_path
from pipeline.sources.quirks import Quirk, Quirks
from pipeline.wording import check_choice

METADATA, STEPS = "metadata.riegeli", "steps.riegeli"
"""Files of a log and of each of its shards."""

WANTED = "the folder of a log, with metadata.riegeli in it, or a folder with such a folder TASK for each task"

LACKING = "{count} episodes lack their beginning or their end; they were "

MET = {
    "unreadable_shards": (
        "{count} shards have no step that can be read, as one whose writer was not closed.",
        "a shard is read as a whole, the others are read",
        "shards",
    ),
    "unreadable_steps": (
        "{count} steps cannot be read; an episode that had one is incomplete.",
        "a step that is no record, no episode across it",
        "steps",
    ),
    "unlisted_episodes": (
        "{count} episodes are not in the index of their shard; what was said of a whole episode is lost with it.",
        "an episode begins where its first step says so",
        "",
    ),
    "incomplete": (f"{LACKING}left out.", "source.incomplete=drop", "episodes"),
    "empty_episodes": ("{count} episodes have no step; they were left out.", "no step, no episode", "episodes"),
}
"""What the counts of the reader mean: a sentence, the rule, and the unit of what was left out."""

KEPT = (f"{LACKING}kept.", "source.incomplete=keep", "")
"""What `incomplete` means where such episodes are kept."""


class EnvLoggerSource(Source):
    """Reads a log by EnvLogger's own package, which runs in another Python: its needs clash with ours.

    Args:
        path: the folder of the log, or one with a log TASK for each task.
        python: a Python that has envlogger.
        incomplete: `drop` or `keep` episodes of which the beginning or the end is missing.
    """

    name = "envlogger"

    def __init__(self, path: str, python: str, incomplete: str = "drop", cache: str | None = None) -> None:
        check_choice("source.incomplete", incomplete, ("drop", "keep"))
        self.path, self.python, self.incomplete, self.cache = path, Path(python).expanduser(), incomplete, cache
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> Mapping[str, Any]:
        log = self._log(task)
        metadata = values_without_secrets(log_metadata(self.python, log))
        return {"source": self.name, **files_identity(log), "incomplete": self.incomplete, "metadata": metadata}

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        self._quirks[task] = quirks = Quirks()
        log = self._log(task)
        specs: Mapping[str, Any] = {}
        with closing(log_frames(self.python, log, start, self.incomplete)) as frames:
            for number, frame in enumerate(frames, start - 1):  # the first tells of the log
                if frame.kind == "metadata":
                    specs = _specs(frame, quirks)
                    continue
                for name, count in frame.head["counts"].items():
                    kept = name == "incomplete" and self.incomplete == "keep"
                    sentence, rule, unit = KEPT if kept else MET[name]
                    quirks.note(name, sentence, count, rule=rule, dropped=count if unit else 0, unit=unit)
                if frame.kind == "episode":
                    yield _episode(frame, specs, quirks, f"{log}: episode {number}, in {frame.head['shard']}")

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks.get(task, ())

    def _log(self, task: str) -> Path:
        """The folder of the task's log. Raises InvalidInput where there is none, UnknownName for another task's."""
        place = local_path(self.path, WANTED, self.cache)
        if _is_log(place):
            return place
        logs = {each.name: each for each in sorted(place.iterdir()) if _is_log(each)} if place.is_dir() else {}
        if not logs:
            raise InvalidInput(f"source.path={self.path} holds no log of EnvLogger. Wanted: {WANTED}.")
        if task not in logs:
            raise unknown_name(f"task in {self.path}", task, logs)
        return logs[task]


def _is_log(folder: Path) -> bool:
    return folder.is_dir() and ((folder / METADATA).is_file() or any(folder.glob(f"*/{STEPS}")))


def _specs(frame: Frame, quirks: Quirks) -> Mapping[str, Any]:
    """What the log says of its environment's arrays; nothing where it says nothing."""
    metadata = nested_values(frame.once)
    if not metadata:
        quirks.note(
            "no_metadata",
            f"{METADATA} is missing or cannot be read: nothing tells the environment's specs.",
            rule="arrays are as they were logged",
        )
    specs = metadata.get("environment_specs")
    return specs if isinstance(specs, Mapping) else {}


def _episode(frame: Frame, specs: Mapping[str, Any], quirks: Quirks, where: str) -> Episode:
    try:
        return episode_of(frame, specs, quirks)
    except InvalidInput as error:
        raise type(error)(f"{where}: {error}") from error
