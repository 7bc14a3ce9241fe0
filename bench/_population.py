"""Fills a database with idle load balancers."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, text

from portico.resources import Amphora, Lease, Listener, LoadBalancer, Member, MemberSpec, Operation, Pool, Row, Vip
from portico.resources.load_balancer import vip_address_columns
from portico.resources.operation import Action
from portico.resources.row import new_id, utc_now
from portico.settings import DatabaseSettings
from portico.status import AmphoraStatus, OperatingStatus, OperationState, ProvisioningStatus
from portico.store.sql.database import Database

_CHUNK = 1000
_BUILT = {"provisioning_status": ProvisioningStatus.ACTIVE, "operating_status": OperatingStatus.ONLINE}


def populate(url: str, first: int, last: int) -> None:
    """Insert load balancers number ``first`` up to, but not including, ``last``. Each is built and has a listener, a
    pool of two members, an amphora and one finished operation. Then run ANALYZE, as the database's own maintenance
    would have done while the tables grew."""
    database = Database(DatabaseSettings(url=url))
    try:
        for start in range(first, last, _CHUNK):
            _insert(database, range(start, min(start + _CHUNK, last)))
        analyze = "ANALYZE TABLE " + ", ".join(sorted(Row.metadata.tables)) if "mariadb" in url else "ANALYZE"
        database.transact(lambda connection: connection.execute(text(analyze)))
    finally:
        database.close()


def _insert(database: Database, numbers: range) -> None:
    rows: dict[type[Row], list[dict[str, Any]]] = {
        model: [] for model in (LoadBalancer, Vip, Lease, Amphora, Pool, Listener, Member, Operation)
    }
    for number in numbers:
        _add_tree(rows, number)
    database.transact(lambda connection: [connection.execute(insert(model), rows[model]) for model in rows])


def _add_tree(rows: dict[type[Row], list[dict[str, Any]]], number: int) -> None:
    balancer, pool = new_id(), new_id()
    part = {"load_balancer_id": balancer, "applied": True, **_BUILT}
    address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
    rows[LoadBalancer].append({"id": balancer, "name": f"lb {number}", **_BUILT})
    vip = {"load_balancer_id": balancer, "position": 0, "port_id": new_id(), "allocated": True}
    rows[Vip].append(vip | vip_address_columns(address))
    rows[Lease].append({"key": balancer, "epoch": 1, "config_version": 1 << 16 | 1})
    rows[Amphora].append({"id": new_id(), "load_balancer_id": balancer, "status": AmphoraStatus.ALLOCATED})
    rows[Pool].append({"id": pool, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **part})
    rows[Listener].append({"id": new_id(), "protocol": "HTTP", "protocol_port": 80, "default_pool_id": pool, **part})
    for host in (1, 2):
        member = {"id": new_id(), "pool_id": pool, "address": f"198.51.100.{host}", "protocol_port": 80}
        rows[Member].append({**member, **part, **MemberSpec.columns_elsewhere(member)})
    done = {"state": OperationState.SUCCEEDED, "attempts": 1, "finished_at": utc_now()}
    subject = {"subject_type": "load_balancer", "subject_id": balancer, "load_balancer_id": balancer}
    rows[Operation].append({"id": new_id(), "action": Action.CREATE, "lease_key": balancer, **subject, **done})
