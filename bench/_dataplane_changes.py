"""What clients notice of changes: requests that fail during changes, and the pushes that a flood of changes takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from statistics import median
from typing import Any

from bench._dataplane_clients import Report
from bench._dataplane_testbed import ORIGIN_ADDRESSES, Testbed, send_traffic
from portico.intake.requests import Accepted
from portico.resources.listener import ListenerUpdates
from portico.resources.member import MemberUpdates
from portico.worker.run_loop import RunLoop

PAUSE_SECONDS = 0.05
QUIET_SECONDS = 0.5
"""How long traffic runs before the first change and after the last one."""
SUBMITTERS = 8
FLOOD_SECONDS = 120.0

Change = tuple[str, Callable[[], object]]


def measure_failed_requests(testbed: Testbed, changes: int, rate: float) -> dict[str, Any]:
    """Count the requests that fail while changes of every kind are made under steady traffic."""
    made: list[tuple[str, float, float]] = []
    with testbed.web(testbed.origins(3)) as web, send_traffic(testbed.find_vip(web["load_balancer"]), rate) as clients:
        since = len(testbed.observed.pushes)
        time.sleep(QUIET_SECONDS)
        for name, change in islice(_mixed_changes(testbed, web), changes):
            start = time.monotonic()
            change()
            made.append((name, start, time.monotonic()))
            time.sleep(PAUSE_SECONDS)
        time.sleep(QUIET_SECONDS)
        report = clients.stop()
        methods = testbed.count_methods(since)
    sent = len(report.answers) + len(report.failures)
    waits = sorted((received - sent_at) * 1000 for sent_at, received, _ in report.answers)
    return {
        "changes": len(made),
        "methods": methods,
        "seconds": round(report.ended - report.started, 1),
        "requests": sent,
        "requests_per_second": round(sent / (report.ended - report.started)),
        "wanted_per_second": rate,
        "answer_ms": {"median": round(median(waits), 1), "p99": round(waits[len(waits) * 99 // 100], 1)},
        "longest_ms": round(waits[-1], 1),
        "reconnects": report.reconnects,
        "failed": len(report.failures),
        "failures": _explain(report, made),
        "change_ms": {name: round(value, 1) for name, value in _medians(made).items()},
    }


def _explain(report: Report, made: list[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """Describe each failed request: its reason, and the change during or after which it failed."""
    explained = []
    for sent, failed, kind, before, reason in report.failures:
        last = max((one for one in made if one[1] <= failed), key=lambda one: one[1], default=("none", failed, failed))
        explained.append(
            {
                "reason": reason,
                "client": kind,
                "requests_before": before,
                "waited_ms": round((failed - sent) * 1000, 1),
                "change": last[0],
                "ms_after_its_call": round((failed - last[1]) * 1000, 1),
            }
        )
    return explained


def _medians(made: list[tuple[str, float, float]]) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for name, start, end in made:
        times.setdefault(name, []).append((end - start) * 1000)
    return {name: median(values) for name, values in times.items()}


def _mixed_changes(testbed: Testbed, web: dict[str, str]) -> Iterator[Change]:
    """Yield changes of every kind, endlessly. None of them affects requests to ``/``."""
    catalog, worker = testbed.portico.catalog, testbed.worker
    listener, pool = web["listener"], web["pool"]
    first, second, _ = catalog.list_ids("member", pool_id=pool)
    for number in count():
        address = ORIGIN_ADDRESSES[3 + number % 5]
        member = catalog.add_member(pool, address=address, protocol_port=testbed.origin_port)
        yield "create member", partial(worker.create_member, member)
        weight: MemberUpdates = {"weight": 1 + number % 7}
        yield "update weight", partial(worker.update_member, first, weight)
        timeout: ListenerUpdates = {"timeout_client_data": 50_001 + number}
        yield "update timeout", partial(worker.update_listener, listener, timeout)
        policy = catalog.add_l7policy(listener, action="REJECT")
        yield "create policy", partial(worker.create_l7policy, policy)
        rule = catalog.add_l7rule(policy, type="PATH", compare_type="STARTS_WITH", value="/refused")
        yield "create rule", partial(worker.create_l7rule, rule)
        monitor = catalog.add_health_monitor(pool, type="HTTP", delay=1, timeout=1, max_retries=2)
        yield "create monitor", partial(worker.create_health_monitor, monitor)
        yield "disable member", partial(worker.update_member, second, {"admin_state_up": False})
        yield "enable member", partial(worker.update_member, second, {"admin_state_up": True})
        yield "delete policy", partial(worker.delete_l7policy, policy)
        yield "delete member", partial(worker.delete_member, member)
        yield "delete monitor", partial(worker.delete_health_monitor, monitor)


def measure_flood(testbed: Testbed, members: int) -> dict[str, Any]:
    """Create members one by one from several threads, while a run loop applies the changes."""
    run_loop = RunLoop(testbed.worker)
    with testbed.web(testbed.origins(1)) as web:
        since = len(testbed.observed.pushes)
        accepted: list[Accepted] = []
        run_loop.start()
        try:
            start = time.monotonic()
            submitters = [
                threading.Thread(
                    target=_submit, args=(testbed, web["pool"], range(number, members, SUBMITTERS), accepted)
                )
                for number in range(SUBMITTERS)
            ]
            for thread in submitters:
                thread.start()
            for thread in submitters:
                thread.join(FLOOD_SECONDS)
            submitted = time.monotonic() - start
            active = _await_members(testbed, web["pool"], members + 1)
            seconds = time.monotonic() - start
        finally:
            ended = run_loop.stop()
        assert ended, "the run loop did not end"
        methods = testbed.count_methods(since)
    return {
        "members": members,
        "active": active - 1,
        "submitters": SUBMITTERS,
        "submitted_seconds": round(submitted, 2),
        "seconds": round(seconds, 2),
        "pushes": sum(methods.values()),
        "methods": methods,
        "push_ms": [round(push.milliseconds) for push in testbed.observed.pushes[since:]][: sum(methods.values())],
    }


def _submit(testbed: Testbed, pool: str, numbers: range, accepted: list[Accepted]) -> None:
    for number in numbers:
        address = f"127.92.{number >> 8}.{number & 255}"
        accepted.append(testbed.portico.requests.create("member", pool, address=address, protocol_port=9))


def _await_members(testbed: Testbed, pool: str, wanted: int) -> int:
    """Wait until all members of the pool are ACTIVE, or the time is up. Returns how many are."""
    deadline = time.monotonic() + FLOOD_SECONDS
    while True:
        active = len(testbed.portico.catalog.list_ids("member", pool_id=pool, provisioning_status="ACTIVE"))
        if active >= wanted or time.monotonic() > deadline:
            return active
        time.sleep(0.05)
