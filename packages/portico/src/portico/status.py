"""Statuses, their legal transitions and the reason for each: the only place that knows.

``PENDING_UPDATE`` of a load balancer whose *children* are being changed is not stored: it is what is shown while
operations are unfinished, so it cannot get stuck (``shown_status``).
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
    """How an object fares in traffic, in the words of the Octavia v2 API."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DEGRADED = "DEGRADED"
    DRAINING = "DRAINING"
    NO_MONITOR = "NO_MONITOR"
    ERROR = "ERROR"


class AmphoraStatus(StrEnum):
    """Where an amphora is in its life. READY is a spare; ALLOCATED serves a load balancer."""

    PENDING_CREATE = "PENDING_CREATE"
    BOOTING = "BOOTING"
    READY = "READY"
    ALLOCATED = "ALLOCATED"
    PENDING_DELETE = "PENDING_DELETE"
    ERROR = "ERROR"
    DELETED = "DELETED"


class AmphoraRole(StrEnum):
    """The part an amphora plays for its load balancer."""

    STANDALONE = "STANDALONE"
    MASTER = "MASTER"
    BACKUP = "BACKUP"


class OperationState(StrEnum):
    """The life of an operation."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


Transitions = Mapping[tuple[StrEnum, StrEnum], str]

_P = ProvisioningStatus
PROVISIONING: Transitions = {
    (_P.PENDING_CREATE, _P.ACTIVE): "its first configuration was applied",
    (_P.PENDING_CREATE, _P.ERROR): "it could not be built",
    (_P.PENDING_CREATE, _P.PENDING_DELETE): "deleted before it was built",
    (_P.PENDING_CREATE, _P.PENDING_UPDATE): "built, and changed again meanwhile",
    (_P.ACTIVE, _P.PENDING_UPDATE): "a change was accepted",
    (_P.ACTIVE, _P.PENDING_DELETE): "a delete was accepted",
    (_P.PENDING_UPDATE, _P.ACTIVE): "the change was applied",
    (_P.PENDING_UPDATE, _P.ERROR): "the change failed; the previous values are back",
    (_P.PENDING_UPDATE, _P.PENDING_DELETE): "a delete was accepted before the change was applied",
    (_P.PENDING_DELETE, _P.DELETED): "everything it had was given back; its row goes",
    (_P.PENDING_DELETE, _P.ERROR): "something it had could not be given back; delete it again",
    (_P.ERROR, _P.ACTIVE): "a failover built it again",
    (_P.ERROR, _P.PENDING_UPDATE): "another change was accepted",
    (_P.ERROR, _P.PENDING_DELETE): "a delete was accepted",
}

_A = AmphoraStatus
AMPHORA: Transitions = {
    (_A.PENDING_CREATE, _A.BOOTING): "its place was asked for",
    (_A.PENDING_CREATE, _A.PENDING_DELETE): "given back before it was asked for",
    (_A.BOOTING, _A.READY): "it answers, and serves nobody: a spare",
    (_A.BOOTING, _A.ALLOCATED): "it answers, and serves its load balancer",
    (_A.BOOTING, _A.ERROR): "it never answered",
    (_A.BOOTING, _A.PENDING_DELETE): "given back while booting",
    (_A.READY, _A.ALLOCATED): "a load balancer took the spare",
    (_A.READY, _A.PENDING_DELETE): "the spare is not wanted any more",
    (_A.ALLOCATED, _A.PENDING_DELETE): "replaced, or its load balancer is deleted",
    (_A.ALLOCATED, _A.ERROR): "it is broken and waits for its failover",
    (_A.PENDING_DELETE, _A.DELETED): "its place was given back; its row goes",
    (_A.PENDING_DELETE, _A.ERROR): "its place could not be given back; delete it again",
    (_A.ERROR, _A.PENDING_DELETE): "failed over, or deleted",
}

_O = OperationState
OPERATION: Transitions = {
    (_O.QUEUED, _O.RUNNING): "a worker leased the load balancer",
    (_O.QUEUED, _O.SUCCEEDED): "done together with others",
    (_O.QUEUED, _O.FAILED): "overtaken by a delete, or set aside",
    (_O.RUNNING, _O.SUCCEEDED): "the world is as wanted",
    (_O.RUNNING, _O.FAILED): "the reason is on the operation",
    (_O.RUNNING, _O.QUEUED): "handed back: its worker stopped, or it is worth another try",
}

INITIAL: tuple[StrEnum, ...] = (_P.PENDING_CREATE, _A.PENDING_CREATE, _O.QUEUED, _O.RUNNING)
"""What a new row may start as. An operation starts RUNNING where its submitter leased the load balancer at once."""

_TABLES: Mapping[type[StrEnum], Transitions] = {
    ProvisioningStatus: PROVISIONING,
    AmphoraStatus: AMPHORA,
    OperationState: OPERATION,
}


def sources(target: StrEnum) -> tuple[str, ...]:
    """The statuses from which ``target`` may be reached in one step, ``target`` itself included (writing it again is
    what an idempotent task does)."""
    table = _TABLES[type(target)]
    return (target.value, *(old.value for old, new in table if new == target))


def check_transition(kind: type[StrEnum], old: str | None, new: str) -> None:
    """Refuse a status change that is not in the table.

    Args:
        kind: which status enumeration.
        old: the present status; None for a new row.
        new: the wanted one.

    Raises:
        IllegalTransition: naming both.
    """
    wanted = kind(new)
    if old is None:
        if wanted not in INITIAL:
            raise IllegalTransition(f"a new row cannot start as {new}")
        return
    if old not in sources(wanted):
        raise IllegalTransition(f"{old} cannot become {new}")


SHOWN_AS_UPDATING = (ProvisioningStatus.ACTIVE, ProvisioningStatus.ERROR)
"""What a load balancer with unfinished operations is not shown as."""


def shown_status(stored: str, pending_operations: int) -> str:
    """What a load balancer's provisioning status is for its user: an ACTIVE (or ERROR) one with unfinished operations
    is being updated."""
    if pending_operations and stored in SHOWN_AS_UPDATING:
        return ProvisioningStatus.PENDING_UPDATE
    return stored


def diagram() -> str:
    """The tables as Mermaid state diagrams in Markdown."""
    origin = "Generated from `packages/portico/src/portico/status.py`;"
    parts = [f"# Statuses and their transitions\n\n{origin} `tests/unit/test_status.py` keeps it true.\n"]
    for kind, table in _TABLES.items():
        parts.append(f"\n## {kind.__name__}\n\n```mermaid\nstateDiagram-v2\n")
        parts.extend(f"    [*] --> {status.value}\n" for status in INITIAL if isinstance(status, kind))
        parts.extend(
            f"    {old.value} --> {new.value}: {reason.replace(';', ',')}\n" for (old, new), reason in table.items()
        )
        parts.append("```\n")
    return "".join(parts)
