"""Files that are finished in batches: whole under their names, whatever stopped the writer."""

from pathlib import Path

import pytest

from pipeline.formats.lram.finishing import RUN_BYTES, FileBatches


def content(number: int):
    return lambda path: path.write_text(str(number)) and None


def test_every_file_has_its_name_when_the_block_is_left_and_small_and_large_ones_are_whole(tmp_path: Path):
    with FileBatches(tmp_path) as files:
        for number in range(40):
            files.add(f"{number}.txt", content(number), RUN_BYTES if number % 7 == 0 else 10)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {f"{n}.txt": str(n) for n in range(40)}


def test_a_file_that_cannot_be_written_is_told_and_none_of_its_batch_has_a_name(tmp_path: Path):
    def fails(_: Path) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"), FileBatches(tmp_path) as files:
        files.add("0.txt", content(0), 10)
        files.finish()
        files.add("1.txt", content(1), 10)
        files.add("2.txt", fails, RUN_BYTES)
        files.add("3.txt", content(3), 10)
        files.finish()
    assert [path.name for path in sorted(tmp_path.glob("[!.]*"))] == ["0.txt"]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path):
    (tmp_path / ".7.txt").write_text("half")
    with FileBatches(tmp_path) as files:
        files.add("8.txt", content(8), 10)
    assert [path.name for path in tmp_path.iterdir()] == ["8.txt"]
