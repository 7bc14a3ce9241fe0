"""What the longest bodies cost if the sender has no permissions: CPU milliseconds and memory of each request.

    scripts/bench bounds

By an operator's policy, a ``portico api`` process refuses everything but reading. Each route that accepts a body gets
bodies of 4 MiB, in the shapes that are most expensive to parse. The CPU time is the mean of several requests. Memory
is the growth of the process's peak beyond its previous size, as a multiple of the body's size.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench._http_load import ApiProcess, serve
from bench._processes import memory
from portico.cli.stop_signals import reset_signals
from portico.store.sql.schema import upgrade
from tests.support.long_bodies import LONGEST, fill

LBAAS = "/v2.0/lbaas"
TIMES = 10
"""Requests for each figure. The kernel counts CPU time in hundredths of a second, so ten requests resolve 1 ms."""
NOBODY = '"load-balancer:write": "!"\n"load-balancer:admin": "!"\n"load-balancer:write-quota": "!"\n'
SUBNET = "6e0e1b8c-3f2a-4d6e-9a55-1c1a6f0d2b11"


@dataclass(frozen=True)
class Cost:
    """The cost of one request. ``bodies`` is memory, as a multiple of the body's size."""

    milliseconds: float
    bodies: float
    status: int


def ask(api: ApiProcess, method: str, path: str, body: bytes) -> tuple[int, Any]:
    """Send one request, on a connection of its own."""
    client = http.client.HTTPConnection("127.0.0.1", api.port, timeout=120)
    client.request(method, path, body, {"Accept": "application/json", "Content-Type": "application/json"})
    answer = client.getresponse()
    text = answer.read()
    client.close()
    return answer.status, json.loads(text) if text else None


def measure(api: ApiProcess, method: str, path: str, body: bytes) -> Cost:
    """Measure the mean of several requests, after one to warm up."""
    ask(api, method, path, body)
    Path(f"/proc/{api.pid}/clear_refs").write_text("5")
    began, before = api.cpu_seconds(), memory(api.pid, "VmRSS")
    statuses = {ask(api, method, path, body)[0] for _ in range(TIMES)}
    spent, peak = api.cpu_seconds() - began, memory(api.pid, "VmHWM")
    [status] = statuses
    return Cost(spent * 1000 / TIMES, max(0, peak - before) / len(body), status)


def create_objects(api: ApiProcess) -> dict[str, str]:
    """Create a load balancer with a part of each kind. Returns their ids by root key."""
    ids: dict[str, str] = {}

    def make(root: str, path: str, **values: Any) -> None:
        status, shown = ask(api, "POST", f"{LBAAS}/{path}", json.dumps({root: values}).encode())
        assert status == 201, shown
        ids[root] = shown[root]["id"]

    make("loadbalancer", "loadbalancers", vip_subnet_id=SUBNET)
    make("pool", "pools", loadbalancer_id=ids["loadbalancer"], protocol="HTTP", lb_algorithm="ROUND_ROBIN")
    make("listener", "listeners", loadbalancer_id=ids["loadbalancer"], protocol="HTTP", protocol_port=80)
    make("member", f"pools/{ids['pool']}/members", address="10.1.1.1", protocol_port=80)
    make("l7policy", "l7policies", listener_id=ids["listener"], action="REJECT")
    make("healthmonitor", "healthmonitors", pool_id=ids["pool"], type="TCP", delay=5, timeout=3, max_retries=2)
    return ids


def requests_of(ids: dict[str, str]) -> list[tuple[str, str, bytes]]:
    """Return method, path and the start of a body that could be valid."""
    lb, pool, listener = ids["loadbalancer"], ids["pool"], ids["listener"]
    policy, monitor, member = ids["l7policy"], ids["healthmonitor"], ids["member"]

    def begin(root: str, **values: str) -> bytes:
        return json.dumps({root: {**values, "tags": []}}).encode().removesuffix(b"]}}")

    return [
        (
            "POST",
            "loadbalancers",
            json.dumps({"loadbalancer": {"vip_subnet_id": SUBNET, "listeners": []}}).encode()[:-3],
        ),
        ("POST", "listeners", begin("listener", loadbalancer_id=lb)),
        ("POST", "pools", begin("pool", loadbalancer_id=lb)),
        ("POST", f"pools/{pool}/members", begin("member")),
        ("PUT", f"pools/{pool}/members", b'{"members": ['),
        ("POST", "healthmonitors", begin("healthmonitor", pool_id=pool)),
        ("POST", "l7policies", begin("l7policy", listener_id=listener)),
        ("POST", f"l7policies/{policy}/rules", begin("rule")),
        ("PUT", f"loadbalancers/{lb}", begin("loadbalancer")),
        ("PUT", f"listeners/{listener}", begin("listener")),
        ("PUT", f"pools/{pool}", begin("pool")),
        ("PUT", f"pools/{pool}/members/{member}", begin("member")),
        ("PUT", f"healthmonitors/{monitor}", begin("healthmonitor")),
        ("PUT", f"l7policies/{policy}", begin("l7policy")),
        ("PUT", "quotas/p", b'{"quota": ['),
        ("POST", "flavors", begin("flavor")),
        ("POST", "flavorprofiles", begin("flavorprofile")),
    ]


def shapes(begin: bytes) -> dict[str, bytes]:
    """Return long bodies with this start, by their shape."""
    end = b"]}" if begin.endswith(b": [") and begin.count(b"{") == 1 else b"]}}"
    return {
        "objects": fill(begin, b"{}", end),
        "members": fill(begin, b'{"address":"10.1.1.1","protocol_port":1}', end),
        "text": fill(begin, b'"' + b"x" * (LONGEST - len(begin) - 10) + b'"', end),
    }


def main() -> None:
    """Measure and print."""
    reset_signals()
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}, bodies of 4 MiB")
    print(f"{'request':42s} {'shape':8s} {'status':>6s} {'CPU ms':>9s} {'memory, bodies':>15s}")
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as directory:
        database, policy = Path(directory) / "bench.db", Path(directory) / "policy.yaml"
        policy.write_text("{}\n")
        upgrade(f"sqlite:///{database}")
        with serve(database, f'policy_file = "{policy}"\n') as api:
            ids = create_objects(api)
            policy.write_text(NOBODY)
            for method, path, begin in requests_of(ids):
                for shape, body in shapes(begin).items():
                    cost = measure(api, method, f"{LBAAS}/{path}", body)
                    costs.append(cost)
                    name = f"{method} {path}"
                    for known in ids.values():
                        name = name.replace(known, "ID")
                    print(
                        f"{name:42s} {shape:8s} {cost.status:6d} {cost.milliseconds:9.1f} {cost.bodies:15.2f}",
                        flush=True,
                    )
    median = statistics.median(cost.milliseconds for cost in costs)
    print(
        f"all requests: median {median:.1f} ms, worst {max(cost.milliseconds for cost in costs):.1f} ms, "
        f"most memory {max(cost.bodies for cost in costs):.2f} bodies"
    )


if __name__ == "__main__":
    main()
