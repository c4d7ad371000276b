"""Settings of the forms of image-text trainers that cannot be, and what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.dataset.workspace import Workspace
from pipeline.errors import InvalidInput
from pipeline.formats.contract import CannotHold
from pipeline.formats.image_text.bagel import BagelFormat
from tests.contracts.format import exported, ingested
from tests.pictures import Played, drawn_dataset, numbered_pictures, outgoing, played, stored_frames


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return drawn_dataset(tmp_path_factory.mktemp("settings"), [4, 5])


def test_pictures_of_several_sizes_are_refused(tmp_path: Path):
    mixed = Workspace(str(tmp_path / "store"), "bin")
    dataset = ingested(Played(played([4, 4])), mixed)
    stored_frames(mixed, dataset, [numbered_pictures(5, 84, 84), numbered_pictures(5, 84, 90)])
    with pytest.raises(CannotHold, match="84 x 84, one of episode 1 is not"):
        exported(BagelFormat(), mixed)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"window": 1}, "window=1 must be a whole number of 2 or more"),
        ({"window": 10**20}, "at most 1,000,000,000"),
        ({"shards": 0}, "shards=0"),
        ({"file_mb": 0}, "file_mb=0"),
        ({"file_mb": float("inf")}, "file_mb=inf must be more than 0, and finite"),
        ({"file_mb": "large"}, "file_mb=large is of the wrong type"),
        ({"prefix": " "}, "prefix is empty"),
        ({"prefix": "s3://bucket/data"}, "/mnt/bucket/data"),
        ({"prefix": "/mnt/data", "per_task": True}, "/mnt/data/{task}/data"),
        ({"prefix": "/mnt/{task}"}, "per_task=true"),
        ({"wordings": {"up": []}}, "wordings.up must be a list"),
        ({"wordings": {"up": ["up", ""]}}, "wordings.up must be a list"),
        ({"wordings": {"up": "go up"}}, "wordings.up must be a list"),
        ({"wordings": "nowhere.yaml"}, "nowhere.yaml cannot be read"),
        ({"wordings": ["up"]}, "must name actions"),
    ],
)
def test_settings_that_cannot_be_are_told(settings: dict, words: str):
    with pytest.raises(InvalidInput) as error:
        BagelFormat(**settings)
    assert words in str(error.value)


def test_a_wording_of_no_action_is_told_and_a_file_of_wordings_is_read(workspace: Workspace, tmp_path: Path):
    data = [outgoing(workspace)]
    with pytest.raises(InvalidInput, match=r"named upp\. Known: fire, noop, right, up"):
        BagelFormat(wordings={"upp": ["x"]}).require(data)
    (tmp_path / "w.yaml").write_text("UP: [up, go up]\n")
    form = BagelFormat(wordings=str(tmp_path / "w.yaml"))
    assert form.identity()["wordings"] == {"up": ["up", "go up"]}
    assert BagelFormat.of_identity(form.identity()).identity() == form.identity()


def test_a_prefix_of_another_folder_is_told_before_anything_is_written(workspace: Workspace, tmp_path: Path):
    out = tmp_path / "out"
    for prefix in (out, tmp_path / "other"):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / "x.parquet").touch()
        with pytest.raises(InvalidInput, match=rf"does not fit.*\n.*{out}/data"):
            exported(BagelFormat(prefix=str(prefix)), workspace, out=str(out))
    assert not out.exists()
