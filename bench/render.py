"""What rendering costs: milliseconds for a load balancer of 10 to 5,000 members, and microseconds per member.

``scripts/bench render`` prints the best and the median of several runs. The time to build the tree is not included; the
time to read it is.
"""

from __future__ import annotations

import statistics
import time

from portico.cli.stop_signals import reset_signals
from portico.render import render
from portico.resources.kinds import Tree
from tests.render.trees import AMPHORA_ID, tree_from
from tests.support.bundles import haproxy_of

_SIZES = (10, 100, 1000, 5000)
_RUNS = 15


def build_tree(members: int) -> Tree:
    """Build an HTTP load balancer with one policy, and one monitored pool of this number of members."""
    rule = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/admin"}
    monitor = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2, "http_version": 1.1}
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in range(1, members + 1)]
    return tree_from(
        {
            "listeners": [
                {
                    "protocol": "HTTP",
                    "protocol_port": 8080,
                    "default_pool": "web",
                    "l7policies": [{"action": "REJECT", "rules": [rule]}],
                }
            ],
            "pools": {
                "web": {
                    "protocol": "HTTP",
                    "health_monitor": monitor,
                    "members": [{"address": address, "protocol_port": 80} for address in addresses],
                }
            },
        }
    )


def measure(members: int) -> list[float]:
    """Return the milliseconds of each run."""
    tree = build_tree(members)
    times = []
    for run in range(_RUNS):
        start = time.perf_counter()
        bundle = render(tree, AMPHORA_ID, run + 1)
        times.append((time.perf_counter() - start) * 1000)
        assert len(haproxy_of(bundle).servers) == members
    return times


def main() -> None:
    """Print one line for each size."""
    reset_signals()
    print(f"{'members':>8} {'best ms':>9} {'median ms':>10} {'us/member':>12}")
    for members in _SIZES:
        times = measure(members)
        median = statistics.median(times)
        print(f"{members:>8} {min(times):>9.2f} {median:>10.2f} {median * 1000 / members:>12.2f}")


if __name__ == "__main__":
    main()
