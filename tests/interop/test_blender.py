"""A tree as the server of RLHF-Blender meets it: rows become models of pydantic, frames are sought by OpenCV."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.reader import EpisodeDataset
from pipeline.dataset.workspace import Workspace
from pipeline.formats.blender.format import BlenderFormat
from pipeline.formats.blender.registration import Registration
from pipeline.frames.png import decode_png
from pipeline.frames.store import FRAMES, Frames
from tests.contracts.one_way import written
from tests.interop.side import read_by

pytestmark = pytest.mark.interop


def by_server(root, name, step):
    """The experiment of this name, what its routes give of all its episodes, and every so many frames of them."""
    import sqlite3

    import cv2
    import numpy as np
    from pydantic import create_model, field_validator

    def python(value):
        return eval(value, {"np": np}) if isinstance(value, str) and value else value

    listed = {"checkpoint_list": list, "exp_tags": list, "status": list[str], "tags": list}
    listed |= {"environment_config": dict, "hyperparams": dict, "additional_gym_packages": list[str]}
    listed |= {"observation_space_info": dict | str, "action_space_info": dict | str}

    def model(connection, table):
        fields = {}
        for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
            fields[column] = (int if kind == "INTEGER" else listed.get(column, str), ...)
        evaluated = field_validator(*(set(fields) & set(listed)), mode="before")(python)
        return create_model(table, __validators__={"evaluated": evaluated}, **fields)

    with sqlite3.connect(f"{root}/rlhfblender.db") as connection:
        connection.row_factory = sqlite3.Row
        row = connection.execute("SELECT * FROM Experiment WHERE exp_name = ?", [name]).fetchone()
        experiment = model(connection, "Experiment")(**dict(row))
        row = connection.execute("SELECT * FROM Environment WHERE registration_id = ?", [experiment.env_id]).fetchone()
        environment = model(connection, "Environment")(**dict(row))
    found = {"labels": np.array([*environment.action_space_info["labels"].values()])}
    for checkpoint in experiment.checkpoint_list:
        sub = f"{environment.env_name}/{environment.env_name}_{experiment.id}_{int(checkpoint)}"
        for number in range(10_000):
            video = cv2.VideoCapture(f"{root}/data/renders/{sub}/{number}.mp4")
            if not video.isOpened():
                break
            at = f"{checkpoint}:{number}"
            found[f"{at}:rewards"] = np.load(f"{root}/data/rewards/{sub}/rewards_{number}.npy")
            found[f"{at}:uncertainty"] = np.load(f"{root}/data/uncertainty/{sub}/uncertainty_{number}.npy")
            found[f"{at}:size"] = cv2.imread(f"{root}/data/thumbnails/{sub}/{number}.jpg").shape
            for frame in range(0, len(found[f"{at}:rewards"]), int(step)):
                video.set(cv2.CAP_PROP_POS_FRAMES, frame)
                found[f"{at}:frame {frame}"] = video.read()[1][..., ::-1]
    return found


def test_the_server_reads_rows_rewards_and_single_frames(drawn: Path, tmp_path: Path):
    shutil.copytree(drawn, tmp_path / "outputs")
    workspace = Workspace(str(tmp_path / "outputs"))
    for checkpoint, episodes in ((0, 4), (100000, 2)):
        form = BlenderFormat(checkpoint=checkpoint, registration=Registration(experiment="Mine"))
        written(form, workspace, out=str(tmp_path / "tree"), episodes=episodes)
    read = read_by("blender", by_server, tmp_path / "tree", "Mine", 10)
    dataset = workspace.dataset("toy", "corner", "scripted-v1")
    (frames,) = (each for each in workspace.of_kind("toy", "corner", FRAMES))
    pictures = Frames(frames)
    assert read["labels"].tolist() == ["stay", "up", "down", "left", "right"]
    episodes = [*EpisodeDataset.of(dataset)]
    for at, number in [("0", n) for n in range(4)] + [("100000", n) for n in range(2)]:
        own = episodes[number]
        assert read[f"{at}:{number}:rewards"].tolist() == [0, *own.steps["reward"][:-1]]
        assert read[f"{at}:{number}:uncertainty"].tolist() == [1] * own.rows
        for row in range(0, own.rows, 10):
            shown = read[f"{at}:{number}:frame {row}"].astype(int)
            apart = [np.abs(shown - decode_png(pictures[number][each])).mean() for each in range(own.rows)]
            assert apart[row] == min(apart)  # where nothing moves, two pictures are the same
