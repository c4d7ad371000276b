"""What BAGEL, NeMo Automodel and ThinkMorph read of an export: every row, by every worker, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.checks import wrong_export
from pipeline.formats.contract import CannotHold
from pipeline.formats.image_text.bagel import BagelFormat
from pipeline.formats.image_text.thinkmorph import ThinkMorphFormat
from pipeline.formats.image_text.trainer import TrainerFormat
from pipeline.formats.image_text.wordings import longest_text
from pipeline.formats.image_text.words import ActionTexts
from tests.conftest import DRAWN, made_episode
from tests.contracts.format import Listed, exported, ingested
from tests.contracts.one_way import OneWayContract, written
from tests.pictures import NAMES, drawn_dataset, numbered_pictures, outgoing, stored_frames
from tests.trainers import bagel_windows, rows_of, thinkmorph_sample, units, units_of_worker

LENGTHS = [40, 1, 8, 9, 17, 33, 2, *([30] * 20)]
"""Transitions of episodes; more than 64 rows in both forms."""

SETUPS = [(8, 1), (8, 4), (8, 8)]
NAMED = [name.lower() for name in NAMES]

Form = Callable[..., TrainerFormat]
both = pytest.mark.parametrize("form", [BagelFormat, ThinkMorphFormat])


class TestBagel(OneWayContract):
    def format(self) -> BagelFormat:
        return BagelFormat()


class TestThinkMorph(OneWayContract):
    def format(self) -> ThinkMorphFormat:
        return ThinkMorphFormat()


@dataclass(frozen=True)
class Laid:
    """An export where a user wants it."""

    place: Path

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def info(self) -> Path:
        return self.place / "parquet_info.json"

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in self.data.iterdir())

    def rows(self) -> list[dict]:
        return [row for name in self.files for row in pq.read_table(self.data / name).to_pylist()]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a dataset of these episodes, whose pictures have the size of a console's."""
    folder = tmp_path_factory.mktemp("trainers")
    drawn_dataset(folder, LENGTHS, (160, 210))
    return folder


def lay(store: Path, form: TrainerFormat, place: Path) -> Laid:
    exported(form, Workspace(str(store), "bin"), out=str(place))
    return Laid(place)


@both
@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_every_worker_gets_row_groups_and_all_are_read(store: Path, tmp_path: Path, form: Form, setup: tuple[int, int]):
    laid = lay(store, form(), tmp_path / "out")
    found = units(str(laid.data), str(laid.info), len(laid.files))
    shares = [units_of_worker(found, setup, gpu, worker) for gpu in range(setup[0]) for worker in range(setup[1])]
    assert min(map(len, shares)) >= 1
    assert sorted(unit for share in shares for unit in share) == sorted(found)
    assert len(found) == sum(pq.read_metadata(laid.data / name).num_row_groups for name in laid.files)


@both
@pytest.mark.parametrize("slash", ["", "/"])
def test_the_table_has_the_paths_that_the_trainer_makes(store: Path, tmp_path: Path, form: Form, slash: str):
    prefix = f"/mnt/atari/data{slash}"
    laid = lay(store, form(prefix=prefix), tmp_path / "out")
    table = json.loads(laid.info.read_text())
    assert list(table) == [os.path.join(prefix, name) for name in laid.files]
    for name, facts in zip(laid.files, table.values(), strict=True):
        about = pq.read_metadata(laid.data / name)
        assert facts == {"num_row_groups": about.num_row_groups, "num_rows": about.num_rows}


def test_an_export_that_was_moved_gets_another_table_by_the_same_command(store: Path, tmp_path: Path, monkeypatch):
    before = lay(store, BagelFormat(), tmp_path / "out")
    files = {path.name: path.read_bytes() for path in before.data.iterdir()}
    shutil.move(tmp_path / "out", tmp_path / "moved")
    moved = Laid(tmp_path / "moved")
    assert units(str(moved.data), str(moved.info), 1) == []
    lay(store, BagelFormat(), tmp_path / "moved")
    assert len(units(str(moved.data), str(moved.info), 1)) == 64
    monkeypatch.chdir(tmp_path)
    lay(store, BagelFormat(prefix="moved/data"), tmp_path / "moved")
    assert len(units("moved/data", "moved/parquet_info.json", 1)) == 64
    assert {path.name: path.read_bytes() for path in moved.data.iterdir()} == files


@both
def test_what_the_page_says_can_be_pasted(store: Path, tmp_path: Path, form: Form):
    laid = lay(store, form(), tmp_path / "out")
    page = (laid.place / "TRAIN.md").read_text()
    info: dict[str, dict] = {"unified_edit": {}}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, {"DATASET_INFO": info})
    (name,) = info["unified_edit"]
    said = info["unified_edit"][name]
    group = yaml.safe_load((laid.place / "bagel.yaml").read_text())["unified_edit"]
    assert group["dataset_names"] == [name]
    assert len(units(said["data_dir"], said["parquet_info_path"], group["num_used_data"][0])) >= 64
    assert said["num_total_samples"] == len(laid.rows())
    assert yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0]) == {"unified_edit": group}
    assert ("## NeMo" in page) == (form is BagelFormat)
    groups = sum(each["num_row_groups"] for each in json.loads(laid.info.read_text()).values())
    assert re.findall(r"^\| 8 x . \| (.*) \|$", page, re.MULTILINE) == [f"{groups} | 0"] * 3


