"""What is suggested about datasets that refer to the episodes of others, each provoked and pasted into a warm shell."""

import shutil

import pytest

from tests.warm_shell import EXPORT, TOY, shell_beside_a_dataset

pytestmark = pytest.mark.slow

CORNER = ("domain=toy", "task=corner")
SELECT = ("stage=select", *CORNER, "stage.select.of=d-v1")
SPLIT = ("stage=split", *CORNER, "stage.split.of=d-v1")
HALVES = "stage.split.parts={train:0.5,test:0.5}"
ALL, LONG = 'stage.select.where="length > 0"', 'stage.select.where="length > 1"'


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with shell_beside_a_dataset(tmp_path_factory.mktemp("a b")) as shell:
        shell.run(*SELECT, ALL, "dataset=good-v1")
        shell.run(*SPLIT, HALVES)
        yield shell


@pytest.mark.parametrize(
    "words",
    [
        (*SELECT, LONG),
        (*SELECT, LONG, "dataset=d-v1"),
        (*SELECT, LONG, "dataset=good-v1"),
        (*SELECT, "dataset=some-v1"),
        ("stage=select", *CORNER, LONG, "dataset=long-v1"),
        (*SELECT, 'stage.select.where="3 < lenght and seed == seed"', "dataset=named-v1"),
        (*SPLIT, HALVES, "seed=1"),
        (*SPLIT, "dataset=other"),
        ("stage=split", *CORNER, HALVES, "dataset=third"),
        ("stage=stitch", *CORNER, "dataset=mixed-v1"),
        ("stage=stitch", *CORNER, "stage.stitch.datasets=[d-v1,good-v1]"),
        (*EXPORT[:-1], "dataset=good-v1", "format=npz", "episodes=9"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_derived_dataset_is_mended_by_its_suggestion(shell, words):
    shell.pasted(shell.suggested(*words)[-1])


def test_a_dataset_that_is_derived_from_is_made_by_its_suggestion(shell):
    for number, words in enumerate(
        [
            ("stage=select", *CORNER, "stage.select.of=a-v1", ALL, "dataset=of-a-v1"),
            ("stage=split", *CORNER, "stage.split.of=b-v1", HALVES),
            ("stage=stitch", *CORNER, "stage.stitch.datasets=[d-v1,c-v1]", "dataset=of-c-v1"),
            ("stage=stitch", "domain=toy", "stage.stitch.datasets=[d-v1,e-v1]", "dataset=of-e-v1"),
        ]
    ):
        found = shell.suggested(*words, "episodes=2", "policy=random")
        if number % 2:
            shell.pasted(f"{found[0]} workers=1")
            shell.run(*words, "episodes=2")
        else:
            shell.pasted(f"{found[-1]} workers=1")


def test_a_dataset_that_is_referred_to_and_gone_is_made_again_by_its_suggestion(shell):
    shutil.rmtree(shell.folder / "my data/artifacts/toy/corner/episodes/d-v1")
    line = shell.suggested(*EXPORT[:-1], "dataset=good-v1", "format=npz")[-1]
    shell.pasted(f"{line} policy=random episodes=2 workers=1")
    shell.run(*EXPORT[:-1], "dataset=good-v1", "format=npz")


@pytest.mark.parametrize("name", ["good-v1", "d-v1-test"])
def test_a_damaged_derived_dataset_is_removed_and_made_again(shell, name):
    folder = shell.folder / "my data/artifacts/toy/corner/episodes" / name
    next(path for path in (folder / "references").rglob("*") if path.is_file()).write_bytes(b"")
    shell.pasted(shell.suggested("stage=verify", *TOY[:2])[-1])
    assert "are whole" in shell.run("stage=verify", *TOY[:2])


def test_a_dataset_that_refers_to_other_episodes_now_is_made_again(shell):
    shutil.rmtree(shell.folder / "my data/artifacts/toy/corner/episodes/d-v1")
    shell.run("stage=collect", *TOY, "workers=1", "policy=random", "episodes=2", "seed=7")
    shell.pasted(shell.suggested(*EXPORT[:-1], "dataset=good-v1", "format=npz")[-1])
