"""Positions of a listener's policies, and how room is made between them.

The rows of the policies have positions, and so have unfinished operations: the position that each of them sets, and the
one that it restores if it fails. All of them are shifted together, so that whichever operations succeed, the positions
order the policies correctly and without ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, and_, select, update

from portico.resources import L7Policy, Operation
from portico.resources.l7policy import LAST_POSITION
from portico.resources.operation import UNFINISHED


@dataclass(frozen=True, slots=True)
class _Moving:
    """An unfinished operation that changes the position of its policy."""

    operation_id: str
    changes: Mapping[str, object]
    previous: Mapping[str, object]

    @property
    def places(self) -> tuple[int, int]:
        """The position to which it moves its policy, and the one that it restores if it fails."""
        return _position(self.changes), _position(self.previous)


def make_room(connection: Connection, listener_id: str, position: int, own_id: str | None = None) -> int:
    """Make room for a policy at the ``position``-th place among the listener's other policies: move the policies from
    there on down by one. Return the stored position that is now free.

    Stored positions order the policies. They have gaps where a policy was deleted or moved away; the positions that
    users see and set have none (``L7POLICY_VIEW``). ``own_id`` is the policy that moves; None if it is new.
    """
    mine = L7Policy.listener_id == listener_id
    waiting = and_(Operation.subject_id == L7Policy.id, Operation.state.in_(UNFINISHED))
    order = select(L7Policy.id, L7Policy.position, Operation.id, Operation.changes, Operation.previous)
    order = order.outerjoin(Operation, waiting).where(mine).order_by(L7Policy.position, L7Policy.id)
    stored = connection.execute(order).all()
    others: list[int] = list({policy_id: place for policy_id, place, *_ in stored if policy_id != own_id}.values())
    moving = [
        _Moving(operation_id, changes, previous or {})
        for _, _, operation_id, changes, previous in stored
        if changes is not None and "position" in changes
    ]
    if position > len(others):
        unfinished = [place for one in moving for place in one.places]
        return min(max([*(place for _, place, *_ in stored), *unfinished], default=0) + 1, LAST_POSITION)
    free = others[position - 1]
    connection.execute(update(L7Policy).where(mine, L7Policy.position >= free).values(position=L7Policy.position + 1))
    _shift_operations(connection, moving, free)
    return free


def _shift_operations(connection: Connection, moving: Iterable[_Moving], free: int) -> None:
    for one in moving:
        to, back = (place + 1 if place >= free else place for place in one.places)
        if (to, back) != one.places:
            values = {"changes": {**one.changes, "position": to}, "previous": {**one.previous, "position": back}}
            connection.execute(update(Operation).where(Operation.id == one.operation_id).values(**values))


def _position(values: Mapping[str, object]) -> int:
    return cast(int, values["position"])
