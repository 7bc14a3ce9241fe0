"""Latencies: the first answer of a new load balancer, changes of a member, and pushes by number of members."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from bench._dataplane_clients import Report
from bench._dataplane_testbed import LISTENER_PORT, ORIGIN_ADDRESSES, Testbed, send_traffic
from tests.support.waiting import PATIENCE, wait_until_equal

EFFECT_RATE = 400.0
"""Requests per second while effects are timed: with three members, each gets one about every 8 ms."""
SETTLE_SECONDS = 0.25
"""Pause between changes whose effect is timed: long enough for every client to send a request."""
NOWHERE_PORT = 9
"""The port of the members of big pools: nothing listens there, and nothing is sent there."""


def measure_first_answer(testbed: Testbed, times: int) -> dict[str, Any]:
    """Measure the time from calling ``create_load_balancer`` to its return, and to the first HTTP 200 from the VIP."""
    returned, answered, pushed = [], [], []
    for _ in range(times):
        web = testbed.describe_web(testbed.origins(2))
        start = time.monotonic()
        testbed.worker.create_load_balancer(web["load_balancer"])
        returned.append((time.monotonic() - start) * 1000)
        wait_until_equal(partial(_ask, testbed.find_vip(web["load_balancer"])), "200", "the first answer", pause=0)
        answered.append((time.monotonic() - start) * 1000)
        pushed.append(testbed.observed.pushes[-1].milliseconds)
        testbed.worker.delete_load_balancer(web["load_balancer"])
    return {
        "times": times,
        "return_ms": _middle(returned),
        "first_200_ms": _middle(answered),
        "first_200_worst_ms": round(max(answered), 1),
        "push_ms": _middle(pushed),
    }


def _ask(address: str) -> str:
    """Return the status of the answer, or the error if there was none."""
    connection = http.client.HTTPConnection(address, LISTENER_PORT, timeout=PATIENCE)
    try:
        connection.request("GET", "/")
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


def measure_member_changes(testbed: Testbed, times: int) -> dict[str, Any]:
    """Measure a member's creation, drain, undrain and deletion under traffic: to the return of the call, and to the
    effect.

    The effect of a creation, or of a weight above 0, is the member's first answer; of a deletion, or of weight 0, its
    last one.
    """
    calls: dict[str, list[tuple[float, float, bool]]] = {}
    since = len(testbed.observed.pushes)
    watched = ORIGIN_ADDRESSES[2]
    with (
        testbed.web(testbed.origins(2)) as web,
        send_traffic(testbed.find_vip(web["load_balancer"]), EFFECT_RATE) as clients,
    ):
        since += 1  # the creation's own push

        def change(name: str, appears: bool, call: Callable[..., None], *arguments: Any) -> None:
            time.sleep(SETTLE_SECONDS)
            start = time.monotonic()
            call(*arguments)
            calls.setdefault(name, []).append((start, time.monotonic(), appears))

        for _ in range(times):
            member = testbed.portico.catalog.add_member(web["pool"], address=watched, protocol_port=testbed.origin_port)
            change("create", True, testbed.worker.create_member, member)
            change("weight to 0", False, testbed.worker.update_member, member, {"weight": 0})
            change("weight to 1", True, testbed.worker.update_member, member, {"weight": 1})
            change("delete", False, testbed.worker.delete_member, member)
        time.sleep(SETTLE_SECONDS)
        methods = testbed.count_methods(since)
        report = clients.stop()
    return {
        "times": times,
        "methods": methods,
        "failed_requests": len(report.failures),
        "changes": {
            name: {
                "return_ms": _middle([(end - start) * 1000 for start, end, _ in measured]),
                "effect_ms": _middle([_find_effect(report, watched, *one) * 1000 for one in measured]),
            }
            for name, measured in calls.items()
        },
    }


def _find_effect(report: Report, member: str, start: float, end: float, appears: bool) -> float:
    """Seconds from the call to the member's first or last answer; 0 if the last answer came before the call."""
    seen = [received for _, received, who in report.answers if who == member]
    if appears:
        return min(moment for moment in seen if moment >= start) - start
    return max([start] + [moment for moment in seen if start <= moment < end + SETTLE_SECONDS / 2]) - start


