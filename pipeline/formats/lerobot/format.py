"""LeRobotDataset v3.0: one set for one or several tasks, pictures as lossless PNG, what LeRobot lacks beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipeline.dataset.per_episode import once_of
from pipeline.digest import combine
from pipeline.episode import INFO, RESET, Episode, with_last_row
from pipeline.errors import InvalidInput
from pipeline.formats.aspects import EVERYTHING, Aspect
from pipeline.formats.contract import Format, Outgoing
from pipeline.formats.lerobot.files import DataFiles, tasks_so_far
from pipeline.formats.lerobot.metadata import RecentNumbers, write_metadata
from pipeline.formats.lerobot.plan import LeRobotChoices, LeRobotPlan, planned
from pipeline.formats.lerobot.tables import TableMaker
from pipeline.machine.threads import available_cores
from pipeline.sources.absent import unfilled
from pipeline.sources.lerobot import names
from pipeline.sources.lerobot.source import LeRobotSource
from pipeline.wording import check_choice, check_type

FORMAT = 1


class LeRobotFormat(Format):
    """A folder that LeRobot, TorchRL and plain `datasets` read.

    Args:
        fps: rows a second; unset: what the environment says, else 30.
        images: `auto` stores uint8 pictures as PNG; `none`, or the names of arrays.
        rgb: the grey channel three times, as many networks want it.
        last_row: `beside` keeps last observations in `final/`, `row` as one more row an episode, `drop` not at all.
        file_mb: about so large is a file of rows.
    """

    name = "lerobot"
    joins = True
    tags = ("v3.0",)
    viewer = "https://huggingface.co/spaces/lerobot/visualize_dataset?path={repo}"
    marks_absence = True

    def __init__(
        self,
        fps: int | None = None,
        images: str | Sequence[str] = "auto",
        rgb: bool = False,
        last_row: str = names.BESIDE,
        file_mb: float = 100,
    ) -> None:
        if fps is not None and (isinstance(fps, bool) or not isinstance(fps, int) or not 0 < fps < 10**6):
            raise InvalidInput(f"format.fps={fps} must be a whole number above 0.")
        if not file_mb > 0:
            raise InvalidInput(f"format.file_mb={file_mb} must be more than 0.")
        if isinstance(images, str):
            check_choice("format.images (or a list of arrays)", images, ("auto", "none"))
        check_type("format.rgb", rgb, bool, "true or false")
        check_choice("format.last_row", last_row, names.LAST_ROWS)
        self._choices = LeRobotChoices(fps, images if isinstance(images, str) else tuple(images), rgb, last_row)
        self._file_mb = file_mb
        self.holds = EVERYTHING - {Aspect.FINAL_OBSERVATION} if last_row == names.DROP else EVERYTHING

    def identity(self) -> Mapping[str, Any]:
        chosen = self._choices
        images = chosen.images if isinstance(chosen.images, str) else list(chosen.images)
        facts = {"version": FORMAT, "codebase_version": names.VERSION, "fps": chosen.fps, "images": images}
        return facts | {"rgb": chosen.rgb, "last_row": chosen.last_row, "file_mb": self._file_mb}

    def require(self, data: Sequence[Outgoing]) -> None:
        planned(data, self._choices)

    def place(self, data: Sequence[Outgoing]) -> PurePosixPath:
        return PurePosixPath(".")

    def write(self, data: Sequence[Outgoing], folder: Path) -> None:
        plan = planned(data, self._choices)
        with ThreadPoolExecutor(available_cores(), "lerobot") as pool:
            maker, recent = TableMaker(plan, pool), RecentNumbers(plan)
            with DataFiles(folder, plan, maker, round(self._file_mb * 10**6)) as files:
                self._write_rows(data, plan, maker, files, folder, recent)
        write_metadata(folder, data, plan, _content(folder), self._file_mb, recent)

    def _write_rows(
        self,
        data: Sequence[Outgoing],
        plan: LeRobotPlan,
        maker: TableMaker,
        files: DataFiles,
        folder: Path,
        recent: RecentNumbers,
    ) -> None:
        tasks = tasks_so_far(folder, files.count)
        before = 0
        for each in data:
            start = min(max(files.episodes - before, 0), len(each))
            before += len(each)
            held = self.held(each)
            for episode in each.episodes(start):
                environment = f"{each.domain}/{each.task}"
                text = episode.mission or environment
                task = tasks.setdefault(text, len(tasks))
                tables = maker.tables(episode, files.episodes, files.rows, task)
                recent.append(tables.rows)
                facts = {"tasks": [text], "env": environment, "return": episode.total_reward}
                facts["digest"] = unfilled(kept := held(episode)).digest().hex()
                files.append(tables, facts | once_of(kept) | _infos(episode, plan))

    def held(self, data: Outgoing) -> Callable[[Episode], Episode]:
        keeps = super().held(data)
        return (lambda episode: _without_last_row(keeps(episode))) if self._choices.last_row == names.DROP else keeps

    def source(self, path: Path) -> LeRobotSource:
        return LeRobotSource(str(path))


def _without_last_row(episode: Episode) -> Episode:
    """The episode with zeros in all its last rows."""
    return replace(episode, steps={name: with_last_row(name, array[:-1]) for name, array in episode.steps.items()})


def _infos(episode: Episode, plan: LeRobotPlan) -> dict[str, Any]:
    """The names of infos that an episode lacks, and its reset infos."""
    absent = [name for name in plan.rows if name.startswith(INFO) and name not in episode.steps]
    resets = {}
    for each in plan.resets:
        value = episode.reset_info.get(each.array)
        resets[f"{RESET}{each.array}"] = None if value is None else np.asarray(value).reshape(-1).tolist()
    return {"absent": absent, **resets}


def _content(folder: Path) -> str:
    """One digest over those of all episodes."""
    files = sorted((folder / names.EPISODES).glob("*/*.parquet"))
    digests = (each for path in files for each in pq.read_table(path, columns=["digest"])["digest"].to_pylist())
    return combine(bytes.fromhex(each) for each in digests)
