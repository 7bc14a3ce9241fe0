"""Quotas: how many objects of each kind a project may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import case, func
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.kinds import KINDS
from portico.resources.row import Row, exact_text
from portico.resources.view import Shown, View


class Quota(Row):
    """Limits of one project; None means the deployment's default, -1 no limit.

    Usage is counted from the rows and never stored, so that it cannot drift. A row is also used as a lock, so it stays
    even when it no longer sets a limit.
    """

    __tablename__ = "quota"

    project_id: Mapped[str] = mapped_column(exact_text(64), primary_key=True)
    load_balancer: Mapped[int | None] = mapped_column(default=None)
    listener: Mapped[int | None] = mapped_column(default=None)
    pool: Mapped[int | None] = mapped_column(default=None)
    member: Mapped[int | None] = mapped_column(default=None)
    health_monitor: Mapped[int | None] = mapped_column(default=None)
    l7policy: Mapped[int | None] = mapped_column(default=None)
    l7rule: Mapped[int | None] = mapped_column(default=None)


QUOTA_KINDS: Mapping[str, str] = {kind.name.value: kind.quota for kind in KINDS.values() if kind.quota is not None}
"""The kinds that are limited, and their names in messages."""
QUOTA_NAMES = {"loadbalancer": "load_balancer", "healthmonitor": "health_monitor"}
"""Second spellings that the API accepts and shows as well."""
Limit = Annotated[int, Field(ge=-1, le=2147483647)] | None


class QuotaSpec(BaseModel):
    """The limits that an operator may set: -1 is no limit, None the default."""

    model_config = ConfigDict(extra="forbid", strict=True)

    load_balancer: Limit = None
    listener: Limit = None
    pool: Limit = None
    member: Limit = None
    health_monitor: Limit = None
    l7policy: Limit = None
    l7rule: Limit = None


_LIMITED = case((func.coalesce(*(getattr(Quota, kind) for kind in QUOTA_KINDS)).is_not(None), "yes"), else_="no")
"""Whether the row sets any limit."""

QUOTA_VIEW = View(
    "quota",
    "quotas",
    {
        "project_id": Shown(Quota.project_id),
        **{kind: Shown(getattr(Quota, kind)) for kind in QUOTA_KINDS},
        "limited": Shown(_LIMITED, hidden=True),
    },
    {**QUOTA_NAMES, "tenant_id": "project_id"},
    id_field="project_id",
)
