"""What is suggested about the places of exports, and about those on a hub, pasted into a warm shell."""

import re
import shlex
import tempfile

import pytest

from tests import hub_server
from tests.warm_shell import COMMAND, EXPORT, ROOT, TOY, shell_beside_a_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Beside it lies a folder of another file system."""
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere,
        shell_beside_a_dataset(tmp_path_factory.mktemp("a b")) as shell,
    ):
        (shell.folder / "elsewhere").symlink_to(elsewhere)
        yield shell


@pytest.mark.parametrize(
    "words",
    [
        ("format.out=my data/artifacts/here",),
        ("format.out=my data/artifacts/toy/corner/episodes/d-v1/manifest.json",),
        ("format.out=memory://here", "format.link=true"),
        ("format.out=elsewhere/linked", "format.link=true"),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_place_that_cannot_be_is_mended_by_its_suggestion(shell, words):
    shell.pasted(shell.suggested(*EXPORT, "format=npz", *words)[-1])


def test_one_file_for_several_tasks_is_mended_by_its_suggestion(shell):
    shell.run("stage=collect", "domain=toy", "task=maze", "dataset=d-v1", "workers=1", "policy=random", "episodes=2")
    words = ("stage=export", "domain=toy", "task=[corner,maze]", "dataset=d-v1", "format=kabuki")
    shell.pasted(shell.suggested(*words, "format.out=both.hdf5")[-1])


@pytest.mark.parametrize("out", ["laid", "local://{here}/sent"])
def test_a_place_that_is_taken_is_left_for_another(shell, out):
    words = (*EXPORT, "format=npz", f"format.out={out.format(here=shell.folder)}")
    shell.run(*words)
    assert " found " in shell.run(*words)
    (other,) = [line for line in shell.suggested(*words, "episodes=1") if line.startswith("python")]
    assert "-2" in other
    shell.pasted(other)


def test_a_copy_is_told_where_to_go_and_replaces_what_it_names(shell):
    corner = ("stage=sync", *TOY[:2], "stage.sync.names=[episodes/d-v1]")
    to, back = shell.suggested(*corner)
    assert "copied 1 artifact" in shell.pasted(to, FOLDER="copies")
    assert "there already: 1" in shell.pasted(back, FOLDER="copies")
    made = shlex.join(
        ["python", str(ROOT / "run.py"), "stage=collect", *TOY, "policy=random", "episodes=2", "workers=1"]
    )
    status, text = shell.paste(f"rm -r copies/artifacts && {made} seed=1 paths.root=copies")
    assert status == 0, text
    (replace,) = shell.suggested(*corner, "stage.sync.to=copies")
    assert "copied 1 artifact" in shell.pasted(replace)
    chunk = next((shell.folder / "copies").glob("artifacts/toy/corner/episodes/d-v1/parts/*/steps/observation/c*"))
    chunk.write_bytes(bytes(chunk.stat().st_size))
    from_there = (*corner, "stage.sync.from=copies", "stage.sync.replace=true")
    (again,) = shell.suggested(*from_there)
    assert "copied 1 artifact" in shell.pasted(again)
    shell.run(*from_there)


def test_a_copy_that_cannot_be_read_is_mended_by_its_suggestion(shell):
    key = ("domain=toy", "task=key")
    for dataset in ("d-v1", "other-v1"):
        shell.run("stage=collect", *key, f"dataset={dataset}", "workers=1", "episodes=2")
    shell.run("stage=sync", *key, "stage.sync.to=torn")
    (shell.folder / "torn" / "artifacts" / "toy" / "key" / "episodes" / "d-v1" / "manifest.json").write_text("{")
    (look,) = shell.suggested("stage=sync", *key, "stage.sync.from=torn")
    status, text = shell.paste(look)
    assert status == 1
    (again,) = [line for line in COMMAND.findall(text) if "stage=collect" in line]
    assert shell.paste(again)[0] == 0
    shell.run("stage=sync", *key, "stage.sync.from=torn")


def test_tasks_of_a_set_that_joins_them_are_exported_together(shell):
    shell.run("stage=collect", "domain=toy", "task=maze", "dataset=d-v1", "workers=1", "policy=random", "episodes=2")
    words = ("stage=export", "domain=toy", "dataset=d-v1", "format=lerobot", "format.out=a set")
    shell.run(*words, "task=corner")
    together = shell.suggested(*words, "task=maze")[-1]
    assert "task=[corner,maze]" in together
    shell.pasted(together)


def test_an_export_of_other_tasks_is_published_by_its_suggestion(shell, tmp_path):
    words = ("domain=toy", "dataset=ordered-v1")
    shell.run("stage=collect", *words, "task=[maze,corner]", "workers=1", "policy=random", "episodes=2")
    words += ("format=lerobot",)
    shell.run("stage=export", *words, "task=[maze,corner]")
    with hub_server.serving(tmp_path / "hub") as hub:
        there = ("hub.repo_id=me/sets", f"hub.endpoint={hub.url}", "hub.dry_run=true")
        taken = shell.suggested("stage=publish", *words, *there)[-1]
        assert "task=[maze,corner]" in taken
        assert "a dry run" in shell.pasted(taken)


def test_an_export_that_is_damaged_is_made_again(shell):
    words = (*EXPORT, "format=npz", "episodes=1")
    shell.run(*words)
    for path in (shell.folder / "my data").rglob("export/*/data/*/000000000.npz"):
        if not path.with_name("000000001.npz").exists():  # of one episode
            path.write_bytes(b"other")
    for line in shell.suggested(*words):
        shell.pasted(line)
    assert " found " in shell.run(*words)


def test_the_card_of_an_export_brings_it_back(shell, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    shell.run(*EXPORT, "format=npz")
    with hub_server.serving(tmp_path / "hub") as hub:
        there = ("hub.repo_id=me/logs", f"hub.endpoint={hub.url}")
        shell.run("stage=publish", *TOY, "format=npz", *there)
        for path in hub.files("me/logs"):
            place = shell.folder / "logs" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(hub.content("me/logs", path))
        (line,) = re.findall(r"^python run\.py stage=ingest.*$", hub.content("me/logs", "README.md").decode(), re.M)
        line = line.replace("run.py", str(ROOT / "run.py"))
        assert "ingest toy/corner built" in shell.pasted(f"{line} dataset=back-v1 'paths.root=my data'")
        missing = shell.suggested("stage=publish", *TOY, "format=npz", "format.returns_to_go=true", *there)
        assert "built" in shell.pasted(missing[0])
