"""The simulation against cases whose outcome is plain arithmetic."""

import math

import numpy as np
import pytest

from benchmarks.scaling.simulation import Cluster, Outcome, Task, simulate

TEN = [Task(10.0)]


def test_one_worker_takes_the_sum_and_two_take_half():
    jobs = [TEN] * 6
    one, two = (simulate([jobs], Cluster(workers)) for workers in (1, 2))
    assert one.wall_s == pytest.approx(60)
    assert two.wall_s == pytest.approx(30)
    assert one.spent == two.spent == pytest.approx({**Outcome().spent, "cores": 60})
    assert one.bottleneck == "cores"


def test_every_job_starts_once_whatever_its_number_of_tasks():
    found = simulate([[TEN * 3, TEN * 3]], Cluster(1, start_s=2))
    assert found.wall_s == pytest.approx(64)
    assert found.share("start") == pytest.approx(4 / 64)


def test_workers_without_a_job_are_idle():
    found = simulate([[TEN] * 3], Cluster(4))
    assert found.wall_s == pytest.approx(10)
    assert found.spent["idle"] == pytest.approx(10)
    uneven = simulate([[TEN, TEN, [Task(30)]]], Cluster(2))
    assert uneven.wall_s == pytest.approx(40)
    assert uneven.spent["idle"] == pytest.approx(30)


def test_a_phase_waits_for_the_one_before_it():
    found = simulate([[TEN] * 4, [[Task(5)]]], Cluster(4))
    assert found.wall_s == pytest.approx(15)
    assert found.spent["idle"] == pytest.approx(15)


@pytest.mark.parametrize("resource", ["network", "disk"])
def test_a_shared_resource_bounds_what_more_workers_give(resource):
    """Each alone moves 10 bytes/s; 4 workers want 40 of the 20 that there are, so all run at half their speed."""
    task = Task(10, read=100) if resource == "network" else Task(10, disk=100)
    found = simulate([[[task]] * 8], Cluster(4, **{resource: 20}))
    assert found.wall_s == pytest.approx(40)
    assert found.spent["cores"] == pytest.approx(80)
    assert found.spent[resource] == pytest.approx(80)
    assert (found.read if resource == "network" else found.disk) == pytest.approx(800)
    alone = simulate([[[task]] * 8], Cluster(2, **{resource: 20}))
    assert alone.wall_s == pytest.approx(40)
    assert alone.bottleneck == "cores"


def test_who_does_not_use_a_full_resource_is_not_slowed_by_it():
    found = simulate([[[Task(10, read=100)], [Task(10)]]], Cluster(2, network=5))
    assert found.wall_s == pytest.approx(20)
    assert found.spent == pytest.approx({**Outcome().spent, "cores": 20, "network": 10, "idle": 10})
    assert found.bottleneck == "cores"


def test_neighbours_on_a_machine_slow_each_other_down():
    """Two beside each other take 1.2 times as long; a third is alone on the second machine."""
    found = simulate([[TEN] * 3], Cluster(3, node=2, crowded=1.2))
    assert found.wall_s == pytest.approx(12)
    assert found.spent["cores"] == pytest.approx(34)
    assert simulate([[TEN] * 2], Cluster(2, node=4, crowded=1.3)).wall_s == pytest.approx(11)


def test_a_failure_repeats_the_task_that_was_under_way_and_nothing_else():
    """One task of 100 s, one failure in it: what was done, the pause, the start, and the whole task again."""
    struck = np.random.default_rng(12).exponential(3600 / 40)
    assert 1 < struck < 101
    found = simulate([[[Task(100.0)]]], Cluster(1, start_s=1, pause_s=5, failures_per_hour=40), seed=12)
    following = struck + np.random.default_rng(12).exponential(3600 / 40, size=2)[1]
    assert following > struck + 5 + 1 + 100, "a second failure would change the figures below"
    assert found.failures == 1
    assert found.repeated_s == pytest.approx(struck - 1)
    assert found.wall_s == pytest.approx(struck + 5 + 1 + 100)
    assert found.spent == pytest.approx({**Outcome().spent, "start": 2, "failures": 5, "cores": struck - 1 + 100})


def test_finished_tasks_of_a_job_are_kept_when_it_fails():
    job = [Task(100.0)] * 20
    found = simulate([[job]], Cluster(1, start_s=1, pause_s=5, failures_per_hour=10), seed=4)
    assert found.failures > 0
    assert found.spent["cores"] <= 2000 + found.repeated_s
    assert found.repeated_s < 101 * found.failures
    assert found.wall_s == pytest.approx(sum(found.spent.values()))


def test_failures_come_at_their_rate_and_repeat_half_a_task_each():
    """With tasks that are short beside the time between failures, each failure loses half a task on average."""
    cluster = Cluster(10, failures_per_hour=1)
    found = simulate([[[Task(60.0)] * 100] * 100], cluster, seed=1)
    assert found.failures == pytest.approx(found.wall_s * 10 / 3600, rel=0.2)
    assert found.repeated_s / found.failures == pytest.approx(30, rel=0.2)
    expected = 60 * (math.expm1(60 / 3600) / (60 / 3600))  # the mean time until a task is through, of a Poisson process
    assert found.spent["cores"] == pytest.approx(10_000 * expected, rel=0.01)


def test_the_same_seed_gives_the_same_failures():
    cluster = Cluster(3, failures_per_hour=5, pause_s=60)
    jobs = [[Task(50.0, 10, 10)] * 20] * 9
    assert simulate([jobs], cluster, 7) == simulate([jobs], cluster, 7) != simulate([jobs], cluster, 8)


def test_no_jobs_take_no_time_and_a_task_of_no_time_is_refused():
    assert simulate([[], [[]]], Cluster(3)) == Outcome()
    with pytest.raises(ValueError, match="more than no time"):
        Task(0)
