"""How little a source takes: a CSV file an episode, read and written in a few lines."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.digest import digest_file
from pipeline.episode import Episode, with_last_row
from pipeline.errors import InvalidInput, unknown_name
from pipeline.sources.contract import Source
from pipeline.sources.quirks import Quirk, Quirks
from tests.contracts.source import SourceContract


class CsvSource(Source):
    """`{path}/{task}/0.csv`, `1.csv`, ...: an episode each, with the columns observation, action and reward.

    Lines without a reward count as 0.0.
    """

    name = "csv"

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._quirks: dict[str, Quirks] = {}

    def identity(self, domain: str, task: str) -> dict[str, Any]:
        return {"source": self.name, "files": {file.name: digest_file(file) for file in self._files(task)}}

    def count(self, domain: str, task: str) -> int:
        return len(self._files(task))

    def episodes(self, domain: str, task: str, start: int = 0) -> Iterator[Episode]:
        self._quirks[task] = quirks = Quirks()
        for file in self._files(task)[start:]:
            lines = list(csv.DictReader(file.open()))
            unpaid = sum(not line["reward"] for line in lines)
            sentence = "{count} steps without a reward were read as 0.0."
            quirks.count("missing_rewards", sentence, unpaid, rule="no reward is 0")
            steps = {
                "observation": np.array([[float(line["observation"])] for line in lines]),
                "action": np.array([int(line["action"]) for line in lines]),
                "reward": np.array([float(line["reward"] or 0.0) for line in lines]),
                "discount": np.ones(len(lines)),
            }
            yield Episode(
                steps={name: with_last_row(name, array) for name, array in steps.items()},
                terminated=True,
                has_final_observation=False,  # the last row is zeros
            )

    def quirks(self, domain: str, task: str) -> Iterable[Quirk]:
        return self._quirks.get(task, ())

    def _files(self, task: str) -> list[Path]:
        if not self.path.is_dir():
            raise InvalidInput(f"source.path must be a folder with {task}/0.csv in it. There is no folder {self.path}.")
        tasks = [folder.name for folder in self.path.iterdir()]
        if task not in tasks:
            raise unknown_name(f"task in {self.path}", task, tasks)
        return sorted((self.path / task).glob("*.csv"), key=lambda file: int(file.stem))


class TestCsv(SourceContract):
    def write(self, folder: Path) -> None:
        (folder / "corner").mkdir()
        for number in range(12):
            lines = [f"{number}.{step},{step % 3},{'' if step == 1 else 0.5}" for step in range(1 + number)]
            (folder / "corner" / f"{number}.csv").write_text("\n".join(["observation,action,reward", *lines]))

    def source(self, folder: Path) -> CsvSource:
        return CsvSource(str(folder))


def test_what_the_reader_repaired_is_counted(tmp_path: Path):
    TestCsv().write(tmp_path)
    source = CsvSource(str(tmp_path))
    assert len(list(source.episodes("toy", "corner"))) == 12
    (quirk,) = source.quirks("toy", "corner")
    assert quirk.sentence == "11 steps without a reward were read as 0.0."
