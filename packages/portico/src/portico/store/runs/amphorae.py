"""Rows of amphorae and VIPs, written by the tasks of a flow. Every transaction is fenced by the flow's lease."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from portico.errors import AddressInUse
from portico.resources import Amphora, Lease, Vip
from portico.resources.load_balancer import vip_address_columns
from portico.resources.row import new_id, utc_now
from portico.status import AmphoraStatus, sources
from portico.store.claims.leases import Claim, fence
from portico.store.sql.database import Database

_SPARE_TRIES = 3
_COMING = (AmphoraStatus.BOOTING, AmphoraStatus.ALLOCATED)
_BUILT = (*_COMING, AmphoraStatus.READY)
# Statements that every flow sends are built once: building one costs SQLAlchemy twenty times what sending it does.
_IS_SPARE = (
    Amphora.status == AmphoraStatus.READY,
    Amphora.load_balancer_id.is_(None),
    ~exists().where(Lease.key == Amphora.id, Lease.pending > 0),
)
_SPARES = select(Amphora.id).where(*_IS_SPARE).order_by(Amphora.created_at).limit(_SPARE_TRIES)
_ADD = insert(Amphora)
_WRITE = update(Amphora).where(
    Amphora.id == bindparam("this_id"), Amphora.status.in_(bindparam("from_statuses", expanding=True))
)
_DESCRIBE = update(Amphora).where(Amphora.id == bindparam("this_id"))
_REMOVE = delete(Amphora).where(Amphora.id == bindparam("this_id"))
_WRITE_VIP = update(Vip).where(Vip.load_balancer_id == bindparam("this_id"), Vip.position == bindparam("this_position"))


class AmphoraRows:
    """What a flow writes about amphorae and VIPs.

    Every method that writes raises LeaseLost if another worker has taken the lease; nothing is written then.
    """

    def __init__(self, database: Database, claim: Claim, lease_ms: int) -> None:
        self._database = database
        self._claim = claim
        self._lease_ms = lease_ms

    def obtain(self, load_balancer_id: str, replaces_id: str | None = None) -> str:
        """Give a load balancer a READY spare, or write the row of an amphora that is about to be built, with an id that
        is chosen here.

        Returns: the amphora's id. A spare is ALLOCATED from now on, a new amphora BOOTING.
        """
        amphora_id = new_id()

        def work(connection: Connection) -> str:
            fence(connection, self._claim, self._lease_ms)
            ids = connection.scalars(_SPARES)
            for spare_id in ids.all():
                taken = update(Amphora).where(Amphora.id == spare_id, *_IS_SPARE)
                values = {"load_balancer_id": load_balancer_id, "replaces_id": replaces_id, "updated_at": utc_now()}
                if connection.execute(taken.values(status=AmphoraStatus.ALLOCATED, **values)).rowcount == 1:
                    # From now on the amphora is under its load balancer's lease.
                    connection.execute(delete(Lease).where(Lease.key == spare_id, Lease.pending == 0))
                    return spare_id
            row = {"id": amphora_id, "load_balancer_id": load_balancer_id, "replaces_id": replaces_id}
            connection.execute(_ADD, {"status": AmphoraStatus.BOOTING, **row})
            return amphora_id

        def already_done(connection: Connection) -> str | None:
            mine = and_(
                Amphora.load_balancer_id == load_balancer_id, Amphora.replaces_id.is_not_distinct_from(replaces_id)
            )
            return connection.scalar(select(Amphora.id).where(mine, Amphora.status.in_(_COMING)))

        return self._database.transact(work, already_done)

    def add_spare(self, replaces_id: str) -> str:
        """Write the row and the lease of a spare that is about to be built to replace another one; return its id."""
        amphora_id = new_id()

        def work(connection: Connection) -> str:
            fence(connection, self._claim, self._lease_ms)
            connection.execute(
                insert(Amphora).values(id=amphora_id, replaces_id=replaces_id, status=AmphoraStatus.BOOTING)
            )
            connection.execute(insert(Lease).values(key=amphora_id))
            return amphora_id

        def already_done(connection: Connection) -> str | None:
            return connection.scalar(select(Amphora.id).where(Amphora.id == amphora_id))

        return self._database.transact(work, already_done)

    def find_replacement(self, amphora_id: str, statuses: tuple[AmphoraStatus, ...] = _BUILT) -> str | None:
        """The replacement that an earlier run began to build for an amphora, if it is in one of these statuses."""
        statement = select(Amphora.id).where(Amphora.replaces_id == amphora_id, Amphora.status.in_(statuses))
        return self._database.read(lambda connection: connection.scalar(statement))

    def write(self, amphora_id: str, status: AmphoraStatus, **values: object) -> None:
        """Write an amphora's status, if the transition table permits it, and other columns."""

        def work(connection: Connection) -> None:
            fence(connection, self._claim, self._lease_ms)
            mine = {"this_id": amphora_id, "from_statuses": list(sources(status))}
            connection.execute(_WRITE, {**mine, "status": status, "updated_at": utc_now(), **values})

        self._database.transact(work)

    def describe(self, amphora_id: str, **values: object) -> None:
        """Write columns that record what was found out about an amphora, whatever its status."""

        def work(connection: Connection) -> None:
            fence(connection, self._claim, self._lease_ms)
            connection.execute(_DESCRIBE, {"this_id": amphora_id, "updated_at": utc_now(), **values})

        self._database.transact(work)

    def remove(self, amphora_id: str) -> None:
        """Delete the row of an amphora that no longer exists, and its own lease unless that is the flow's lease."""

        def work(connection: Connection) -> None:
            fence(connection, self._claim, self._lease_ms)
            connection.execute(_REMOVE, {"this_id": amphora_id})
            if amphora_id != self._claim.key:
                connection.execute(delete(Lease).where(Lease.key == amphora_id))

        self._database.transact(work)

    def write_vip(self, load_balancer_id: str, position: int, *, allocated: bool, **values: str | None) -> None:
        """Write whether the network has allocated a VIP, and where.

        Raises:
            AddressInUse: another load balancer has this address.
        """
        if "ip_address" in values:
            values |= vip_address_columns(values["ip_address"])

        def work(connection: Connection) -> None:
            fence(connection, self._claim, self._lease_ms)
            mine = {"this_id": load_balancer_id, "this_position": position}
            connection.execute(_WRITE_VIP, {**mine, "allocated": allocated, **values})

        try:
            self._database.transact(work)
        except IntegrityError as error:
            raise AddressInUse(
                f"vip_address: {values.get('ip_address')} is already used by another load balancer"
            ) from error


def record_agent(database: Database, amphora_id: str, seen_url: str | None, agent_url: str, agent_name: str) -> None:
    """Write where an amphora's agent is and what it is called, both or neither, if the row has no name yet and its URL
    is still ``seen_url``. This needs no lease: the values are facts, and every process would write the same ones."""
    is_that = and_(
        Amphora.id == amphora_id, Amphora.agent_url.is_not_distinct_from(seen_url), Amphora.agent_name.is_(None)
    )
    statement = update(Amphora).where(is_that).values(agent_url=agent_url, agent_name=agent_name)
    database.transact(lambda connection: connection.execute(statement))