@both
def test_pictures_are_the_stored_files_in_their_order_and_no_step_is_lost_or_doubled(
    store: Path, tmp_path: Path, form: Form
):
    data = outgoing(Workspace(str(store), "bin"))
    rows = lay(store, form(), tmp_path / "out").rows()
    taken = iter(rows)
    for number, (actions, pictures) in enumerate(data.drawn()):
        names = [NAMED[action] for action in actions.tolist()]
        texts: list[str] = []
        shown = len(actions) + (form is BagelFormat)
        while len(texts) < len(actions):
            row = next(taken)
            first = row["first_step"]
            assert (row["environment"], row["episode"]) == ("toy_corner", f"episode_{number:03d}_rand0.0")
            assert first == len(texts)
            assert row["image_list"] == [
                pictures[at] for at in range(first, min(first + len(row["image_list"]), shown))
            ]
            if form is BagelFormat:
                assert all(len(wordings) == 1 for wordings in row["instruction_list"])
            texts += row["output_text_list"] if form is ThinkMorphFormat else [t for (t,) in row["instruction_list"]]
        assert texts == names
    assert next(taken, None) is None


def test_each_sample_that_bagel_may_draw_is_whole_and_short_enough(store: Path, tmp_path: Path):
    laid = lay(store, BagelFormat(wordings={"up": ["up", "go up"], "noop": ["wait", "do nothing"]}), tmp_path / "out")
    known = {"up", "go up", "wait", "do nothing", "fire", "right"}
    drawn: set[str] = set()
    for unit in units(str(laid.data), str(laid.info), 1)[:6]:
        for row in rows_of(unit):
            for sample in bagel_windows(row):
                assert sample.tokens < 16384
                assert sample.elements[-1] == ("vae", True)
                drawn |= {text for each in sample.texts for text in each.removesuffix(".").split(". ")}
    assert drawn == known


def test_each_row_of_thinkmorph_is_one_sample_that_is_short_enough(store: Path, tmp_path: Path):
    laid = lay(store, ThinkMorphFormat(), tmp_path / "out")
    texts = 0
    for unit in units(str(laid.data), str(laid.info), 1):
        for row in rows_of(unit):
            sample = thinkmorph_sample(row)
            assert sample.tokens < 16384
            prompt, *actions = sample.texts
            assert prompt == "Toy Corner Environment (randomness=0.0). Actions: noop, fire, up, right."
            assert set(actions) <= set(NAMED)
            texts += len(actions)
    assert texts == sum(LENGTHS)


@pytest.mark.parametrize(
    ("size", "limit", "pictures"),
    [((160, 210), 16384, 5), ((84, 84), 16384, 7), ((160, 210), 10240, 3), ((84, 84), 10240, 4)],
)
def test_a_row_of_thinkmorph_has_as_many_pictures_as_fit(
    tmp_path: Path, size: tuple[int, int], limit: int, pictures: int
):
    drawn_dataset(tmp_path / "store", [30], size)
    rows = lay(tmp_path / "store", ThinkMorphFormat(max_tokens=limit), tmp_path / "out").rows()
    assert max(len(row["image_list"]) for row in rows) == pictures
    longest = thinkmorph_sample(rows[0])
    assert len(rows[0]["image_list"]) == pictures
    assert longest.tokens < limit
    whole = {**rows[0], "image_list": [*rows[0]["image_list"], rows[1]["image_list"][1]]}
    whole["output_text_list"] = [*rows[0]["output_text_list"], "up"]
    assert thinkmorph_sample(whole).tokens >= limit
    with pytest.raises(CannotHold, match=rf"{pictures + 1} pictures of {size[0]} x {size[1]}.*max_tokens={limit}"):
        ThinkMorphFormat(window=pictures + 1, max_tokens=limit).require(
            [outgoing(Workspace(str(tmp_path / "store"), "bin"))]
        )


def test_rows_of_bagel_have_two_pictures_where_three_are_too_many(store: Path, tmp_path: Path):
    rows = lay(store, BagelFormat(max_tokens=6000), tmp_path / "out").rows()
    assert {len(row["image_list"]) for row in rows} == {2}
    assert max(sample.tokens for row in rows[:9] for sample in bagel_windows(row)) < 6000
    data = [outgoing(Workspace(str(store), "bin"))]
    with pytest.raises(CannotHold, match=r"(?s)Three pictures.*window=2"):
        BagelFormat(window=9, max_tokens=6000).require(data)
    with pytest.raises(CannotHold, match=r"(?s)Two pictures.*max_tokens="):
        BagelFormat(max_tokens=3000).require(data)


