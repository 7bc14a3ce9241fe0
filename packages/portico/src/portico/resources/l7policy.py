"""L7 policies: what to do with a request that matches all rules of a policy."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Required, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from sqlalchemy import ForeignKey, and_, case, func, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.row import FieldError, Id, NewObject, ObjectUpdates, Part, Row, Spec, Url, exact_text, table_of
from portico.resources.view import OF_PART, Related, Shown, View, own_fields


class PolicyAction(StrEnum):
    """What a policy does with a request."""

    REDIRECT_TO_POOL = "REDIRECT_TO_POOL"
    REDIRECT_TO_URL = "REDIRECT_TO_URL"
    REDIRECT_PREFIX = "REDIRECT_PREFIX"
    REJECT = "REJECT"


TARGET_FIELD = {
    PolicyAction.REDIRECT_TO_POOL: "redirect_pool_id",
    PolicyAction.REDIRECT_TO_URL: "redirect_url",
    PolicyAction.REDIRECT_PREFIX: "redirect_prefix",
}
_URL_ACTIONS = (PolicyAction.REDIRECT_TO_URL.value, PolicyAction.REDIRECT_PREFIX.value)
LAST_POSITION = 2147483647
"""The API's value for "after all others"."""


class L7Policy(Part, Row):
    """One policy of a listener. The policy at position 1 is evaluated first."""

    __tablename__ = "l7policy"

    listener_id: Mapped[str] = mapped_column(ForeignKey("listener.id", ondelete="CASCADE"), index=True)
    action: Mapped[str] = mapped_column(exact_text(32))
    redirect_pool_id: Mapped[str | None] = mapped_column(
        ForeignKey("pool.id", ondelete="SET NULL"), default=None, index=True
    )
    redirect_url: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    redirect_prefix: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    redirect_http_code: Mapped[int | None] = mapped_column(default=None)
    position: Mapped[int] = mapped_column(default=LAST_POSITION)


_Action = Literal["REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX", "REJECT"]
_Code = Literal[301, 302, 303, 307, 308]


class _PolicyOptions(ObjectUpdates, total=False):
    redirect_pool_id: str | None
    redirect_url: str | None
    redirect_prefix: str | None
    redirect_http_code: _Code | None
    position: int | None


class L7PolicyUpdates(_PolicyOptions, total=False):
    """The fields of an L7 policy that an update may change."""

    action: _Action


class L7PolicyFields(_PolicyOptions, NewObject, total=False):
    """The fields that describe an L7 policy.

    action: "REDIRECT_TO_POOL", "REDIRECT_TO_URL", "REDIRECT_PREFIX" or "REJECT".
    redirect_pool_id, redirect_url, redirect_prefix: the target; set the one that the action needs.
    redirect_http_code: 301, 302, 303, 307 or 308, for redirects to a URL or prefix; 302 if not set.
    position: 1 is evaluated first; a policy at an occupied position moves the others down; last if not set.
    """

    action: Required[_Action]


class L7PolicySpec(Spec):
    """The fields that a user may set on a policy. ``redirect_http_code`` defaults to 302 for the two redirects to
    URLs."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id"})

    action: _Action
    redirect_pool_id: Id | None = None
    redirect_url: Url | None = None
    redirect_prefix: Url | None = None
    redirect_http_code: _Code | None = None
    position: Annotated[int, Field(ge=1, le=LAST_POSITION)] = LAST_POSITION

    @classmethod
    def complete(cls, present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Where no action is named, the target decides it. The target and the code of the previous action are cleared
        when the action changes."""
        targets = [kind for kind, field in TARGET_FIELD.items() if changes.get(field) is not None]
        completed = dict(changes)
        if completed.get("action") is None and len(targets) == 1:
            completed["action"] = targets[0].value
        if completed.get("action") in (None, present.get("action")):
            return completed
        return {"redirect_http_code": None, **completed, **dict.fromkeys(_unused_fields(completed["action"]))}

    @model_validator(mode="after")
    def _check(self) -> Self:
        action = PolicyAction(self.action)
        needed = TARGET_FIELD.get(action)
        if needed is not None and getattr(self, needed) is None:
            raise FieldError(needed, f"is required with {action}")
        for field in ("redirect_url", "redirect_prefix"):
            value = getattr(self, field)
            if value is not None:
                check_url(field, value)
        # Fields that the action does not use are dropped, as in the reference: clients send all fields of their forms.
        return self.model_copy(update=dict.fromkeys(_unused_fields(action)))


def _unused_fields(action: Any) -> list[str]:
    """The attributes that only other actions use."""
    targets = [field for kind, field in TARGET_FIELD.items() if kind != action]
    return targets if action in _URL_ACTIONS else [*targets, "redirect_http_code"]


def check_url(field: str, value: str) -> None:
    """Refuse a value that is not an absolute http or https URL of ASCII characters without white space or quotes."""
    try:
        parts = urlsplit(value)
    except ValueError:
        raise FieldError(field, "must be an absolute http or https URL") from None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise FieldError(field, "must be an absolute http or https URL")
    if not value.isascii() or any(character in " \"'\\<>^`{|}" for character in value):
        raise FieldError(field, "contains a character that a URL must percent-encode")


_SHOWN_CODE = case(
    (L7Policy.action.in_(_URL_ACTIONS), func.coalesce(L7Policy.redirect_http_code, 302)),
    else_=L7Policy.redirect_http_code,
)


def _place() -> Any:
    """The policy's number among the policies of its listener, from 1: stored positions can have gaps."""
    other = table_of(L7Policy).alias("other_policy")
    before = or_(
        other.c.position < L7Policy.position, and_(other.c.position == L7Policy.position, other.c.id <= L7Policy.id)
    )
    counted = select(func.count()).select_from(other).where(other.c.listener_id == L7Policy.listener_id, before)
    return counted.correlate(table_of(L7Policy)).scalar_subquery()


L7POLICY_VIEW = View(
    "l7policy",
    "l7policies",
    {
        **own_fields(L7Policy, name=L7Policy.name, description=L7Policy.description),
        "listener_id": Shown(L7Policy.listener_id),
        "action": Shown(L7Policy.action),
        "redirect_pool_id": Shown(L7Policy.redirect_pool_id),
        "redirect_url": Shown(L7Policy.redirect_url),
        "redirect_prefix": Shown(L7Policy.redirect_prefix),
        "redirect_http_code": Shown(_SHOWN_CODE, schema={"type": ["integer", "null"]}),
        "position": Shown(_place(), schema={"type": "integer"}),
        "rules": Related("l7rule", "l7policy_id"),
        "loadbalancer_id": Shown(L7Policy.load_balancer_id, hidden=True),
    },
    OF_PART,
)
