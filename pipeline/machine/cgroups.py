"""What Linux's control groups give this process, of both versions: its share of the cores, and who was out of memory.

A batch system or a container sets them. Sources: cgroups(7), and the kernel's Documentation/admin-guide/cgroup-v2.rst,
cgroup-v1/memory.rst and scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

UNLIMITED = 2**60
"""Bytes from which on a limit of memory is none: version 1 says so by a number near 2^63."""


@dataclass(frozen=True)
class _Mount:
    """Where the files of a hierarchy lie.

    Attributes:
        root: the group whose files lie at `point` itself; that of the container where it is mounted into one.
        controllers: of version 1; none for version 2, which has all of them in one hierarchy.
    """

    root: str
    point: Path
    controllers: frozenset[str]


def cpu_quota(system: Path = Path("/")) -> float | None:
    """The cores that this process may use on average, the least of its group's and those above it; None: all.

    `system` is the folder in which /proc and /sys lie.
    """
    quotas = []
    for folder in _folders("cpu", system):
        with suppress(OSError, ValueError):
            limit, period = (folder / "cpu.max").read_text().split()
            quotas.append(float(limit) / float(period))
        with suppress(OSError, ValueError):
            limit, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
            quotas.append(float(limit) / float(period))
    return min((quota for quota in quotas if quota > 0), default=None)


def memory_kills(system: Path = Path("/")) -> int | None:
    """How many processes of this one's group the system has ended for memory so far; None where it does not count."""
    for folder in _folders("memory", system):
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                for line in (folder / name).read_text().splitlines():
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
    return None


def memory_limit(system: Path = Path("/")) -> int | None:
    """Bytes that this process' group may use, the least of its group's and those above it; None: no limit."""
    limits = []
    for folder in _folders("memory", system):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                limits.append(int((folder / name).read_text()))
    return min((limit for limit in limits if limit < UNLIMITED), default=None)


def _folders(controller: str, system: Path) -> Iterator[Path]:
    """The folder of this process' group and of those above it, in each hierarchy that has the controller."""
    try:
        mounts = [*_mounts(system)]
        groups = (system / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError, IndexError):
        return  # another system, or one that does not show them
    for line in groups:
        number, names, group = line.split(":", 2)
        wanted = None if number == "0" else frozenset(names.split(","))
        for mount in mounts:
            if mount.controllers if wanted is None else controller not in wanted & mount.controllers:
                continue
            yield from _upwards(system / mount.point.relative_to("/"), _below(group, mount.root))


def _upwards(point: Path, group: str) -> Iterator[Path]:
    folder = point / group
    if not folder.is_dir():  # the process sees its group by another name than this mount does
        folder = point
    while True:
        yield folder
        if folder == point:
            return
        folder = folder.parent


def _below(group: str, root: str) -> str:
    """The group's path below the mount's own."""
    return group.removeprefix(root if root != "/" else "").strip("/")


def _mounts(system: Path) -> Iterator[_Mount]:
    """Source: proc_pid_mountinfo(5)."""
    for line in (system / "proc/self/mountinfo").read_text().splitlines():
        place, _, kind = line.partition(" - ")
        root, point = place.split()[3:5]
        name, _, options = kind.split(" ", 2)
        if name == "cgroup2":
            yield _Mount(root, Path(point), frozenset())
        elif name == "cgroup":
            yield _Mount(root, Path(point), frozenset(options.split(",")))
