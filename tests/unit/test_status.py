"""Statuses change only as their tables allow, and the reference page shows these tables."""

from __future__ import annotations

from enum import StrEnum
from itertools import product
from pathlib import Path

import pytest

from portico import status
from portico.errors import Conflict, IllegalTransition
from portico.status import (
    AMPHORA,
    OPERATION,
    PROVISIONING,
    AmphoraStatus,
    OperationState,
    ProvisioningStatus,
    Transitions,
    check_transition,
    diagram,
    shown_status,
    sources,
)

_REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "statuses.md"
_TABLES: dict[type[StrEnum], Transitions] = {
    ProvisioningStatus: PROVISIONING,
    AmphoraStatus: AMPHORA,
    OperationState: OPERATION,
}
_ENDS: dict[type[StrEnum], set[str]] = {
    ProvisioningStatus: {"DELETED"},
    AmphoraStatus: {"DELETED"},
    OperationState: {"SUCCEEDED", "FAILED"},
}
_PAIRS = [(kind, old, new) for kind in _TABLES for old, new in product(kind, kind)]
_LEGAL = [(kind, old, new) for kind, old, new in _PAIRS if old == new or (old, new) in _TABLES[kind]]
_ILLEGAL = [pair for pair in _PAIRS if pair not in _LEGAL]


@pytest.mark.parametrize(("kind", "old", "new"), _LEGAL)
def test_a_listed_transition_is_permitted(kind: type[StrEnum], old: StrEnum, new: StrEnum) -> None:
    """A transition in the table is allowed, and so is writing the same status again, as idempotent tasks do."""
    check_transition(kind, old.value, new.value)

    assert old.value in sources(new)


@pytest.mark.parametrize(("kind", "old", "new"), _ILLEGAL)
def test_an_unlisted_transition_is_refused(kind: type[StrEnum], old: StrEnum, new: StrEnum) -> None:
    """A transition that is not in the table is refused, and the error names both statuses."""
    with pytest.raises(IllegalTransition, match=f"{old.value} cannot become {new.value}"):
        check_transition(kind, old.value, new.value)
    assert old.value not in sources(new)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        (ProvisioningStatus, "ACTIVE", "PENDING_CREATE"),
        (ProvisioningStatus, "ACTIVE", "ERROR"),
        (ProvisioningStatus, "PENDING_DELETE", "ACTIVE"),
        (ProvisioningStatus, "PENDING_DELETE", "PENDING_UPDATE"),
        (ProvisioningStatus, "DELETED", "ACTIVE"),
        (AmphoraStatus, "ALLOCATED", "READY"),
        (AmphoraStatus, "PENDING_DELETE", "ALLOCATED"),
        (AmphoraStatus, "DELETED", "BOOTING"),
        (OperationState, "SUCCEEDED", "RUNNING"),
        (OperationState, "FAILED", "QUEUED"),
    ],
)
def test_forbidden_transitions_are_not_in_a_table(kind: type[StrEnum], old: str, new: str) -> None:
    """No deleted object comes back, no serving object fails without a change, and no ended operation runs again."""
    with pytest.raises(IllegalTransition):
        check_transition(kind, old, new)


@pytest.mark.parametrize("kind", _TABLES)
def test_a_new_row_has_an_initial_status(kind: type[StrEnum]) -> None:
    """A new row starts with an initial status."""
    born = set()
    for member in kind:
        try:
            check_transition(kind, None, member.value)
        except IllegalTransition as error:
            assert member.value in str(error)  # noqa: PT017 - most members are refused, and each refusal is read
        else:
            born.add(member.value)

    assert born == ({"QUEUED", "RUNNING"} if kind is OperationState else {"PENDING_CREATE"})


@pytest.mark.parametrize("kind", _TABLES)
def test_every_status_can_be_reached_and_leads_to_an_end(kind: type[StrEnum]) -> None:
    """Every status can be reached, and from every status an end can be reached. No transition leads out of an end."""
    table = _TABLES[kind]
    starts = {"QUEUED", "RUNNING"} if kind is OperationState else {"PENDING_CREATE"}
    everything = {member.value for member in kind}

    assert _reach(starts, {(old.value, new.value) for old, new in table}) == everything
    assert _reach(_ENDS[kind], {(new.value, old.value) for old, new in table}) == everything
    assert not {old.value for old, _ in table} & _ENDS[kind]


def _reach(starts: set[str], steps: set[tuple[str, str]]) -> set[str]:
    reached = set(starts)
    while more := {new for old, new in steps if old in reached} - reached:
        reached |= more
    return reached


@pytest.mark.parametrize("kind", _TABLES)
def test_every_transition_has_its_reason(kind: type[StrEnum]) -> None:
    """The table gives a reason, in words, for each transition."""
    assert all(len(reason.split()) >= 2 for reason in _TABLES[kind].values())


def test_an_unknown_status_is_refused() -> None:
    """A misspelt status is refused."""
    with pytest.raises(ValueError, match="ACTIV"):
        check_transition(ProvisioningStatus, "ACTIVE", "ACTIV")


def test_an_illegal_transition_is_a_conflict() -> None:
    """Code that handles conflicts also handles illegal transitions."""
    assert issubclass(IllegalTransition, Conflict)


@pytest.mark.parametrize(
    ("stored", "pending", "shown"),
    [
        ("ACTIVE", 0, "ACTIVE"),
        ("ACTIVE", 1, "PENDING_UPDATE"),
        ("ERROR", 2, "PENDING_UPDATE"),
        ("ERROR", 0, "ERROR"),
        ("PENDING_CREATE", 1, "PENDING_CREATE"),
        ("PENDING_DELETE", 3, "PENDING_DELETE"),
    ],
)
def test_a_load_balancer_with_unfinished_operations_shows_an_update(stored: str, pending: int, shown: str) -> None:
    """The shown status is derived from the unfinished operations and never stored, so it cannot get stuck."""
    assert shown_status(stored, pending) == shown


def test_the_reference_page_is_generated_from_the_tables() -> None:
    """docs/reference/statuses.md is the output of ``python -m portico.status``."""
    assert _REFERENCE.read_text().strip() == diagram().strip()
    assert status.__doc__
    assert str(_REFERENCE.relative_to(_REFERENCE.parents[2])) in status.__doc__


@pytest.mark.parametrize("kind", _TABLES)
def test_the_diagram_draws_every_transition(kind: type[StrEnum]) -> None:
    """Each transition of each table is an arrow in its diagram."""
    [drawing] = [part for part in diagram().split("\n## ") if part.startswith(kind.__name__ + "\n")]

    assert all(f"    {old.value} --> {new.value}: " in drawing for old, new in _TABLES[kind])
