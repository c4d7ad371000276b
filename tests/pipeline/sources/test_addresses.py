"""Every source with a path takes an fsspec URL there: the same episodes under the same identity, from a copy here."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import fsspec
import pytest

from pipeline.errors import InvalidInput, PipelineError, UnknownName
from pipeline.sources.contract import Source
from pipeline.sources.d4rl import D4rlSource
from pipeline.sources.files import local_path, look_again
from pipeline.sources.frames.source import FramesSource
from pipeline.sources.jat.source import JatSource
from pipeline.sources.kabuki import KabukiSource
from pipeline.sources.lerobot.source import LeRobotSource
from pipeline.sources.lram.source import LramSource
from pipeline.sources.minari.source import MinariSource
from pipeline.sources.ogbench import OgbenchSource
from pipeline.sources.rlds.source import RldsSource
from pipeline.sources.rlhf_blender.source import BlenderSource
from tests.frame_files import write_tree
from tests.fuzz.doors import valid_files
from tests.kabuki_files import kabuki_arrays, write_kabuki

TESTS = Path(__file__).parent
CONF = Path(__file__).parents[3] / "conf" / "source"


class Reachable(NamedTuple):
    """A source, files that it reads (of the fuzzer's door of that name, or written here), and what they are of."""

    make: Callable[..., Source]
    files: str | Callable[[Path], object]
    below: str = ""
    domain: str = "toy"
    task: str = "corner"


REACHABLE = {
    "d4rl": Reachable(D4rlSource, "d4rl"),
    "frames": Reachable(FramesSource, partial(write_tree, environment="atari_alien"), domain="atari", task="alien"),
    "jat": Reachable(JatSource, "jat-vectors", domain="mujoco", task="ant"),
    "kabuki": Reachable(KabukiSource, "kabuki", "corner.hdf5"),
    "lerobot": Reachable(LeRobotSource, "lerobot"),
    "lram": Reachable(LramSource, "lram"),
    "minari": Reachable(MinariSource, "minari"),
    "ogbench": Reachable(OgbenchSource, "ogbench", "a.npz"),
    "rlds": Reachable(RldsSource, "rlds-ours"),
    "rlhf_blender": Reachable(BlenderSource, "rlhf-blender", "tree"),
}

NOT_HERE = ("envlogger", "dqn_replay")
"""One is read by a program that is not here, and gets the path of a copy as the others do; one has `source.root`."""


def put(folder: Path, address: str) -> None:
    fsspec.filesystem("memory").put(f"{folder}/", f"{address.removeprefix('memory:/')}/", recursive=True)


@pytest.fixture
def address() -> str:
    return f"memory://{uuid.uuid4().hex}/shared/sets"


@pytest.fixture(autouse=True)
def looked_after_anew() -> None:
    look_again()


def written(files: str | Callable[[Path], object], folder: Path) -> Path:
    if callable(files):
        folder.mkdir()
        files(folder)
        return folder
    for name, content in valid_files(files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_every_source_with_a_path_is_here():
    have = {path.stem for path in CONF.glob("*.yaml") if re.search(r"^(path|root):", path.read_text(), re.MULTILINE)}
    assert have == {*REACHABLE, *NOT_HERE}
    for name in have:
        assert re.search(r"^cache: ", (CONF / f"{name}.yaml").read_text(), re.MULTILINE), name


@pytest.mark.parametrize("name", REACHABLE)
def test_what_lies_elsewhere_is_the_same_data_as_here(name: str, address: str, tmp_path: Path):
    make, files, below, domain, task = REACHABLE[name]
    folder = written(files, tmp_path / "sets")
    put(folder, address)
    here = make(str(folder / below))
    there = make("/".join(filter(None, (address, below))), cache=str(tmp_path / "cache"))
    assert there.identity(domain, task) == here.identity(domain, task)
    assert there.count(domain, task) == here.count(domain, task)
    digests = [[each.digest() for each in source.episodes(domain, task)] for source in (here, there)]
    assert digests[0] == digests[1]
    assert len(digests[0]) >= 2
    with pytest.raises(PipelineError, match="is not there|no folder|there is no"):
        make(f"{address}/nowhere", cache=str(tmp_path / "cache")).identity(domain, task)


def test_of_a_folder_of_tasks_elsewhere_only_that_of_the_task_comes(address: str, tmp_path: Path):
    (tmp_path / "sets").mkdir()
    for task in ("corner", "maze"):
        write_kabuki(tmp_path / "sets" / f"{task}.hdf5", kabuki_arrays())
    put(tmp_path / "sets", address)
    source = KabukiSource(address, cache=str(tmp_path / "cache"))
    assert len(list(source.episodes("toy", "corner"))) == 3
    assert [path.name for path in (tmp_path / "cache").rglob("*.hdf5")] == ["corner.hdf5"]
    with pytest.raises(UnknownName, match=r"maz.*maze"):
        source.identity("toy", "maz")


def test_what_identifies_and_what_reads_see_the_same_until_somebody_looks_again(address: str, tmp_path: Path):
    system, path = fsspec.filesystem("memory"), f"{address.removeprefix('memory:/')}/a"
    system.pipe_file(path, b"first")
    place = local_path(f"{address}/a", "a file", str(tmp_path))
    system.pipe_file(path, b"other")
    assert local_path(f"{address}/a", "a file", str(tmp_path)).read_bytes() == b"first"
    look_again()
    assert local_path(f"{address}/a", "a file", str(tmp_path)).read_bytes() == b"other"
    assert place.read_bytes() == b"other"


def test_a_file_of_this_machine_may_be_written_as_a_url_and_is_read_where_it_is(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"a")
    assert local_path(f"file://{tmp_path / 'a'}", "a file") == tmp_path / "a"


def test_a_protocol_that_needs_a_package_says_which(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"source\.path=\w+://bucket/a cannot be opened: .*[Ii]nstall"):
        local_path("oci://bucket/a", "a file", str(tmp_path))


@pytest.mark.parametrize("name", REACHABLE)
def test_names_in_the_files_of_a_source_are_tried_that_lead_elsewhere(name: str):
    """By the suite for names, or where a source has no index and no archive, by a test of its own."""
    of_their_own = {"frames": "link"}
    texts = [
        path.read_text()
        for path in TESTS.rglob("*.py")
        if path.relative_to(TESTS).parts[0] in (name, f"test_{name}.py")
    ]
    assert any(re.search(of_their_own.get(name, r"class \w+\(NamingSourceContract\)"), text) for text in texts)
