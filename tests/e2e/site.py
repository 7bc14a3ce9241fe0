"""A complete ``portico up`` in this process, and a client of its API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from portico import Embedded
from tests.e2e.conftest import running_portico
from tests.support.api_server import serve_api
from tests.support.waiting import PATIENCE, wait_until

LBAAS = "/v2.0/lbaas"


@dataclass
class Site:
    """A running API: its address, a client, the Portico behind it, and the number of configurations that were
    pushed."""

    url: str
    client: httpx.Client
    portico: Embedded
    pushes: Counter[str] = field(default_factory=Counter)

    def make(self, root: str, path: str, **values: Any) -> Any:
        """Create an object with a POST and return it."""
        made = self.client.post(f"{LBAAS}/{path}", json={root: values})
        assert made.status_code == 201, made.text
        return made.json()[root]

    def await_active(self, load_balancer_id: str) -> Any:
        """Wait until a load balancer is ACTIVE, and return it."""
        path = f"{LBAAS}/loadbalancers/{load_balancer_id}"

        def is_active() -> bool:
            return bool(self.client.get(path).json()["loadbalancer"]["provisioning_status"] == "ACTIVE")

        wait_until(is_active, f"{load_balancer_id} is ACTIVE")
        return self.client.get(path).json()["loadbalancer"]


@contextmanager
def running_site(directory: Path, haproxy: Path, **groups: Any) -> Iterator[Site]:
    """Run ``portico up`` until the end of the block. ``groups`` is passed to ``open_embedded``."""
    pushes: Counter[str] = Counter()

    def on_task(_flow: str, task: str, state: str) -> None:
        if "push" in task.lower() and state == "SUCCESS":
            pushes["pushes"] += 1

    with running_portico(directory, haproxy, on_task=on_task, **groups) as portico:
        database = portico.worker.services.database
        with (
            serve_api(portico.settings, database=database, requests=portico.requests, worker=portico.worker) as url,
            httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE) as client,
        ):
            yield Site(url, client, portico, pushes)
