"""Observations: which amphorae to ask, what to compare their answers with, and recording the differences.

This is the only place that writes operating statuses because of what amphorae report (``store.runs.results`` writes
those that follow from applying a change). It leaves a row's ``updated_at`` as it is: nothing that a user asked for has
changed, and changes that are being accepted concurrently compare it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import zip_longest
from typing import NamedTuple, TypeVar

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Connection,
    Select,
    SQLColumnExpression,
    String,
    Update,
    bindparam,
    cast,
    literal,
    null,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from portico.errors import StoreUnavailable
from portico.resources import Amphora, HealthMonitor, L7Policy, Lease, Listener, LoadBalancer, Member
from portico.resources.kinds import (
    HEALTH_MONITOR,
    L7POLICY,
    LISTENER,
    LOAD_BALANCER,
    MEMBER,
    POOL,
    Kind,
    KindName,
    kind_of,
)
from portico.resources.row import table_of
from portico.status import AmphoraStatus
from portico.store.claims.duties import Duty
from portico.store.reads.counters import Counted, read_reported, write_counters
from portico.store.sql.database import Database

T = TypeVar("T")
TREES_AT_ONCE = 100
"""How many load balancers are read with one statement."""
ROWS_AT_ONCE = 1000
"""How many rows one statement names: fewer than the limit of each database."""
_TRIES = 3

LeaseState = tuple[int, int, int, str | None]
"""A lease's configuration version, epoch, number of unfinished operations, and owner: while these stay the same, no
operation has changed anything about its load balancer."""


@dataclass(frozen=True, slots=True)
class Target:
    """An amphora that serves, where its agent listens and what it is called (None in rows from before that was
    recorded), and the state of the lease on its load balancer."""

    amphora_id: str
    agent_url: str
    agent_name: str | None
    load_balancer_id: str
    lease_state: LeaseState


@dataclass(frozen=True, slots=True)
class Known:
    """One object as it is in its row. ``parent_id`` is a listener's default pool, or a member's pool."""

    kind: str
    id: str
    operating_status: str
    admin_state_up: bool
    parent_id: str | None = None


@dataclass(slots=True)
class StatusTree:
    """A load balancer and those of its objects that have been part of a configuration, as wanted and as recorded at one
    moment.

    Attributes:
        load_balancer: the load balancer itself.
        version: the configuration version that was accepted last; 0 before the first.
        is_settled: whether that configuration matches the rows, because no operation is unfinished.
        monitored: ids of the pools with a health monitor that is up.
        redirects: listener id to the pools to which its policies send.
    """

    load_balancer: Known
    version: int
    is_settled: bool
    listeners: list[Known] = field(default_factory=list)
    pools: list[Known] = field(default_factory=list)
    members: list[Known] = field(default_factory=list)
    monitored: set[str] = field(default_factory=set)
    redirects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class StatusChange:
    """An object whose status differs from the one in its row."""

    kind: str
    id: str
    before: str
    after: str


def read_targets(database: Database) -> list[Target]:
    """Every amphora that serves a load balancer. One statement."""
    rows = database.read(lambda connection: connection.execute(_TARGETS).all())
    return [
        Target(amphora_id, agent_url, agent_name, load_balancer_id, (version, epoch, pending, owner))
        for amphora_id, agent_url, agent_name, load_balancer_id, version, epoch, pending, owner in rows
        if agent_url is not None and load_balancer_id is not None
    ]


_TARGETS = (
    select(
        Amphora.id,
        Amphora.agent_url,
        Amphora.agent_name,
        Amphora.load_balancer_id,
        Lease.config_version,
        Lease.epoch,
        Lease.pending,
        Lease.owner,
    )
    .join(Lease, Lease.key == Amphora.load_balancer_id)
    .where(Amphora.status == AmphoraStatus.ALLOCATED, Amphora.agent_url.is_not(None))
    .order_by(Amphora.agent_url, Amphora.id)
)


# Reading


def read_trees(database: Database, load_balancer_ids: Iterable[str]) -> Iterator[StatusTree]:
    """The trees of these load balancers, without those that do not exist. One statement for each ``TREES_AT_ONCE`` of
    them, so that each tree is of one moment."""
    for some in _cut(sorted(load_balancer_ids), TREES_AT_ONCE):
        rows = _read_rows(database, some)
        trees: dict[str, StatusTree] = {}
        for row in rows:
            if row.kind == KindName.LOAD_BALANCER:
                known = Known(row.kind, row.id, row.operating_status, row.admin_state_up)
                trees[row.id] = StatusTree(known, row.version or 0, is_settled=row.pending == 0)
        for row in rows:
            if row.owner in trees:
                _plant(trees[row.owner], row)
        yield from trees.values()


class _Node(NamedTuple):
    """One object. The meaning of ``parent`` and ``detail`` depends on the kind. ``version`` and ``pending`` are those
    of the load balancer."""

    kind: str
    owner: str
    id: str
    operating_status: str
    admin_state_up: bool
    parent: str | None
    detail: str | None
    version: int | None
    pending: int | None


def _read_rows(database: Database, load_balancer_ids: Sequence[str]) -> list[_Node]:
    owners = {"owners": load_balancer_ids}
    rows = database.read(lambda connection: connection.execute(_reading(), owners).all())
    return [_Node._make(row) for row in rows]


def _plant(tree: StatusTree, row: _Node) -> None:
    known = Known(row.kind, row.id, row.operating_status, row.admin_state_up, row.parent)
    match row.kind:
        case KindName.LISTENER:
            tree.listeners.append(known)
        case KindName.POOL:
            tree.pools.append(known)
        case KindName.MEMBER:
            tree.members.append(known)
        case KindName.HEALTH_MONITOR if row.admin_state_up and row.parent is not None:
            tree.monitored.add(row.parent)
        case KindName.L7POLICY if row.admin_state_up and row.parent is not None and row.detail is not None:
            tree.redirects[row.parent].append(row.detail)


_Text = SQLColumnExpression[str] | SQLColumnExpression[str | None]
_Number = SQLColumnExpression[int]


@cache  # building it costs SQLAlchemy twenty times what sending it does
def _reading() -> Select[*tuple[object, ...]]:
    owners: BindParameter[list[str]] = bindparam("owners", expanding=True)
    no_text, no_number = cast(null(), String(255)), cast(null(), BigInteger)
    of_top = (no_text, no_text, Lease.config_version, Lease.pending)
    top = (
        _branch(LOAD_BALANCER, LoadBalancer.id, of_top)
        .join(Lease, Lease.key == LoadBalancer.id)
        .where(LoadBalancer.id.in_(owners))
    )
    parts = (
        (LISTENER, Listener.default_pool_id, no_text),
        (POOL, no_text, no_text),
        (MEMBER, Member.pool_id, no_text),
        (HEALTH_MONITOR, HealthMonitor.pool_id, no_text),
        (L7POLICY, L7Policy.listener_id, L7Policy.redirect_pool_id),
    )
    branches = []
    for kind, parent, detail in parts:
        columns = table_of(kind.model).c
        branch = _branch(kind, columns.load_balancer_id, (parent, detail, no_number, no_number))
        branches.append(branch.where(columns.load_balancer_id.in_(owners), columns.applied == true()))
    branches[-1] = branches[-1].where(L7Policy.redirect_pool_id.is_not(None))
    return select(union_all(top, *branches).subquery())


def _branch(
    kind: Kind, owner: SQLColumnExpression[str], more: tuple[_Text, _Text, _Number, _Number]
) -> Select[*tuple[object, ...]]:
    """The columns of ``_Node``; ``more`` are the last four."""
    model = kind.described_model
    parent, detail, version, pending = more
    return select(
        literal(kind.name.value).label("kind"),
        owner.label("owner"),
        model.id,
        model.operating_status,
        model.admin_state_up,
        parent.label("parent"),
        detail.label("detail"),
        version.label("version"),
        cast(pending, BigInteger).label("pending"),
    )


def read_last_counted(database: Database, amphora_ids: Iterable[str]) -> Iterator[Counted]:
    """The last counters that were written for the listeners on these amphorae. One statement for each ``ROWS_AT_ONCE``
    amphorae."""
    for some in _cut(sorted(amphora_ids), ROWS_AT_ONCE):
        yield from database.read(partial(read_reported, amphora_ids=some))


# Writing


def record_observations(duty: Duty, changes: Sequence[StatusChange], counted: Sequence[Counted]) -> None:
    """Write what was observed, as the owner of ``duty``: at most ``ROWS_AT_ONCE`` rows in a transaction, so that none
    delays users' requests for long. Nothing is sent if there is nothing to write.

    A status is written only if the row still has the status that was compared with.

    Raises:
        LeaseLost: another process has the duty by now; nothing more was written.
        StoreError: the database did not answer, or refused.
    """

    def write(connection: Connection, some: Sequence[StatusChange], many: Sequence[Counted]) -> None:
        _write_statuses(connection, some)
        write_counters(connection, many)

    for some, many in zip_longest(_cut(changes, ROWS_AT_ONCE), _cut(counted, ROWS_AT_ONCE), fillvalue=()):
        _transact(duty, partial(write, some=some, many=many))


def _transact(duty: Duty, work: Callable[[Connection], None]) -> None:
    for _ in range(_TRIES):
        try:
            return duty.transact(work)
        except IntegrityError as error:
            last = error  # a listener was deleted after the check that it was there
    raise StoreUnavailable("listeners are deleted faster than their counters can be written") from last


def _write_statuses(connection: Connection, changes: Sequence[StatusChange]) -> None:
    groups: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for change in changes:
        groups[change.kind, change.before, change.after].append(change.id)
    # In the same order in which a worker writes what it has applied: so the two cannot deadlock.
    for (kind, before, after), ids in sorted(groups.items(), key=lambda group: _ORDER.index(group[0][0])):
        connection.execute(_writing(kind), {"these_ids": sorted(ids), "before": before, "after": after})


_ORDER: Sequence[str] = [kind.name for kind in (LISTENER, POOL, MEMBER, LOAD_BALANCER)]


@cache
def _writing(kind: str) -> Update:
    table = table_of(kind_of(kind).model)
    ids: BindParameter[list[str]] = bindparam("these_ids", expanding=True)
    this = (table.c.id.in_(ids), table.c.operating_status == bindparam("before"))
    return update(table).where(*this).values(operating_status=bindparam("after"))


def _cut(items: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    return (items[start : start + length] for start in range(0, len(items), length))
