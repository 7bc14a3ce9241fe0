"""Which changes reload, with each HAProxy: every row of the deployment guide's table is tried."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portico.render.bundle import render
from portico_wire import Bundle
from tests.agent.rig import AgentRig
from tests.render.trees import http_listener, tree_from
from tests.support.ports import find_free_port

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "deployment.md"
HEADING = "## Which changes reload"

Document = Mapping[str, Any]


def member(number: int, **values: Any) -> Document:
    """A member that need not answer."""
    return {"address": f"127.0.88.{number}", "protocol_port": 9000, "weight": 1, **values}


ONE, TWO, THREE = member(1), member(2), member(3)
CHECKED = {"type": "HTTP", "delay": 5, "timeout": 1, "max_retries": 1, "max_retries_down": 2}
PRIVATE = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/private"}
PLAIN: Document = {"protocol": "HTTP", "members": [ONE, TWO]}
COOKIE: Document = {**PLAIN, "persistence_type": "HTTP_COOKIE"}
MONITORED: Document = {**PLAIN, "health_monitor": CHECKED}
PINGED: Document = {**PLAIN, "health_monitor": {**CHECKED, "type": "PING"}}
ROWS: dict[str, list[tuple[Document, Document]]] = {
    "a member's weight, or its `admin_state_up`": [
        ({**pool, "members": [ONE, TWO]}, {**pool, "members": [ONE, member(2, **change)]})
        for pool in (PLAIN, COOKIE, PINGED)
        for change in ({"weight": 0}, {"weight": 9}, {"admin_state_up": False})
    ],
    "a member removed": [({**pool, "members": [ONE, TWO]}, {**pool, "members": [ONE]}) for pool in (MONITORED, COOKIE)],
    "a member added": [
        ({**pool, "members": members}, {**pool, "members": [*members, THREE]})
        for pool in (
            PLAIN,
            MONITORED,
            {**PLAIN, "lb_algorithm": "LEAST_CONNECTIONS"},
            {**PLAIN, "lb_algorithm": "SOURCE_IP"},
            {**PLAIN, "persistence_type": "SOURCE_IP"},
            {**PLAIN, "persistence_type": "APP_COOKIE", "persistence_cookie_name": "sid"},
        )
        for members in ([], [ONE])
    ],
    "a member added to a pool with `session_persistence` of type HTTP_COOKIE": [
        (COOKIE, {**COOKIE, "members": [ONE, TWO, THREE]})
    ],
    "a member added to or removed from a pool with a PING monitor": [
        (PINGED, {**PINGED, "members": [ONE, TWO, THREE]}),
        (PINGED, {**PINGED, "members": [ONE]}),
    ],
    "a member's `backup`; its `monitor_address` or `monitor_port` where the pool has a monitor": [
        (MONITORED, {**MONITORED, "members": [ONE, member(2, **change)]})
        for change in ({"backup": True}, {"monitor_address": "127.0.88.9"}, {"monitor_port": 9001})
    ],
    "anything else of listeners, pools, monitors, L7 policies and rules that HAProxy has to know": [
        (MONITORED, {**MONITORED, "health_monitor": {**CHECKED, "delay": 6}}),
        (PLAIN, {**PLAIN, "lb_algorithm": "LEAST_CONNECTIONS"}),
        (PLAIN, {**PLAIN, "listener": {"timeout_client_data": 1000}}),
        (PLAIN, {**PLAIN, "listener": {"l7policies": [{"action": "REJECT", "rules": [PRIVATE]}]}}),
    ],
}
"""The first column of the guide's table: for each change, the pools before and after it."""


def read_table() -> dict[str, dict[str, str]]:
    """Return the guide's table: change to version of HAProxy to method."""
    section = GUIDE.read_text().partition(f"{HEADING}\n")[2].partition("\n## ")[0]
    head, _, *rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"
    ]
    versions = [cell.removeprefix("HAProxy ") for cell in head[1:]]
    return {row[0]: dict(zip(versions, row[1:], strict=True)) for row in rows}


def test_every_row_of_the_guide_is_tried() -> None:
    """Each row of the table has its example here, and each example its row."""
    assert list(read_table()) == list(ROWS)


def test_changes_are_applied_as_the_guide_says(agent: AgentRig) -> None:
    """Each change is applied by the method in the column of the newest version that is not newer than the HAProxy under
    test."""
    agent.end()
    agent.options = ["--allow-ping"]
    agent.start()
    agent.ensure()
    own = numbers(agent.request("GET", "/v1/info").json()["haproxy_version"])
    port, number, wrong = find_free_port(), 0, []
    for change, methods in read_table().items():
        column = max((version for version in methods if numbers(version) <= own), key=numbers)
        for before, after in ROWS[change]:
            agent.push(bundle_of(before, port, number + 1))
            method = agent.push(bundle_of(after, port, number := number + 2)).method
            if method != methods[column]:
                wrong.append(f"{change}: {method}, but the guide says {methods[column]} for {column}")
    assert wrong == []


def numbers(version: str) -> list[int]:
    """Major and minor version."""
    return [int(part) for part in re.findall(r"\d+", version)[:2]]


def bundle_of(pool: Document, port: int, version: int) -> Bundle:
    """Render the pool behind one listener, as the controller does."""
    listener = http_listener(protocol_port=port, default_pool="web", **pool.get("listener", {}))
    values = {name: value for name, value in pool.items() if name != "listener"}
    tree = tree_from({"vips": ["127.0.0.1"], "listeners": [listener], "pools": {"web": values}})
    return render(tree, "amphora-1", version)
