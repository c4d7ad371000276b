"""What a control group allows: from folders as Linux lays them out, and from a real one where we may make it."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from pipeline.machine.cgroups import cpu_quota, memory_kills, memory_limit

TWO = "29 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
ONE = (
    "33 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def system(folder, mounts, group, files, root="/"):
    """A folder with a /proc and a /sys: the group of this process, where it is mounted, what its files say."""
    for path, text in {"proc/self/mountinfo": mounts.format(root=root), "proc/self/cgroup": group, **files}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_of_version_two_the_least_of_a_group_and_those_above_it_counts(tmp_path):
    files = {
        "sys/fs/cgroup/slice/cpu.max": "150000 100000\n",
        "sys/fs/cgroup/slice/job/cpu.max": "max 100000\n",
        "sys/fs/cgroup/slice/memory.max": "4000000\n",
        "sys/fs/cgroup/slice/job/memory.max": "max\n",
        "sys/fs/cgroup/slice/job/memory.events": "low 0\noom 4\noom_kill 3\noom_group_kill 0\n",
    }
    found = system(tmp_path, TWO, "0::/slice/job\n", files)
    assert (cpu_quota(found), memory_limit(found), memory_kills(found)) == (1.5, 4_000_000, 3)


def test_of_version_one_each_controller_has_a_place_of_its_own(tmp_path):
    files = {
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
        "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/job/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    }
    found = system(tmp_path, ONE, "4:memory:/job\n1:cpu,cpuacct:/job\n0::/\n", files)
    assert (cpu_quota(found), memory_limit(found), memory_kills(found)) == (3.0, None, 2)


@pytest.mark.parametrize(("group", "root"), [("0::/\n", "/"), ("0::/pods/a\n", "/pods/a"), ("0::/unseen/a\n", "/")])
def test_in_a_container_the_group_lies_at_the_mount_itself(tmp_path, group, root):
    files = {"sys/fs/cgroup/cpu.max": "50000 100000\n"}
    assert cpu_quota(system(tmp_path, TWO, group, files, root)) == 0.5


def test_a_system_that_has_no_groups_limits_nothing(tmp_path):
    assert (cpu_quota(tmp_path), memory_limit(tmp_path), memory_kills(tmp_path)) == (None, None, None)


GROUP = Path("/sys/fs/cgroup/memory")
HUNGRY = """
from pipeline.machine.forked import run_forked
print(run_forked(lambda note: bytearray(2**30)).reason)
"""


@pytest.mark.skipif(
    not (GROUP / "memory.oom_control").exists() or not os.access(GROUP, os.W_OK) or os.getuid() != 0,
    reason="needs to be root, and control groups of version 1",
)
def test_a_child_that_is_killed_for_memory_is_named_as_that():
    group = GROUP / f"test-{uuid.uuid4().hex}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(200_000_000))
        script = ["sh", "-c", f"echo $$ > {group}/cgroup.procs && exec {sys.executable} -c '{HUNGRY}'"]
        done = subprocess.run(script, capture_output=True, text=True, check=False)
        assert done.stdout.startswith("The process was killed for memory (SIGKILL"), done.stderr
        assert done.stdout.rstrip().endswith("The limit of all that runs in here is 200.0 MB.")
    finally:
        group.rmdir()