def measure_sizes(testbed: Testbed, sizes: list[int], times: int) -> dict[str, Any]:
    """Measure pushes to load balancers with these numbers of members: runtime changes of members, and a reload."""
    return {str(size): _measure_size(testbed, size, times) for size in sizes}


def _measure_size(testbed: Testbed, size: int, times: int) -> dict[str, Any]:
    addresses = [f"127.91.{number >> 8}.{number & 255}" for number in range(1, size + 2)]
    spare = addresses.pop()
    with testbed.web([(address, NOWHERE_PORT) for address in addresses]) as web:
        catalog, worker = testbed.portico.catalog, testbed.worker
        member = catalog.list_ids("member", pool_id=web["pool"])[0]
        recorder = _Recorder(testbed)
        for number in range(times):
            recorder.call("weight", worker.update_member, member, {"weight": 2 + number % 2})
            added = catalog.add_member(web["pool"], address=spare, protocol_port=NOWHERE_PORT)
            recorder.call("create member", worker.create_member, added)
            recorder.call("delete member", worker.delete_member, added)
            timeout = {"timeout_client_data": 50_000 + number + 1}
            recorder.call("listener timeout", worker.update_listener, web["listener"], timeout)
        return recorder.summarize()


class _Recorder:
    """Makes calls, and records how long each call and its push took."""

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._calls: dict[str, list[tuple[float, float, float, str]]] = {}

    def call(self, name: str, call: Callable[..., None], *arguments: Any) -> None:
        """Make one call, which must push exactly once."""
        start = time.monotonic()
        call(*arguments)
        took = (time.monotonic() - start) * 1000
        push = self._testbed.observed.pushes[-1]
        self._calls.setdefault(name, []).append((took, push.milliseconds, push.agent_ms, push.method))

    def summarize(self) -> dict[str, Any]:
        """Return the medians for each kind of call, in milliseconds."""
        return {
            name: {
                "methods": sorted({method for *_, method in calls}),
                "call_ms": _middle([took for took, *_ in calls]),
                "push_ms": _middle([push for _, push, _, _ in calls]),
                "agent_ms": _middle([agent for _, _, agent, _ in calls]),
            }
            for name, calls in self._calls.items()
        }


def measure_phases(testbed: Testbed, times: int) -> dict[str, float]:
    """Measure how long each phase of a weight change takes, from call to return (medians, in milliseconds)."""
    phases: dict[str, list[float]] = {}
    with testbed.web(testbed.origins(2)) as web:
        member = testbed.portico.catalog.list_ids("member", pool_id=web["pool"])[0]
        for number in range(times):
            testbed.boundaries.clear()
            start = time.monotonic()
            testbed.worker.update_member(member, {"weight": 2 + number % 2})
            end = time.monotonic()
            push = testbed.observed.pushes[-1]
            begin_task, end_task = (moment for moment, task, _ in testbed.boundaries if task == "PushConfiguration")
            pushed = push.started + push.milliseconds / 1000
            for name, seconds in (
                ("accept, snapshot, engine", begin_task - start),
                ("tree, render", push.started - begin_task),
                ("encode, TLS, HTTP", (push.milliseconds - push.agent_ms) / 1000),
                ("agent", push.agent_ms / 1000),
                ("rest of the task", end_task - pushed),
                ("engine, record", end - end_task),
                ("whole call", end - start),
            ):
                phases.setdefault(name, []).append(seconds * 1000)
    return {name: _middle(values) for name, values in phases.items()}


def _middle(values: list[float]) -> float:
    return round(median(values), 1)
