"""Two nodes of Ray on this machine, for as long as somebody holds the other end: told what to do line by line.

It prints the address. `lose` kills the second node's raylet, `gain` adds another node; each is answered by a line.
"""

import sys

from ray.cluster_utils import Cluster

QUICKLY = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
"""How soon the head takes a node for dead that does not answer any more."""

SMALL = {"num_cpus": 1, "memory": 2 << 30, "object_store_memory": 100 << 20, "include_dashboard": False}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "_system_config": QUICKLY})
    second = cluster.add_node(**SMALL)
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "lose":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**SMALL)
        print(line.strip(), flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main()