def test_fewer_rows_than_workers_are_told_with_the_workers_that_stay_empty(tmp_path: Path, caplog):
    drawn_dataset(tmp_path / "store", [20, 30], (84, 84))
    laid = lay(tmp_path / "store", BagelFormat(), tmp_path / "out")
    (line,) = [record.getMessage() for record in caplog.records if "fewer than" in record.getMessage()]
    assert "7 rows" in line
    empty = {tuple(map(int, each.split(" x "))) for each in line.split(")")[1].split(".")[0].split(", ")}
    found = units(str(laid.data), str(laid.info), 1)
    assert len(found) == 4
    for setup in [(1, 2), (1, 4), (1, 8), (2, 2), (2, 4), (4, 1), (4, 2), (8, 1), (8, 8)]:
        assert (not units_of_worker(found, setup, 0, 0)) == (setup in empty), setup


@both
def test_the_bytes_do_not_depend_on_threads_and_finished_files_are_kept(store: Path, tmp_path: Path, form: Form):
    data = [outgoing(Workspace(str(store), "bin"))]
    before, many = pa.cpu_count(), {"file_mb": 0.05}
    for name, threads in (("one", 1), ("eight", 8)):
        (tmp_path / name).mkdir()
        pa.set_cpu_count(threads)
        form(**many).write(data, tmp_path / name)
    pa.set_cpu_count(before)
    files = sorted((tmp_path / "one" / "data").iterdir())
    assert len(files) >= 3
    assert all(file.read_bytes() == (tmp_path / "eight" / "data" / file.name).read_bytes() for file in files)
    times = [file.stat().st_mtime_ns for file in files[:2]]
    for file in files[2:]:
        file.unlink()
    form(**many).write(data, tmp_path / "one")
    assert [file.stat().st_mtime_ns for file in files[:2]] == times
    assert all(file.read_bytes() == (tmp_path / "eight" / "data" / file.name).read_bytes() for file in files)


@both
def test_several_tasks_are_the_rows_of_each_one_after_the_other(drawn: Path, tmp_path: Path, form: Form):
    workspace = Workspace(str(shutil.copytree(drawn, tmp_path / "store")))
    written(form(), workspace, out=str(tmp_path / "both"))
    each = []
    for task in DRAWN:
        written(form(), workspace, out=str(tmp_path / task), task=[task])
        each += Laid(tmp_path / task).rows()
    rows = Laid(tmp_path / "both").rows()
    assert rows == each
    assert list(dict.fromkeys(row["environment"] for row in rows)) == ["toy_corner", "toy_maze"]
    assert {row["episode"] for row in rows} == {f"episode_{number:03d}_rand0.25" for number in range(4)}
    alone = written(form(per_task=True, prefix="/mnt/{task}/data"), workspace, out=str(tmp_path / "alone"), task="maze")
    assert list(json.loads((tmp_path / "alone/toy_maze/parquet_info.json").read_text())) == [
        "/mnt/toy_maze/data/part-00000.parquet"
    ]
    assert alone.task == "maze"


@both
def test_what_is_wrong_with_a_file_is_found(store: Path, tmp_path: Path, form: Form):
    workspace = Workspace(str(shutil.copytree(store, tmp_path / "store")), "bin")
    artifact = exported(form(), workspace)
    file = artifact.path / "data" / "data" / "part-00000.parquet"

    def found() -> str:
        return "\n".join(wrong_export(artifact, workspace))

    assert found() == ""
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[3]["image_list"][1] = rows[3]["image_list"][0]
    changed = type(table).from_pylist(rows, table.schema)
    sizes = [pq.read_metadata(file).row_group(n).num_rows for n in range(pq.read_metadata(file).num_row_groups)]
    with pq.ParquetWriter(file, table.schema) as writer:
        for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
            writer.write_table(changed.slice(start, size))
    assert found().count("\n") == 0
    assert rows[3]["episode"] in found()
    assert "image_list" in found()
    file.rename(file.with_name("other.parquet"))
    assert "other.parquet instead of part-00000.parquet" in found()


def test_actions_without_names_are_printed_and_a_mission_stands_in_the_prompt(tmp_path: Path, rng):
    workspace = Workspace(str(tmp_path / "store"), "bin")
    episodes = [made_episode(rng, 12, mission=f"go to {place}") for place in ("the ball", "a door")]
    dataset = ingested(Listed(episodes), workspace)
    stored_frames(workspace, dataset, [numbered_pictures(13, 84, 84)] * 2)
    rows = lay(tmp_path / "store", ThinkMorphFormat(), tmp_path / "out").rows()
    title = "Toy Corner Environment (randomness=0.0)."
    assert [row["instruction_list"] for row in rows if not row["first_step"]] == [
        [f"{title} Mission: go to the ball."],
        [f"{title} Mission: go to a door."],
    ]
    texts = [text for row in rows for text in row["output_text_list"]]
    actions = np.concatenate([episode.steps["action"][:-1] for episode in episodes])
    assert np.allclose([json.loads(text) for text in texts], actions, rtol=1e-3)
    assert max(len(text) for text in texts) <= longest_text(ActionTexts({}), outgoing(workspace))
    with pytest.raises(InvalidInput, match="these actions have no names"):
        BagelFormat(wordings={"left": ["left"]}).require([outgoing(workspace)])
