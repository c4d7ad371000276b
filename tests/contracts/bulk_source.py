"""What every BulkSource must keep; a subclass named Test... gives `write` and `source` and inherits the checks."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pipeline.dataset.amount import Amount, Size
from pipeline.sources.contract import BulkSource
from pipeline.storage.choice import open_arrays, storage_named
from tests.contracts.source import ForeignDataContract

NOTHING = Size()


class BulkSourceContract(ForeignDataContract):
    """Inherit and give `write`, of two pieces or more, and `source`; `domain` and `task` if they are not the toy's."""

    def source(self, folder: Path) -> BulkSource:
        raise NotImplementedError

    def digests(
        self, source: BulkSource, scratch: Path, start: Size = NOTHING, workers: int = 1, most: int | None = None
    ) -> list[bytes]:
        """Digests of the episodes of the parts, of `most` parts at most; each part's folder is taken away."""
        found: list[bytes] = []
        asked = (self.domain, self.task, scratch, storage_named("bin"), start, Amount(), workers)
        with closing(source.parts(*asked)) as parts:
            for number, part in enumerate(parts):
                if number == most:
                    break
                own = [bytes(row) for row in open_arrays(part.folder)["episodes/digest"][:]]
                assert len(part.lengths) == len(own)
                part.folder.rename(scratch.parent / f"{scratch.name}-taken-{start.episodes + len(found)}")
                found += own
        return found

    def test_it_fulfils_the_protocol(self, folder: Path):
        assert isinstance(self.source(folder), BulkSource)

    @pytest.mark.parametrize("workers", [1, 2])
    def test_any_number_of_workers_gives_the_same_episodes(self, folder: Path, tmp_path: Path, workers: int):
        every = self.digests(self.source(folder), tmp_path / "one")
        assert len(every) >= 3
        assert self.digests(self.source(folder), tmp_path / "again", workers=workers) == every

    def test_parts_start_at_any_episode(self, folder: Path, tmp_path: Path):
        source = self.source(folder)
        every = self.digests(source, tmp_path / "whole")
        for start in range(1, len(every) + 1):
            rest = self.digests(source, tmp_path / f"from-{start}", Size(start, start))
            assert rest == every[start:]

    def test_a_later_call_goes_on_in_the_scratch_of_an_interrupted_one(self, folder: Path, tmp_path: Path):
        every = self.digests(self.source(folder), tmp_path / "whole")
        begun = self.digests(self.source(folder), tmp_path / "scratch", most=1)
        assert 0 < len(begun) < len(every)
        rest = self.digests(self.source(folder), tmp_path / "scratch", Size(len(begun), len(begun)))
        assert begun + rest == every

    def test_what_is_here_already_needs_no_download(self, folder: Path):
        before = sorted(folder.rglob("*"))
        self.source(folder).download(self.domain, self.task)
        assert sorted(folder.rglob("*")) == before
