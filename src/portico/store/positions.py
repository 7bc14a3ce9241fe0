"""Positions of a listener's policies, and how room is made between them."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from portico.resources import L7Policy
from portico.resources.l7policy import LAST_POSITION


def make_room(connection: Connection, listener_id: str, position: int, own_id: str | None = None) -> int:
    """Move the policies of a listener from the place that is the ``position``-th among those of others on down by one;
    returns what is free now.

    What is stored orders the policies and may have gaps, where one was deleted or moved away; what users see and say
    has none (``L7POLICY_VIEW``). ``own_id``: the policy that moves.
    """
    mine = L7Policy.listener_id == listener_id
    order = select(L7Policy.id, L7Policy.position).where(mine).order_by(L7Policy.position, L7Policy.id)
    stored = connection.execute(order).all()
    others = [row.position for row in stored if row.id != own_id]
    if position > len(others):
        return min(max((row.position for row in stored), default=0) + 1, LAST_POSITION)
    free: int = others[position - 1]
    connection.execute(update(L7Policy).where(mine, L7Policy.position >= free).values(position=L7Policy.position + 1))
    return free
