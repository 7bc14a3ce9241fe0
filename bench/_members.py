"""Many members, created one by one by several clients simultaneously: the number of pushes, and the time."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench._rig import Rig
from portico.intake.requests import Accepted
from portico.status import OperationState
from portico.worker.run_loop import RunLoop

_PATIENCE = 300.0
"""Longest time, in seconds, that this measurement may take. It is longer than in any test, because the wait is what is
measured."""


@dataclass(frozen=True, slots=True)
class MemberFigures:
    """``seconds`` is the time from the first request until every member is ACTIVE; ``accept_seconds`` is the part of it
    until the last request was accepted. Statements to accept requests and statements to run them are counted
    separately."""

    members: int
    submitters: int
    pushes: int
    accept_seconds: float
    seconds: float
    accept_statements_per_member: float
    run_statements_per_member: float
    cpu_ms_per_member: float


def measure_members(url: str, *, members: int, submitters: int) -> MemberFigures:
    """Create members on one load balancer while a run loop applies queued operations."""
    with Rig(url) as rig:
        balancer = rig.catalog.add_load_balancer(name="many")
        pool = rig.catalog.add_pool(balancer, protocol="HTTP", lb_algorithm="ROUND_ROBIN")
        rig.catalog.add_listener(balancer, protocol="HTTP", protocol_port=8080, default_pool_id=pool)
        rig.worker.create_load_balancer(balancer)
        loop = RunLoop(rig.worker)
        loop.start()
        try:
            return _run(rig, pool, members, submitters)
        finally:
            loop.stop()


def _run(rig: Rig, pool: str, members: int, submitters: int) -> MemberFigures:
    def submit(number: int) -> Accepted:
        address = f"198.18.{number >> 8}.{number & 255}"
        return rig.requests.create("member", pool, address=address, protocol_port=80)

    rig.reset()
    pushes = rig.amphorae.pushes.total()
    cpu, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(submitters, thread_name_prefix="submitter") as clients:
        accepted = list(clients.map(submit, range(members)))
    accept_seconds = time.perf_counter() - start
    active = 0
    while active < members:
        if time.perf_counter() - start > _PATIENCE:
            raise TimeoutError(f"{active} of {members} members are ACTIVE after {_PATIENCE:g} s")
        time.sleep(0.02)
        active = len(rig.catalog.list_ids("member", pool_id=pool, provisioning_status="ACTIVE"))
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    for one in accepted:
        outcome = rig.requests.outcome(one.operation_id)
        assert outcome is not None
        assert outcome.state == OperationState.SUCCEEDED, outcome.reason
    asked = sum(count for name, count in rig.statements.items() if name.startswith("submitter"))
    ran = sum(count for name, count in rig.statements.items() if not name.startswith(("submitter", "MainThread")))
    return MemberFigures(
        members=members,
        submitters=submitters,
        pushes=rig.amphorae.pushes.total() - pushes,
        accept_seconds=round(accept_seconds, 2),
        seconds=round(seconds, 2),
        accept_statements_per_member=round(asked / members, 2),
        run_statements_per_member=round(ran / members, 2),
        cpu_ms_per_member=round(cpu_seconds * 1000 / members, 2),
    )
