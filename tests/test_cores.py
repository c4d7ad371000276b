"""How many processes the jobs of a sweep start, counted: together no more than there are cores."""

import pytest

from pipeline.launchers.at_once import shares
from pipeline.machine.threads import CORES, available_cores
from tests.test_run import run

COUNTING = ("stage=collect", "domain=toy", "domain.environment._target_=tests.crashing.Counting", "episodes=400")


@pytest.mark.parametrize(
    ("cores", "asked", "jobs", "expected"),
    [
        (8, -1, 57, (8, 1)),
        (8, -1, 3, (3, 2)),  # two cores are idle; three would be too many
        (8, -2, 57, (7, 1)),
        (8, 2, 57, (2, 4)),
        (8, 2, 1, (1, 8)),
        (2, 5, 57, (5, 1)),  # the user's own wish
        (1, -1, 57, (1, 1)),
        (2, -4, 57, (1, 2)),
    ],
)
def test_the_cores_are_shared_out_among_the_jobs_that_run_at_once(cores, asked, jobs, expected):
    assert shares(asked, jobs, cores) == expected


@pytest.mark.slow
@pytest.mark.skipif(available_cores() < 2, reason="one core cannot be shared")
@pytest.mark.parametrize("at_once", [1, 2])
def test_the_jobs_of_a_sweep_start_as_many_workers_as_their_share_of_the_cores(tmp_path, monkeypatch, at_once):
    monkeypatch.setenv(CORES, "2")
    monkeypatch.setenv("COUNT", str(tmp_path))
    run(
        tmp_path / "root",
        "-m",
        *COUNTING,
        "task=corner,maze",
        "hydra/launcher=joblib",
        f"hydra.launcher.n_jobs={at_once}",
    )
    for task in ("corner", "maze"):
        played = list(tmp_path.glob(f"{task}-*"))
        assert len(played) == 2 // at_once
        assert {path.read_text() for path in played} == {"1"}
