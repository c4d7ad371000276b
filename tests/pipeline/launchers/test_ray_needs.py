"""What jobs ask of Ray's nodes, and addresses at which no cluster can be joined."""

import socket

import pytest

from pipeline.launchers.job_numbers import Refused, check_numbers
from pipeline.launchers.ray_needs import RAY_NUMBERS, Needs, require_listener

NUMBERS = {"num_cpus": 2, "memory": None, "num_gpus": None, "max_retries": 3}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_cpus": 0}, "cluster.cores=0 must be a whole number of cores, at least 1"),
        ({"num_cpus": 1.5}, "cluster.cores=1.5 must be"),
        ({"num_cpus": None}, "cluster.cores=None must be"),
        ({"memory": "16GB"}, "cluster.memory=16GB must be a number of GB"),
        ({"num_gpus": True}, "cluster.gpus=True must be a number of GPUs"),
        ({"max_retries": -1}, "cluster.restarts=-1 must be a whole number"),
    ],
)
def test_numbers_of_a_job_that_are_none_are_refused(settings, message):
    check_numbers(NUMBERS, RAY_NUMBERS)
    with pytest.raises(Refused, match=message):
        check_numbers({**NUMBERS, **settings}, RAY_NUMBERS)


def test_a_node_is_large_enough_that_has_all_that_a_job_asks():
    needs = Needs.of({**NUMBERS, "memory": 0.5}, {"resources": {"large": 1}, "num_gpus": 0.5})
    assert (
        needs.words
        == "cluster.cores=2, cluster.memory=0.5, cluster.options.resources={'large': 1}, cluster.options.num_gpus=0.5"
    )
    node = {"CPU": 2.0, "memory": float(1 << 29), "GPU": 1.0, "large": 1.0}
    assert needs.fit(node)
    for name in node:
        assert not needs.fit({**node, name: node[name] / 4})


def test_what_is_unset_is_left_to_ray():
    assert Needs.of(NUMBERS, {}).options == {"num_cpus": 2, "max_retries": 3}
    assert Needs.of({**NUMBERS, "memory": 0}, {}).options["memory"] == 0


@pytest.mark.parametrize("address", ["10.0.0.1", "ray://10.0.0.1:10001", "host:port", "10.0.0.1:1234567", ""])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(Refused, match="it must be HOST:PORT, as `ray start --head` prints it, or auto"):
        require_listener(address)


def test_an_address_where_nobody_listens_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_listener(f"127.0.0.1:{port}")
    with pytest.raises(Refused, match=rf"No cluster of Ray can be joined at 127.0.0.1:{port} .*Connection refused"):
        require_listener(f"127.0.0.1:{port}")
