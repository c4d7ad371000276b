"""run.py as a user calls it: in a process of its own, on the toy domain."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REGENT = ("retrieval", "distances", "bins", "parquet")


def command(*words):
    return [sys.executable, str(ROOT / "run.py"), *words]


def run(root, *words, status=0):
    done = subprocess.run(command(*words, f"paths.root={root}"), capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def digests(root, task="corner"):
    found = {}
    for path in Path(root).glob(f"artifacts/toy/{task}/*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[manifest["kind"]] = manifest["digest"]
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    root = tmp_path_factory.mktemp("undisturbed")
    run(root, "stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000", "workers=1")
    return root


LOADED = """
import runpy, sys
sys.argv = ["run.py", *sys.argv[1:]]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit:
    pass
print(*sys.modules)
"""


def loaded(*words):
    """What a command prints, and the modules that it has imported."""
    code = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(code, capture_output=True, text=True, cwd=ROOT, check=True)
    text, _, modules = done.stdout.rstrip().rpartition("\n")
    return text, set(modules.split())


HEAVY = {"torch", "faiss", "mujoco", "metaworld", "gymnasium", "numba", "scipy", "numcodecs", "pyarrow", "tensorstore"}
HEAVY |= {"filelock", "h5py", "PIL", "rich", "datasets", "huggingface_hub", "fsspec"}


def test_help_loads_hydra_alone():
    text, modules = loaded("--help")
    for word in ("metaworld", "retrieval", "storage: bin, zarr", "inputs=build", "stage=catalog"):
        assert word in text
    assert not modules & {*HEAVY, "numpy", "beartype"}


def test_a_command_that_finds_everything_loads_nothing_that_only_work_needs(undisturbed):
    words = ("stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000")
    text, modules = loaded(*words, f"paths.root={undisturbed}")
    assert text.count(" found ") == 5
    assert not modules & HEAVY


def test_a_command_that_is_refused_loads_nothing_that_only_work_needs(tmp_path):
    _, modules = loaded("stage=collect", "domain=toy", "task=cornr", f"paths.root={tmp_path}")
    assert "stages.collect" in modules
    assert not modules & HEAVY


def test_all_stages_run_and_a_second_time_everything_is_found(undisturbed):
    text = run(undisturbed, "stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000")
    assert [line.split()[:3] for line in text.splitlines() if " found " in line] == [
        [stage, "toy/corner", "found"] for stage in ("collect", *REGENT)
    ]
    listed = json.loads(max(undisturbed.glob("runs/*/*/artifacts.json")).read_text())
    assert [entry["stage"] for entry in listed] == ["collect", *REGENT]
    assert all(Path(entry["path"], "manifest.json").exists() for entry in listed)


def test_catalog_and_verify_see_everything(undisturbed):
    text = run(undisturbed, "stage=catalog")
    assert all(kind in text for kind in ("episodes", *REGENT))
    assert "python run.py stage=all domain=toy task=corner episodes=150" in text
    assert "5 artifacts are whole" in run(undisturbed, "stage=verify")
    assert "nothing to remove" in run(undisturbed, "stage=gc")


@pytest.mark.slow
def test_bin_storage_gives_the_same_digests(undisturbed, tmp_path):
    words = ("stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000")
    run(tmp_path, *words, "storage=bin", "workers=2")
    assert digests(tmp_path) == digests(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(4))
def test_kill_9_at_any_moment_and_the_same_command_again_give_the_same_digests(undisturbed, tmp_path, moment):
    words = ("stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000", "workers=2")
    generator = random.Random(moment)
    for _ in range(4):
        child = subprocess.Popen(
            command(*words, f"paths.root={tmp_path}"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(generator.uniform(0.8, 3.0))
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert not [p for p in tmp_path.glob("artifacts/*/*/*/[!.]*") if not (p / "manifest.json").exists()]
    run(tmp_path, *words)
    assert digests(tmp_path) == digests(undisturbed)
    run(tmp_path, "stage=verify")


@pytest.mark.slow
def test_a_missing_input_prints_the_command_and_inputs_build_runs_it(tmp_path):
    text = run(tmp_path, "stage=parquet", "domain=toy", "task=maze", status=1)
    assert "run.py stage=collect domain=toy task=maze dataset=scripted-v1" in text
    text = run(tmp_path, "stage=parquet", "domain=toy", "task=maze", "inputs=build")
    assert "parquet toy/maze built" in text
    assert set(digests(tmp_path, "maze")) == {"episodes", *REGENT}


@pytest.mark.slow
def test_a_sweep_over_joblib_shows_every_failure_and_finishes_the_other_tasks(tmp_path):
    words = ("-m", "stage=all", "domain=toy", "task=corner,nowhere,maze,elsewhere", "hydra/launcher=joblib")
    text = run(tmp_path, *words, "hydra.launcher.n_jobs=2", "workers=1", "episodes=6", status=1)
    table = text[text.index("2 failed") :]
    assert "no toy task named nowhere" in table
    assert "no toy task named elsewhere" in table
    assert set(digests(tmp_path, "corner")) == set(digests(tmp_path, "maze")) == {"episodes", *REGENT}
    (status,) = re.findall(r"what finishes the rest: python \S+run\.py (.*)", table)
    assert "task=nowhere,elsewhere" in run(tmp_path, *status.split())


@pytest.mark.slow
def test_an_unset_task_means_every_task_that_has_the_dataset(tmp_path):
    run(tmp_path, "stage=collect", "domain=toy", "task=[toy-corner,MAZE]", "episodes=6")
    text = run(tmp_path, "stage=retrieval", "domain=toy")
    assert "skipped 1 task without the dataset scripted-v1: key" in text
    assert "retrieval toy/corner built" in text
    assert "retrieval toy/maze built" in text
    assert "There is no dataset" in run(tmp_path, "stage=retrieval", "domain=toy", "task=all", status=1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("stage=collect", "domain=toy", "task=crner"), "corner"),
        (("stage=collect",), "needs a domain"),
        (("stage=collect", "domain=toy", "dataset=a/b"), "cannot name a dataset"),
        (("stage=ingest", "domain=toy"), "source=jat"),
        (("stage=retrieval", "domain=toy", "inputs=biuld"), "Known: build, require"),
        (("stage=retrieval", "domain=toy", "task=corner", "retrieval.demos=0"), "at least 1"),
    ],
)
def test_bad_input_exits_with_1_and_names_what_is_possible(tmp_path, words, message):
    text = run(tmp_path, *words, status=1)
    assert message in text
    assert "Traceback" not in text


def test_the_same_name_with_other_settings_is_refused(undisturbed):
    text = run(undisturbed, "stage=collect", "domain=toy", "task=corner", "seed=3", status=1)
    assert "seed: 0 there, 3 asked" in text


def test_a_full_disk_says_so_and_the_same_command_goes_on_when_there_is_room(tmp_path, undisturbed):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(small)], check=False, stderr=-3)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        words = ("stage=all", "domain=toy", "task=corner", "episodes=150", "retrieval.states=1000")
        text = run(small, *words, status=1)
        assert "disk is full" in text
        subprocess.run(["mount", "-o", "remount,size=60m", str(small)], check=True)
        run(small, *words)
        assert digests(small) == digests(undisturbed)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_damaged_artifact_is_found_by_verify(tmp_path):
    run(tmp_path, "stage=collect", "domain=toy", "task=corner", "episodes=4")
    path = next(tmp_path.rglob("steps/reward/c.0"))
    path.write_bytes(path.read_bytes()[:-3])
    text = run(tmp_path, "stage=verify", status=1)
    assert re.search(r"reward/c\.0 has \d+ bytes, the manifest says \d+", text)
