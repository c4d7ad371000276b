"""What each job of a sweep asks of a node of Ray, and whether a cluster answers at an address: before Ray is asked."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.launchers.job_numbers import JobNumber, Refused

LOCAL, AUTO = "local", "auto"
"""Ray's words for nodes that it starts, and for those that run on this machine."""

CONNECT_SECONDS = 5.0
"""The longest wait for an answer at an address: Ray itself would ask for minutes."""

GB = 1 << 30

RAY_NUMBERS = {
    "num_cpus": JobNumber("cluster.cores", "a whole number of cores, at least 1", (int,), 1),
    "memory": JobNumber("cluster.memory", "a number of GB", (int, float, type(None)), 0),
    "num_gpus": JobNumber("cluster.gpus", "a number of GPUs", (int, float, type(None)), 0),
    "max_retries": JobNumber("cluster.restarts", "a whole number", (int,), 0),
}
"""Settings of the launcher."""


@dataclass(frozen=True)
class Needs:
    """What each job of a sweep asks of its node.

    Attributes:
        options: those of `ray.remote`.
        words: what the user calls them, such as `cluster.cores=4`.
    """

    options: Mapping[str, Any]
    words: str

    @classmethod
    def of(cls, settings: Mapping[str, Any], further: Mapping[str, Any]) -> Needs:
        """From the launcher's settings, and further options, which the user calls as Ray does."""
        memory = settings["memory"]
        options = {**settings, "memory": memory and int(memory * GB)}
        numbers = {key: number for key, number in RAY_NUMBERS.items() if key != "max_retries"}
        asked = {number.name: settings[key] for key, number in numbers.items() if settings[key]}
        asked |= {f"cluster.options.{key}": value for key, value in further.items()}
        words = ", ".join(f"{name}={value}" for name, value in asked.items())
        return cls({key: value for key, value in (options | dict(further)).items() if value is not None}, words)

    def fit(self, node: Mapping[str, float]) -> bool:
        """Whether a node that does nothing else is large enough."""
        plain = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        asked = {name: self.options.get(key, 0) for name, key in plain.items()} | self.options.get("resources", {})
        return all(node.get(name, 0) >= amount for name, amount in asked.items())


HOW_TO_START = (
    "`ray start --head` starts one, `ray start --address=HOST:PORT` makes a further machine a node of it, and this "
    "command is typed on one of its nodes. Without cluster.address= the jobs run on this machine alone."
)


def no_cluster(address: str, reason: str) -> Refused:
    """The error for an address, or for this machine, where no cluster can be joined."""
    where = "on this machine" if address == AUTO else f"at {address}"
    return Refused(f"No cluster of Ray can be joined {where} (cluster.address, RAY_ADDRESS): {reason}. {HOW_TO_START}")


def require_listener(address: str) -> None:
    """Raises Refused where an address is none, and where nobody listens there."""
    found = re.fullmatch(r"\[?(?P<host>[^/]+?)\]?:(?P<port>\d{1,5})", address)
    if found is None:
        raise no_cluster(address, f"it must be HOST:PORT, as `ray start --head` prints it, or {AUTO}")
    try:
        socket.create_connection((found["host"], int(found["port"])), CONNECT_SECONDS).close()
    except OSError as error:
        raise no_cluster(address, error.strerror or str(error)) from None
