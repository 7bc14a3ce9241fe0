"""A small world: one database, one set of no-op drivers, and as many controller workers as a test needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import event, func, select, update

from portico import ControllerWorker
from portico.drivers.amphora_noop import NoopAmphorae
from portico.drivers.compute_noop import NoopCompute
from portico.drivers.in_process_notifier import InProcessNotifier
from portico.drivers.network_noop import NoopNetwork
from portico.intake.acceptance import Receipt, Request, accept
from portico.intake.catalog import Catalog
from portico.intake.requests import Requests
from portico.intake.wanted import wanted_tree
from portico.ports.network import Network
from portico.ports.notifier import Notifier
from portico.render import render
from portico.resources import Lease, Operation, Row, kinds
from portico.resources.operation import Action
from portico.settings import (
    DatabaseSettings,
    LimitSettings,
    NoopAmphoraSettings,
    NoopComputeSettings,
    NoopNetworkSettings,
    QuotaSettings,
    Settings,
    WorkerSettings,
)
from portico.store.claims.leases import Claim, find_work, try_claim
from portico.store.runs.snapshot import read_snapshot
from portico.store.sql.database import Database
from portico_wire import Bundle
from tests.support.examples import VALID

PARTS = [kind.name for kind in kinds.PARTS]
QUICK = WorkerSettings(
    executor_threads=8, poll_seconds=0.05, retry_seconds=0.001, batch_seconds=0.0, wait_seconds=60.0, stop_seconds=10.0
)
"""The defaults without the pauses, which are for real agents and users."""


def make_settings(
    url: str, *, limits: LimitSettings | None = None, quotas: QuotaSettings | None = None, **worker: Any
) -> Settings:
    """Settings with no-op drivers and this database. ``worker`` overrides values of ``QUICK``."""
    return Settings(
        database=DatabaseSettings(url=url),
        worker=QUICK.model_copy(update=worker),
        limits=limits or LimitSettings(),
        quotas=quotas or QuotaSettings(),
        compute=NoopComputeSettings(),
        network=NoopNetworkSettings(),
        amphora=NoopAmphoraSettings(drain_seconds=0.0),
    )


class World:
    """Everything that a controller worker needs, in one place.

    All workers share ``compute``, ``network`` and ``amphorae``, as processes share the outside world. Each worker has
    database connections of its own, as each process has.

    Args:
        settings: usually the result of ``make_settings``.
        network: a network to use instead of the no-op driver.
    """

    def __init__(self, settings: Settings, *, network: Network | None = None) -> None:
        self.settings = settings
        self.compute = NoopCompute()
        # Any: tests use methods of the no-op driver that the network port does not have.
        self.network: Any = network or NoopNetwork()
        self.amphorae = NoopAmphorae(self.compute)
        self.notifier = InProcessNotifier()
        self.database = self._connect()
        self.catalog = Catalog(self.database, self.settings.validation, self.network)
        self.requests = self.make_requests(settings)
        self.on_task: Callable[[str, str, str], None] = lambda _flow, _task, _state: None
        self._workers: list[ControllerWorker] = []
        self._tables = list(Row.metadata.sorted_tables)

    def make_requests(self, settings: Settings, notifier: Notifier | None = None) -> Requests:
        """Create requests with other settings or another notifier than the world's own."""
        used_notifier = notifier or self.notifier
        return Requests(self.database, settings.validation, used_notifier, settings.quotas, network=self.network)

    def _report_task(self, flow: str, task: str, state: str) -> None:
        self.on_task(flow, task, state)  # looked up late, because tests replace it

    def _connect(self) -> Database:
        """Open connections as a separate process does. SQLite does not wait for the disk, because no test cuts the
        power."""
        database = Database(self.settings.database)
        if database.dialect == "sqlite":
            for engine in database.engines():
                event.listen(engine, "connect", _skip_disk_sync)
        return database

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every worker and every connection."""
        for worker in self._workers:
            worker.close()
            worker.services.database.close()
        self.database.close()

    @property
    def worker(self) -> ControllerWorker:
        """The first worker."""
        return self._workers[0] if self._workers else self.add_worker()

    def add_worker(self, **drivers: Any) -> ControllerWorker:
        """Add a worker. ``drivers`` replace the world's own (``amphorae=...``, ``notifier=...``)."""
        worker = ControllerWorker(
            self.settings,
            database=self._connect(),
            on_task=self._report_task,
            **{
                "compute": self.compute,
                "network": self.network,
                "amphorae": self.amphorae,
                "notifier": self.notifier,
                **drivers,
            },
        )
        self._workers.append(worker)
        return worker

    # Describing, requesting, running

    def describe(self, **load_balancer: Any) -> dict[str, str]:
        """Describe a load balancer with one part of each kind. Return the ids by kind."""
        add = self.catalog
        ids = {"load_balancer": add.add_load_balancer(name="web", **load_balancer)}
        ids["pool"] = add.add_pool(
            ids["load_balancer"],
            protocol="HTTP",
            lb_algorithm="ROUND_ROBIN",
            session_persistence={"type": "SOURCE_IP"},
        )
        ids["listener"] = add.add_listener(
            ids["load_balancer"], protocol="HTTP", protocol_port=8080, default_pool_id=ids["pool"]
        )
        ids["member"] = add.add_member(ids["pool"], address="192.0.2.1", protocol_port=9001)
        ids["health_monitor"] = add.add_health_monitor(ids["pool"], type="HTTP", delay=5, timeout=3, max_retries=2)
        ids["l7policy"] = add.add_l7policy(
            ids["listener"], action="REDIRECT_TO_URL", redirect_url="https://www.example.com/"
        )
        ids["l7rule"] = add.add_l7rule(ids["l7policy"], type="PATH", compare_type="STARTS_WITH", value="/old")
        for kind in kinds.PARTS:
            if kind.name not in ids:
                ids[kind.name] = self._add_valid(kind, ids)
        return ids

    def _add_valid(self, kind: kinds.Kind, ids: dict[str, str]) -> str:
        assert kind.parent is not None
        add: Callable[..., str] = getattr(self.catalog, f"add_{kind}")
        return add(ids[kind.parent.name], **VALID[kind.name])

    def build(self, **load_balancer: Any) -> dict[str, str]:
        """Describe a load balancer with one part of each kind, and build it. Return the ids by kind."""
        ids = self.describe(**load_balancer)
        self.worker.create_load_balancer(ids["load_balancer"])
        return ids

    def add_part(self, kind: Any, ids: dict[str, str]) -> str:
        """Describe another part of a kind beside those of ``describe``, and return its id."""
        add, last = self.catalog, len(self.catalog.list_ids(kind))
        if kind == "listener":
            return add.add_listener(ids["load_balancer"], protocol="HTTP", protocol_port=8081 + last)
        if kind == "pool":
            return add.add_pool(ids["load_balancer"], protocol="HTTP", lb_algorithm="SOURCE_IP")
        if kind == "member":
            return add.add_member(ids["pool"], address="192.0.2.1", protocol_port=9001 + last)
        if kind == "health_monitor":
            pool_id = self.add_part("pool", ids)
            self.worker.create_pool(pool_id)
            return add.add_health_monitor(pool_id, type="TCP", delay=5, timeout=3, max_retries=2)
        if kind == "l7policy":
            return add.add_l7policy(ids["listener"], action="REJECT")
        if kind == "l7rule":
            return add.add_l7rule(ids["l7policy"], type="PATH", compare_type="ENDS_WITH", value=f"/{last}")
        return self._add_valid(kinds.kind_of(kind), ids)

    def ask(self, action: str, kind: str, subject_id: str, changes: dict[str, Any] | None = None) -> Receipt:
        """Queue an operation without running it."""
        return accept(self.database, Request(Action(action), kind, subject_id, changes), self.settings.validation)

    def do(self, action: str, kind: str, subject_id: str, changes: dict[str, Any] | None = None) -> None:
        """Call the first worker's method for an action."""
        arguments = (subject_id,) if changes is None else (subject_id, changes)
        getattr(self.worker, f"{action}_{kind}")(*arguments)

    def run_all(self) -> int:
        """Run queued operations until none are left. Return the number of leases under which operations were run."""
        total = 0
        while worked := self.worker.run_pending():
            total += worked
            assert total < 1000, "the queue never becomes empty"
        return total

    def take(self, key: str, owner: str = "test") -> Claim:
        """Take a lease, as a worker would, and do nothing with it."""
        [epoch] = [epoch for found, epoch in find_work(self.database, 100) if found == key]
        claim = try_claim(self.database, key, owner, epoch, 20_000)
        assert claim is not None
        return claim

    def expire_leases(self) -> None:
        """Make all leases expire by the database's clock, as a worker sees it that slept too long."""
        self.database.transact(
            lambda connection: connection.execute(update(Lease).where(Lease.owner.is_not(None)).values(expires_at=1))
        )

    # Reading

    def status(self, kind: Any, subject_id: str) -> str:
        """An object's provisioning status."""
        return str(self.catalog.show(kind, subject_id)["provisioning_status"])

    def operation(self, operation_id: str) -> dict[str, Any]:
        """The row of one operation."""
        [operation] = [row for row in self.rows(Operation) if row["id"] == operation_id]
        return operation

    def operations(self, subject_id: str | None = None) -> list[dict[str, Any]]:
        """All operations (of one subject), in the order of acceptance."""
        rows = self.rows(Operation)
        return [row for row in rows if subject_id in (None, row["subject_id"])]

    def count_unfinished(self) -> int:
        """The number of operations that have not ended."""
        statement = select(func.count()).where(Operation.state.in_(("QUEUED", "RUNNING")))
        return self.database.read(lambda connection: connection.scalar(statement)) or 0

    def rows(self, model: type[Row]) -> list[dict[str, Any]]:
        """All rows of a table, in the order of their primary key."""
        table = model.__table__
        statement = select(table).order_by(*table.primary_key)
        return self.database.read(lambda connection: [dict(row) for row in connection.execute(statement).mappings()])

    def dump(self) -> dict[str, list[Any]]:
        """Every row of every table, except the slots, which an idle worker releases on its own. Two dumps are equal if
        nothing changed."""
        return self.database.read(
            lambda connection: {
                table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
                for table in self._tables
                if not table.name.startswith("slot")
            }
        )

    def amphora_of(self, load_balancer_id: str) -> str:
        """The id of the amphora that carries the load balancer."""
        [amphora_id] = self.catalog.list_ids("amphora", load_balancer_id=load_balancer_id, status="ALLOCATED")
        return amphora_id

    def pushed(self, load_balancer_id: str) -> Bundle:
        """The configuration that the load balancer's amphora has."""
        bundle = self.amphorae.bundle(self.amphora_of(load_balancer_id))
        assert bundle is not None
        return bundle

    def rendered(self, load_balancer_id: str) -> Bundle:
        """The configuration that the rows require, with the version that was pushed last."""
        snapshot = read_snapshot(self.database, load_balancer_id)
        assert snapshot.tree is not None
        tree = wanted_tree(snapshot.tree, snapshot, [])
        return render(tree, self.amphora_of(load_balancer_id), self.pushed(load_balancer_id).version)

    def assert_in_step(self, load_balancer_id: str) -> None:
        """Assert that the configuration is that of the rows, that no operation is unfinished, and that the lease is
        free."""
        self.assert_vips_as_wanted()
        assert self.pushed(load_balancer_id) == self.rendered(load_balancer_id)
        assert self.count_unfinished() == 0
        [lease] = [row for row in self.rows(Lease) if row["key"] == load_balancer_id]
        assert (lease["owner"], lease["pending"]) == (None, 0)
        assert lease["config_version"] <= self.pushed(load_balancer_id).version

    def assert_vips_as_wanted(self) -> None:
        """Assert that every VIP in the network has its row's address, if the row has one, and its load balancer's
        policy and security groups."""
        for vip in self.network.allocations():
            wanted = self.catalog.show("load_balancer", vip.load_balancer_id)
            request = self.network.last_request(vip)
            groups = tuple(wanted["vip_sg_ids"] or ())
            assert (request.qos_policy_id, request.security_group_ids) == (wanted["vip_qos_policy_id"], groups)
            assert vip.position or wanted["vip_address"] in (None, vip.ip_address)

    def assert_no_orphans(self) -> None:
        """Assert that everything outside the database has a row."""
        assert self.compute.owned() <= set(self.catalog.list_ids("amphora"))
        assert self.network.owned() <= set(self.catalog.list_ids("load_balancer"))

    def assert_empty(self) -> None:
        """Assert that nothing is left: no rows except the operations, and nothing outside the database."""
        for kind in kinds.KINDS:
            assert self.catalog.list_ids(kind) == []
        assert self.compute.owned() == frozenset()
        assert self.network.owned() == frozenset()
        assert self.rows(Lease) == []


def _skip_disk_sync(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous=OFF").close()


def same_but_version(one: Bundle, other: Bundle) -> bool:
    """Whether two bundles are the same except for their version."""
    return replace(one, version=1) == replace(other, version=1)
