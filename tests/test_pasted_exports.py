"""What is suggested about exports, each provoked and pasted into a warm shell."""

import numpy as np
import pytest

from tests.d4rl_files import d4rl_arrays, write_d4rl
from tests.rlds_files import STEPS, nested, record, sequence, tensor, walk, write_tfds, write_walks
from tests.warm_shell import EXPORT, TOY, shell_beside_a_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with shell_beside_a_dataset(tmp_path_factory.mktemp("a b")) as shell:
        yield shell


@pytest.mark.parametrize(
    "words",
    [
        EXPORT,
        (*EXPORT, "format=npz", "format.strict=true"),
        (*EXPORT, "format=npz", "format.final_observation=repaet"),
    ],
    ids=lambda words: " ".join(words),
)
def test_an_export_is_mended_by_its_suggestion(shell, words):
    shell.pasted(shell.suggested(*words)[-1])


def test_a_form_of_one_observation_is_told_which_of_several_it_takes(shell):
    pole = ("domain=dmc", "task=cartpole-swingup", "domain.max_steps=5", "dataset=d-v1")
    shell.run("stage=collect", *pole, "workers=1", "policy=random", "episodes=2")
    shell.pasted(shell.suggested("stage=export", *pole, "format=ogbench")[-1])


def test_pickles_are_read_when_they_are_trusted(shell, tmp_path):
    shell.run(*EXPORT, "format=pkl", f"format.out={tmp_path}")
    words = ("stage=ingest", "domain=toy", "task=corner", "source=lram", f"source.path={tmp_path}")
    shell.pasted(shell.suggested(*words)[-1])


def test_a_folder_of_rlds_is_mended_by_its_suggestion(shell):
    for name in ("one", "two"):
        write_walks(shell.folder / "sets" / name / "1.0.0")
    for name, more in (
        ("ragged", {"tokens": sequence(tensor("int64"))}),
        ("parts", {"action": nested({"a": tensor("int64"), "b": tensor("float32")})}),
    ):
        values = {"steps/action/a": np.ones(4, int), "steps/action/b": np.ones(4, np.float32)}
        write_tfds(shell.folder / name, STEPS | more, [[record(walk(0, 3, True, **values))]])
    for path in ("sets", "ragged", "parts"):
        words = (
            "stage=ingest",
            "domain=toy",
            "task=corner",
            "source=rlds",
            f"source.path={path}",
            f"dataset={path}-v1",
        )
        shell.pasted(shell.suggested(*words)[-1])


def test_a_d4rl_file_without_timeouts_is_read_with_the_length_of_its_episodes(shell):
    arrays = d4rl_arrays()
    del arrays["timeouts"]
    write_d4rl(shell.folder / "log.hdf5", arrays | {"rewards": np.zeros(len(arrays["rewards"]))})
    words = ("stage=ingest", "domain=toy", "task=corner", "source=d4rl", "source.path=log.hdf5")
    shell.pasted(shell.suggested(*words)[-1])


@pytest.mark.parametrize(("form", "door"), [("kabuki", "d4rl"), ("d4rl", "kabuki")])
def test_a_file_of_the_other_hdf5_layout_names_its_door(shell, form, door):
    shell.run(*EXPORT, f"format={form}", f"format.out={form}.hdf5")
    words = ("stage=ingest", "domain=toy", "task=corner", f"source={door}", f"source.path={form}.hdf5")
    shell.pasted(f"{shell.suggested(*words)[-1]} dataset=of-{form}-v1")


def test_what_format_npz_writes_comes_in_by_the_door_that_is_suggested(shell):
    shell.run(*EXPORT, "format=npz", "format.out=lram")
    words = ("stage=ingest", "domain=toy", "task=corner", "source=npz", "source.path=lram", "dataset=back-v1")
    shell.pasted(shell.suggested(*words)[-1])


def test_all_tasks_in_one_are_those_that_have_the_dataset(shell):
    words = ("stage=export", "domain=toy", "task=all", "dataset=d-v1", "format=lerobot")
    assert "skipped 2 tasks" in shell.pasted(shell.suggested(*words)[-1])


def test_a_format_without_a_stage_is_an_export(shell):
    assert "kabuki" in shell.pasted(shell.suggested(*TOY, "format=kabuki")[-1])


def test_drawn_pictures_are_said_to_be_left_out(shell):
    drawn = ("domain=toy", "task=key", "dataset=drawn-v1")
    shell.run("stage=collect", *drawn, "workers=1", "policy=random", "episodes=1", "render=true")
    assert "kabuki does not hold the drawn pictures (stage=frames)" in shell.run(
        "stage=export", *drawn, "format=kabuki"
    )


def test_a_root_of_two_minari_datasets(shell):
    for name in ("toys/one-v0", "toys/two-v0"):
        shell.run(*EXPORT, "format=minari", "format.out=root", f"format.id={name}")
    ingest = ("stage=ingest", "domain=toy", "task=maze", "dataset=m-v1", "source=minari", "source.path=root")
    shell.pasted(shell.suggested(*ingest)[-1])
