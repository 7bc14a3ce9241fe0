"""What requests to the API cost: CPU milliseconds and SQL statements each, in this process and without a network.

    scripts/bench api                   # SQLite, lists of 100, 1,000 and 10,000
    scripts/bench api --most 1000       # without the longest lists

The application is called through ASGI, so that client and sockets are not measured; nothing runs what is queued. The
peer's figures are those of OpenStack Octavia 19 on a machine like the one these were made for.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
from sqlalchemy import event, insert

from portico.api import create_app
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.resources import Lease, LoadBalancer, Tag, Vip
from portico.settings import DatabaseSettings, Settings
from portico.store.database import Database
from portico.store.requests import Requests
from portico.store.schema import upgrade

SUBNET = str(uuid4())
LBS = "/v2.0/lbaas/loadbalancers"
PEER = {
    "POST load balancer": "22-34",
    "GET load balancer": "12-18",
    "status tree, 1 member": "15-25",
    "list of 100": "80-110",
    "list of 1,000": "700-800",
}
Message = MutableMapping[str, Any]


@dataclass(frozen=True)
class Cost:
    """Of one request."""

    cpu_ms: float
    statements: float
    kilobytes: float


class Bench:
    """The application on a database of its own."""

    def __init__(self, directory: Path) -> None:
        url = f"sqlite:///{directory / 'bench.db'}"
        upgrade(url)
        self.settings = Settings(database=DatabaseSettings(url=url))
        self.database = Database(self.settings.database)
        requests = Requests(self.database, self.settings.validation, InProcessNotifier(), self.settings.quotas)
        self.app = create_app(self.settings, database=self.database, requests=requests)
        self.statements = 0
        for engine in self.database.engines():
            event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, *_: Any) -> None:
        self.statements += 1

    async def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """One request."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
            response = await client.request(method, path, json=body)
        response.raise_for_status()
        return response

    async def measure(self, times: int, method: str, path: str, body: bytes = b"") -> Cost:
        """Call the application directly, ``times`` times after a few to get warm."""
        for _ in range(3):
            await call(self.app, method, path, body)
        before, began = self.statements, time.process_time()
        length = 0
        for _ in range(times):
            length = await call(self.app, method, path, body)
        spent = time.process_time() - began
        return Cost(spent * 1000 / times, (self.statements - before) / times, length / 1024)


async def call(app: Any, method: str, path: str, body: bytes) -> int:
    """One request, as a server makes it; returns the length of the answer."""
    path, _, query = path.partition("?")
    length, status = 0, 0
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"bench"), (b"content-type", b"application/json"), (b"accept", b"*/*")],
        "server": ("bench", 80),
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal length, status
        status = message.get("status", status)
        length += len(message.get("body", b""))

    await app(scope, receive, send)
    assert status < 300, status
    return length


def fill(database: Database, amount: int) -> None:
    """Load balancers with an address and a tag each, as if built."""
    ids = [str(uuid4()) for _ in range(amount)]
    shared = {"project_id": "p", "provisioning_status": "ACTIVE"}
    subnet_id = str(uuid4())
    with database.engine.begin() as connection:
        connection.execute(
            insert(LoadBalancer), [{"id": one, "name": f"lb-{n}", **shared} for n, one in enumerate(ids)]
        )
        vips = [
            {"load_balancer_id": one, "position": 0, "ip_address": f"10.0.{n >> 8}.{n & 255}", "subnet_id": subnet_id}
            for n, one in enumerate(ids)
        ]
        connection.execute(insert(Vip), vips)
        connection.execute(insert(Lease), [{"key": one} for one in ids])
        connection.execute(insert(Tag), [{"resource_id": one, "tag": "bench"} for one in ids])


def tree(members: int) -> dict[str, Any]:
    """A whole load balancer."""
    servers = [{"address": f"192.0.{n >> 8}.{n & 255}", "protocol_port": 80} for n in range(members)]
    pool = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": servers}
    listener = {"protocol": "HTTP", "protocol_port": 80, "default_pool": pool}
    return {"loadbalancer": {"vip_subnet_id": SUBNET, "listeners": [listener]}}


def show(name: str, cost: Cost) -> None:
    """One line."""
    peer = PEER.get(name, "")
    print(f"{name:34s} {cost.cpu_ms:9.2f} {cost.statements:11.1f} {cost.kilobytes:9.1f} {peer:>12s}", flush=True)


async def run(bench: Bench, most: int) -> None:
    """All measurements."""
    print(f"{'request':34s} {'CPU ms':>9s} {'statements':>11s} {'KiB':>9s} {'peer CPU ms':>12s}")
    present = 0
    for amount in (100, 1000, 10000):
        if amount > most:
            break
        await asyncio.to_thread(fill, bench.database, amount - present)
        present = amount
        times = max(3, 3000 // amount)
        show(f"list of {amount:,}", await bench.measure(times, "GET", LBS))
        few = "fields=id&fields=name&fields=vip_address"
        show(f"list of {amount:,}, three fields", await bench.measure(times, "GET", f"{LBS}?{few}"))
    show(f"first 1,000 of {present:,}", await bench.measure(5, "GET", f"{LBS}?limit=1000"))
    plain = f'{{"loadbalancer": {{"name": "web", "vip_subnet_id": "{SUBNET}"}}}}'.encode()
    for members in (1, 1000):
        made = await bench.request("POST", LBS, tree(members))
        lb_id = made.json()["loadbalancer"]["id"]
        cost = await bench.measure(20 if members > 1 else 100, "GET", f"{LBS}/{lb_id}/status")
        show(f"status tree, {members:,} member{'s' if members > 1 else ''}", cost)
    show("GET load balancer", await bench.measure(200, "GET", f"{LBS}/{lb_id}"))
    show("POST load balancer", await bench.measure(100, "POST", LBS, plain))
    made_pool = await bench.request("GET", f"/v2.0/lbaas/pools?loadbalancer_id={lb_id}")
    pool_id = made_pool.json()["pools"][0]["id"]
    member = f"/v2.0/lbaas/pools/{pool_id}/members"
    number = iter(range(10**6))

    async def post_member() -> None:
        port = 1000 + next(number)
        await call(bench.app, "POST", member, b'{"member": {"address": "10.9.9.9", "protocol_port": %d}}' % port)

    before, began = bench.statements, time.process_time()
    for _ in range(100):
        await post_member()
    spent = (time.process_time() - began) * 10
    show("POST member", Cost(spent, (bench.statements - before) / 100, 0))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=10000, help="the longest list")
    options = parser.parse_args()
    print(f"{os.uname().machine}, {os.cpu_count()} CPUs, SQLite")
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory))
        asyncio.run(run(bench, options.most))
        bench.database.close()


if __name__ == "__main__":
    main()
