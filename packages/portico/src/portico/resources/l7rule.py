"""L7 rules: conditions on a request."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Required, Self

from pydantic import Field, model_validator
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from portico.resources.l7rule_value import has_bare_blank, holds_nothing
from portico.resources.regular_expression import InvalidExpression
from portico.resources.regular_expression_cost import engine_spelling
from portico.resources.row import FieldError, NewObject, ObjectUpdates, Part, Printable, Row, Spec, exact_text
from portico.resources.view import OF_PART, Shown, View, own_fields
from portico.settings import ValidationSettings


class RuleType(StrEnum):
    """What a rule looks at."""

    HOST_NAME = "HOST_NAME"
    PATH = "PATH"
    FILE_TYPE = "FILE_TYPE"
    HEADER = "HEADER"
    COOKIE = "COOKIE"
    SSL_CONN_HAS_CERT = "SSL_CONN_HAS_CERT"
    SSL_VERIFY_RESULT = "SSL_VERIFY_RESULT"
    SSL_DN_FIELD = "SSL_DN_FIELD"


class Comparison(StrEnum):
    """How a rule compares."""

    REGEX = "REGEX"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    CONTAINS = "CONTAINS"
    EQUAL_TO = "EQUAL_TO"


_KEYED = (RuleType.HEADER, RuleType.COOKIE)
_TLS = (RuleType.SSL_CONN_HAS_CERT, RuleType.SSL_VERIFY_RESULT, RuleType.SSL_DN_FIELD)
MAX_RULES = 50
"""The most rules in one policy, as in the reference."""
_COOKIE_VALUE = re.compile(r"[!#-:<-~]+")
_QUOTED = re.compile(r""".*(["']).*\1.*""")
_VALUE = re.compile(r"[ -~]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class L7Rule(Part, Row):
    """One rule of a policy."""

    __tablename__ = "l7rule"

    l7policy_id: Mapped[str] = mapped_column(ForeignKey("l7policy.id", ondelete="CASCADE"), index=True)
    type: Mapped[str] = mapped_column(exact_text(32))
    compare_type: Mapped[str] = mapped_column(exact_text(16))
    key: Mapped[str | None] = mapped_column(exact_text(255), default=None)
    value: Mapped[str] = mapped_column(exact_text(255))
    invert: Mapped[bool] = mapped_column(default=False)


_Type = Literal[
    "HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE", "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"
]
_Comparison = Literal["REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "EQUAL_TO"]


class _RuleOptions(ObjectUpdates, total=False):
    key: str | None
    invert: bool | None


class L7RuleUpdates(_RuleOptions, total=False):
    """The fields of an L7 rule that an update may change."""

    type: _Type
    compare_type: _Comparison
    value: str


class L7RuleFields(_RuleOptions, NewObject, total=False):
    """The fields that describe an L7 rule.

    type: "HOST_NAME", "PATH", "FILE_TYPE", "HEADER" or "COOKIE"; others are refused today.
    compare_type: "REGEX", "STARTS_WITH", "ENDS_WITH", "CONTAINS" or "EQUAL_TO".
    key: the name of the header or cookie.
    value: the value to compare with.
    invert: match where the rule would otherwise not match, and the reverse.
    """

    type: Required[_Type]
    compare_type: Required[_Comparison]
    value: Required[str]


class L7RuleSpec(Spec):
    """The fields that a user may set on a rule. ``key`` is the header's or cookie's name; other types do not use it."""

    IMMUTABLE: ClassVar[frozenset[str]] = frozenset({"project_id"})

    type: _Type
    compare_type: _Comparison
    key: Annotated[str, Field(max_length=255), Printable] | None = None
    value: Annotated[str, Field(min_length=1, max_length=255), Printable]
    invert: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type in _TLS:
            raise FieldError(
                "type", f"{self.type} rules need TLS termination, which is not built yet", unsupported=True
            )
        if self.type in _KEYED and not self.key:
            raise FieldError("key", f"is required with {self.type}: the name of the {self.type.lower()}")
        if self.key and not _TOKEN.fullmatch(self.key):
            raise FieldError("key", "must be a name as RFC 9110 defines it")
        if self.type == RuleType.FILE_TYPE and self.compare_type not in (Comparison.EQUAL_TO, Comparison.REGEX):
            raise FieldError("compare_type", "FILE_TYPE rules compare by EQUAL_TO or REGEX")
        if self.compare_type == Comparison.REGEX:
            try:
                engine_spelling(self.value)
            except InvalidExpression as error:
                raise FieldError(
                    "value", f"is not a regular expression that all engines accept with the same meaning: {error}"
                ) from None
        else:
            self._check_value()
        return self

    def _check_value(self) -> None:
        if not _VALUE.fullmatch(self.value) or has_bare_blank(self.value):
            raise FieldError("value", "must be printable ASCII, with blanks only within quotes")
        if holds_nothing(self.value):
            raise FieldError("value", "must have something within its quotes")
        if (
            self.type == RuleType.COOKIE
            and not _COOKIE_VALUE.fullmatch(self.value)
            and not _QUOTED.fullmatch(self.value)
        ):
            raise FieldError("value", "must have only characters that are valid in a cookie's value, or be in quotes")

    @classmethod
    def parse_changes(
        cls,
        present: dict[str, Any],
        changes: dict[str, Any],
        settings: ValidationSettings,
        *,
        also: frozenset[str] = frozenset(),
    ) -> tuple[Self, dict[str, Any]]:
        """Check an update as ``Spec.parse_changes`` does, but let a condition that an older version accepted stay as it
        is when only other fields change."""
        if not _CONDITION.keys().isdisjoint(changes):
            return super().parse_changes(present, changes, settings, also=also)
        spec, changed = super().parse_changes({**present, **_CONDITION}, changes, settings, also=also)
        return spec.model_copy(update={name: present[name] for name in _CONDITION}), changed


_CONDITION: dict[str, Any] = {"type": "PATH", "compare_type": "EQUAL_TO", "key": None, "value": "/"}
"""A condition that passes every check."""


L7RULE_VIEW = View(
    "rule",
    "rules",
    {
        **own_fields(L7Rule),
        "type": Shown(L7Rule.type),
        "compare_type": Shown(L7Rule.compare_type),
        "key": Shown(L7Rule.key),
        "value": Shown(L7Rule.value),
        "invert": Shown(L7Rule.invert),
        "l7policy_id": Shown(L7Rule.l7policy_id, hidden=True),
        "loadbalancer_id": Shown(L7Rule.load_balancer_id, hidden=True),
    },
    OF_PART,
)
