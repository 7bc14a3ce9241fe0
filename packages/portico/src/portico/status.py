"""Statuses, their legal transitions and the reason for each. No other module decides which transitions are legal.

The ``PENDING_UPDATE`` of a load balancer whose *children* are being changed is not stored. It is shown while operations
are unfinished, so it cannot get stuck (``shown_status``).
The diagram ``docs/reference/statuses.md`` is generated from the tables below (``diagram``).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from portico.errors import IllegalTransition


class ProvisioningStatus(StrEnum):
    """What Portico is doing with an object, in the words of the Octavia v2 API."""

    PENDING_CREATE = "PENDING_CREATE"
    ACTIVE = "ACTIVE"
    PENDING_UPDATE = "PENDING_UPDATE"
    PENDING_DELETE = "PENDING_DELETE"
    ERROR = "ERROR"
    DELETED = "DELETED"


class OperatingStatus(StrEnum):
    """How well an object serves traffic, in the words of the Octavia v2 API."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DEGRADED = "DEGRADED"
    DRAINING = "DRAINING"
    NO_MONITOR = "NO_MONITOR"
    ERROR = "ERROR"


class AmphoraStatus(StrEnum):
    """The stages of an amphora's life. READY is a spare; ALLOCATED serves a load balancer."""

    PENDING_CREATE = "PENDING_CREATE"
    BOOTING = "BOOTING"
    READY = "READY"
    ALLOCATED = "ALLOCATED"
    PENDING_DELETE = "PENDING_DELETE"
    ERROR = "ERROR"
    DELETED = "DELETED"


class AmphoraRole(StrEnum):
    """The role of an amphora within its load balancer."""

    STANDALONE = "STANDALONE"
    MASTER = "MASTER"
    BACKUP = "BACKUP"


class OperationState(StrEnum):
    """The states of an operation."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


Transitions = Mapping[tuple[StrEnum, StrEnum], str]

_P = ProvisioningStatus
PROVISIONING: Transitions = {
    (_P.PENDING_CREATE, _P.ACTIVE): "its first configuration was applied",
    (_P.PENDING_CREATE, _P.ERROR): "it could not be built",
    (_P.PENDING_CREATE, _P.PENDING_DELETE): "a delete was accepted before it was built",
    (_P.PENDING_CREATE, _P.PENDING_UPDATE): "it was built, and another change was accepted in the meantime",
    (_P.ACTIVE, _P.PENDING_UPDATE): "a change was accepted",
    (_P.ACTIVE, _P.PENDING_DELETE): "a delete was accepted",
    (_P.PENDING_UPDATE, _P.ACTIVE): "the change was applied",
    (_P.PENDING_UPDATE, _P.ERROR): "the change failed; the previous values are back",
    (_P.PENDING_UPDATE, _P.PENDING_DELETE): "a delete was accepted before the change was applied",
    (_P.PENDING_DELETE, _P.DELETED): "everything that it used was released; its row is removed",
    (_P.PENDING_DELETE, _P.ERROR): "something that it used could not be released; delete it again",
    (_P.ERROR, _P.ACTIVE): "a failover rebuilt it",
    (_P.ERROR, _P.PENDING_UPDATE): "another change was accepted",
    (_P.ERROR, _P.PENDING_DELETE): "a delete was accepted",
}

_A = AmphoraStatus
AMPHORA: Transitions = {
    (_A.PENDING_CREATE, _A.BOOTING): "the compute driver was asked for its place",
    (_A.PENDING_CREATE, _A.PENDING_DELETE): "it was released before its place was requested",
    (_A.BOOTING, _A.READY): "it answers, and serves no load balancer: a spare",
    (_A.BOOTING, _A.ALLOCATED): "it answers, and serves its load balancer",
    (_A.BOOTING, _A.ERROR): "it never answered",
    (_A.BOOTING, _A.PENDING_DELETE): "it was released while it was booting",
    (_A.READY, _A.ALLOCATED): "a load balancer took the spare",
    (_A.READY, _A.PENDING_DELETE): "the spare is no longer wanted",
    (_A.ALLOCATED, _A.PENDING_DELETE): "it was replaced, or its load balancer is being deleted",
    (_A.ALLOCATED, _A.ERROR): "it is broken and waits to be failed over",
    (_A.PENDING_DELETE, _A.DELETED): "its place was released; its row is removed",
    (_A.PENDING_DELETE, _A.ERROR): "its place could not be released; delete it again",
    (_A.ERROR, _A.PENDING_DELETE): "it was failed over, or a delete was accepted",
}

_O = OperationState
OPERATION: Transitions = {
    (_O.QUEUED, _O.RUNNING): "a worker leased the load balancer",
    (_O.QUEUED, _O.SUCCEEDED): "another operation did what it asked for",
    (_O.QUEUED, _O.FAILED): "a delete overtook it, or it was set aside",
    (_O.RUNNING, _O.SUCCEEDED): "what it asked for was done",
    (_O.RUNNING, _O.FAILED): "the reason is on the operation",
    (_O.RUNNING, _O.QUEUED): "it was handed back: its worker stopped, or it is worth retrying",
}

INITIAL: tuple[StrEnum, ...] = (_P.PENDING_CREATE, _A.PENDING_CREATE, _O.QUEUED, _O.RUNNING)
"""What a new row may start as. An operation starts RUNNING if its submitter leased the load balancer immediately."""

_TABLES: Mapping[type[StrEnum], Transitions] = {
    ProvisioningStatus: PROVISIONING,
    AmphoraStatus: AMPHORA,
    OperationState: OPERATION,
}


def sources(target: StrEnum) -> tuple[str, ...]:
    """The statuses from which ``target`` can be reached in one step, including ``target`` itself: an idempotent task
    writes it again."""
    table = _TABLES[type(target)]
    return (target.value, *(old.value for old, new in table if new == target))


def check_transition(kind: type[StrEnum], old: str | None, new: str) -> None:
    """Refuse a status change that is not in the table.

    Args:
        kind: which status enumeration.
        old: the present status; None for a new row.
        new: the wanted status.

    Raises:
        IllegalTransition: the table does not list the change. The error names both statuses.
    """
    wanted = kind(new)
    if old is None:
        if wanted not in INITIAL:
            raise IllegalTransition(f"a new row cannot start as {new}")
        return
    if old not in sources(wanted):
        raise IllegalTransition(f"{old} cannot become {new}")


SHOWN_AS_UPDATING = (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)
"""The stored statuses that are shown as PENDING_UPDATE while the load balancer has unfinished operations."""


def shown_status(stored: str, pending_operations: int) -> str:
    """The provisioning status that the user of a load balancer sees. An ACTIVE or ERROR load balancer with unfinished
    operations is shown as PENDING_UPDATE."""
    if pending_operations and stored in SHOWN_AS_UPDATING:
        return ProvisioningStatus.PENDING_UPDATE
    return stored


def diagram() -> str:
    """Return the tables as Mermaid state diagrams in Markdown."""
    origin = "Generated from `packages/portico/src/portico/status.py`;"
    parts = [f"# Statuses and their transitions\n\n{origin} `tests/unit/test_status.py` compares them.\n"]
    for kind, table in _TABLES.items():
        parts.append(f"\n## {kind.__name__}\n\n```mermaid\nstateDiagram-v2\n")
        parts.extend(f"    [*] --> {status.value}\n" for status in INITIAL if isinstance(status, kind))
        parts.extend(
            f"    {old.value} --> {new.value}: {reason.replace(';', ',')}\n" for (old, new), reason in table.items()
        )
        parts.append("```\n")
    return "".join(parts)
