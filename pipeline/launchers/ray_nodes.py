"""The nodes of Ray: joined or started here, what they have, and in words why a task was lost."""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nodes that are started here report to nobody
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a job that asks for no GPU sees none

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError

from pipeline.campaign.failures import plain_message
from pipeline.launchers.job_numbers import Refused
from pipeline.launchers.ray_needs import AUTO, GB, LOCAL, Needs, no_cluster, require_listener
from pipeline.machine.interrupts import Stopped
from pipeline.machine.threads import available_cores
from pipeline.wording import how_many

PATIENCE = 30.0
"""Seconds without the end of a job after which one looks whether some node could still run those that are left."""

STORE_BYTES = 100 << 20
"""Shared memory of a node that is started here, for what tasks give each other: ours give nothing."""


@dataclass(frozen=True)
class RayNodes:
    """The nodes that this process has joined."""

    needs: Needs
    stops: list[Stopped] = field(default_factory=list)
    """Why this process was asked to end, if it was."""

    def begin(self, function: Callable[..., Any], label: str, *arguments: Any) -> Any:
        """Hand a task over, which waits until a node has room for it; gives Ray's reference to it."""
        return ray.remote(**self.needs.options, name=label)(function).remote(*arguments)

    def ended(self, tasks: Sequence[Any]) -> Iterator[tuple[Any, str | None]]:
        """Each task as soon as it is over, and what it gave back: None, or why it has no result.

        That no node is left on which the others could run is said once; they wait until there is one again.
        """
        left, shown = list(tasks), False
        while left:
            over, left = self._waited(left)
            for task in over:
                yield task, why_lost(task, self.needs.options["max_retries"])
            if left and not over and not shown and not self.are_enough():
                print(f"Ray lets {how_many(len(left), 'jobs')} wait: {self.why_not()}", flush=True)
                shown = True

    def _waited(self, tasks: list[Any]) -> tuple[list[Any], list[Any]]:
        """The first task that is over, if one soon is, and the others."""
        try:
            return ray.wait(tasks, timeout=PATIENCE)
        except KeyboardInterrupt as error:  # Ray raises one of its own in place of ours, which knows the exit status
            raise next(iter(self.stops), error) from None

    def keep_stops(self, answer: Any) -> None:
        """Let SIGTERM be answered by this handler, and keep what it raises."""

        def stop(number: int, frame: Any) -> None:
            try:
                answer(number, frame)
            except Stopped as stopped:
                self.stops.append(stopped)
                raise

        signal.signal(signal.SIGTERM, stop if callable(answer) else answer)

    def are_enough(self) -> bool:
        """Whether one of them is large enough for a job."""
        return any(map(self.needs.fit, _nodes()))

    def why_not(self) -> str:
        """That none is large enough, and what they have."""
        return f"no node has what each job asks, {self.needs.words}. There is {self.in_words()}."

    def in_words(self) -> str:
        """`2 nodes with 4 cores and 15 GB`, one kind of them after the other."""
        kinds = Counter(_has(node) for node in _nodes())
        return ", ".join(f"{how_many(count, 'nodes')} with {has}" for has, count in kinds.items()) or "no node"


def _nodes() -> list[dict[str, float]]:
    """What each node has, in Ray's names."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _has(node: Mapping[str, float]) -> str:
    gpus = int(node.get("GPU", 0))
    facts = [how_many(int(node.get("CPU", 0)), "cores"), *([how_many(gpus, "GPUs")] if gpus else [])]
    return f"{', '.join(facts)} and {node.get('memory', 0) / GB:.0f} GB"


@contextmanager
def joined(address: str | None, needs: Needs, wait: bool) -> Iterator[RayNodes]:
    """Nodes for as long as the block runs; where no address is given, this machine is one, which ends with the block.

    Raises Refused where nobody answers and, unless one is to `wait` for further nodes, where none is large enough.
    """
    os.environ.setdefault("RAY_task_oom_retries", str(needs.options["max_retries"]))  # unset, it is without end
    answer = signal.getsignal(signal.SIGTERM)
    nodes = RayNodes(needs)
    try:
        _join(address)
    except SystemExit:  # Ray's own answer to SIGTERM, which it has by now
        raise Stopped(signal.SIGTERM) from None
    finally:
        nodes.keep_stops(answer)
    try:
        if not nodes.are_enough():
            if not wait:
                raise Refused(f"Ray cannot run these jobs: {nodes.why_not()}")
            print(f"Ray lets the jobs wait: {nodes.why_not()}", flush=True)
        yield nodes
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, answer if not nodes.stops else signal.SIG_IGN)


def _join(address: str | None) -> None:
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address in (None, "", LOCAL):
        own = {"num_cpus": available_cores(), "object_store_memory": STORE_BYTES, "include_dashboard": False}
        ray.init(LOCAL, **own, **quiet)
        return
    if address == AUTO:
        address = os.environ.get("RAY_ADDRESS") or AUTO  # as Ray takes it
    if address != AUTO:
        require_listener(str(address))
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")  # one try, of half a minute; unset, 20 of them
    try:
        ray.init(str(address), **quiet)
    except (ConnectionError, RuntimeError, ValueError, AssertionError) as error:
        raise no_cluster(str(address), _sentence(error)) from None


def why_lost(task: Any, restarts: int) -> str | None:
    """What a task gave back, or why it gave nothing: None for a job that has said itself how it ended."""
    try:
        given: str | None = ray.get(task)
        return given
    except RayTaskError as error:
        return f"It could not begin on its node: {plain_message(error.cause)}"
    except Exception as error:  # Ray's, about a task that is gone
        return f"Ray: {in_ray_words(error, restarts)}. What is finished is kept; the same command goes on from there."


def in_ray_words(error: Exception, restarts: int) -> str:
    """Why Ray gave up a task that might begin again so often, without a full stop."""
    lost = f"was lost, after it had begun again {restarts} times (cluster.restarts)"
    if isinstance(error, NodeDiedError):
        return f"its node {lost}"
    if isinstance(error, WorkerCrashedError):
        return f"its process or its node {lost}"
    if isinstance(error, OutOfMemoryError):
        return (
            f"its node had too little memory left, and its process {lost}. For fewer jobs on a node at a time: "
            f"cluster.memory=GB sets so much aside for each"
        )
    return _sentence(error)


def _sentence(error: Exception) -> str:
    """The first line of an error, without its full stop."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return first.rstrip(".")
