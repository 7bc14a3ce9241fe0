"""What all tables and specs have in common: the declarative base, the columns of every API object, and strict specs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict, cast
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationInfo
from pydantic import ValidationError as PydanticValidationError
from sqlalchemy import JSON, Constraint, DateTime, ForeignKey, Index, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import TypeEngine

from portico.errors import InvalidInput, NotSupported
from portico.resources.spelling import did_you_mean
from portico.settings import ValidationSettings
from portico.status import OperatingStatus, ProvisioningStatus


def exact_text(length: int | None = None) -> TypeEngine[str]:
    """The type of every text column: values are compared exactly and sorted by code point on every database.

    MariaDB's default collation treats ``Web``, ``web``, ``wéb`` and ``web `` as equal, and PostgreSQL's sorts by the
    language of the server. ``length`` is in characters; None is unlimited.
    """
    if length is None:
        on_mariadb: TypeEngine[str] = mysql.TEXT(collation=_BINARY)
        return Text().with_variant(on_mariadb, "mysql", "mariadb").with_variant(Text(collation="C"), "postgresql")
    on_mariadb = mysql.VARCHAR(length, collation=_BINARY)
    on_postgresql = String(length, collation="C")
    return String(length).with_variant(on_mariadb, "mysql", "mariadb").with_variant(on_postgresql, "postgresql")


_BINARY = "utf8mb4_nopad_bin"
UUID = exact_text(36)
"""Ids are random UUIDs in their canonical text form, chosen before anything is made outside."""

TIMESTAMP = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""Microseconds on every database: ``updated_at`` also shows whether a row was changed since it was read."""
_JSON = JSON(none_as_null=True)


def new_id() -> str:
    """A random UUID as text."""
    return str(uuid4())


def utc_now() -> datetime:
    """The time by this process's clock, in UTC without a zone. It is for people to read, never for leases, which use
    the database's clock."""
    return datetime.now(UTC).replace(tzinfo=None)


class Row(DeclarativeBase):
    """Base of all tables. Constraints are named, so that migrations can change them on every database."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: _JSON,
        list[str]: _JSON,
        list[Any]: _JSON,
        datetime: TIMESTAMP,
    }


def table_of(model: type[Row]) -> Table:
    """The table of a mapped class, typed as ``Table``."""
    return cast(Table, model.__table__)


class ApiObject:
    """Mixin with the columns of every object of the v2 API, and the indexes for its lists: oldest first, for all
    projects or for one. Mapped classes name their own constraints in ``CONSTRAINTS``."""

    CONSTRAINTS: ClassVar[tuple[Constraint, ...]] = ()
    __tablename__: str

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[Constraint | Index, ...]:
        own, name = cls.CONSTRAINTS, cls.__tablename__
        return (
            *own,
            Index(f"ix_{name}_age", "created_at", "id"),
            Index(f"ix_{name}_project_age", "project_id", "created_at", "id"),
        )

    id: Mapped[str] = mapped_column(UUID, primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(exact_text(64), default="")
    name: Mapped[str] = mapped_column(exact_text(255), index=True, default="")
    description: Mapped[str] = mapped_column(exact_text(255), default="")
    admin_state_up: Mapped[bool] = mapped_column(default=True)
    provisioning_status: Mapped[str] = mapped_column(exact_text(16), default=ProvisioningStatus.PENDING_CREATE)
    operating_status: Mapped[str] = mapped_column(exact_text(16), default=OperatingStatus.OFFLINE)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime | None] = mapped_column(default=None)


class Part(ApiObject):
    """An object that lives within a load balancer and is part of its configuration."""

    load_balancer_id: Mapped[str] = mapped_column(ForeignKey("load_balancer.id", ondelete="CASCADE"), index=True)
    applied: Mapped[bool] = mapped_column(default=False)
    """Whether it has been part of a configuration that the amphorae accepted. Until then, it is left out when the
    configuration is rendered for another object's change."""


def _refuse_control_characters(value: str) -> str:
    for position, character in enumerate(value):
        if not character.isprintable():
            raise ValueError(f"must not contain control or invisible characters (position {position}: {character!r})")
    return value


def _count(value: Any) -> int:
    """Count the values within a value, at every depth. Stops once there are too many."""
    if not isinstance(value, list | dict):
        return 1
    count = len(value)
    for one in value.values() if isinstance(value, dict) else value:
        if count > MOST_VALUES:
            break
        count += _count(one) if isinstance(one, list | dict) else 0
    return count


MOST_VALUES = 4096
"""The most values in one attribute, counted at every depth. Validation collects an error for each wrong value before
the first one is reported, and each costs memory."""
Printable = AfterValidator(_refuse_control_characters)
Name = Annotated[str, StringConstraints(max_length=255), Printable]
"""A name or description: at most 255 printable characters."""
Id = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
"""The id of another object: a UUID in canonical form."""
Reference = Annotated[str, StringConstraints(max_length=255), Printable]
"""A reference to a secret. Clients send ``""`` for none."""
Ciphers = Annotated[str, StringConstraints(max_length=2048), Printable]
"""An OpenSSL cipher string."""
Url = Annotated[str, StringConstraints(min_length=1, max_length=255), Printable]


TlsVersion = Literal["SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]
AlpnProtocol = Literal["h2", "http/1.1", "http/1.0"]


class ObjectUpdates(TypedDict, total=False):
    """The fields of every object that an update may change, as a type for editors, for mypy and for readers of a
    signature.

    Each kind has two such types beside its spec: ``<Kind>Fields``, the fields that describe a new object, and
    ``<Kind>Updates``, the fields that an update may change. In an update, None resets a field to its default, and a
    field that is left out stays as it is. The spec has the ranges and rules, and decides what is accepted;
    ``tests/unit/test_fields.py`` checks that both have the same names and types.
    """

    name: str | None
    description: str | None
    admin_state_up: bool | None
    tags: list[str] | None


class NewObject(TypedDict, total=False):
    """The other fields that may describe any new object."""

    id: str | None
    project_id: str | None


class Spec(BaseModel):
    """The fields that a user may set on an object, with their types, ranges, defaults and rules.

    Types are strict (``"5"`` is not a number). ``IMMUTABLE`` names the fields that only a create may set.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_enum_values=True, defer_build=True)
    IMMUTABLE: ClassVar[frozenset[str]] = frozenset()

    name: Name = ""
    description: Name = ""
    admin_state_up: bool = True
    project_id: Annotated[str, StringConstraints(max_length=64), Printable] = ""
    tags: list[Annotated[str, StringConstraints(max_length=255), Printable]] = []

    @classmethod
    def parse(cls, values: dict[str, Any], settings: ValidationSettings) -> Self:
        """Check ``values`` (field name to value; None means the default).

        Raises:
            InvalidInput: names the first field that breaks a rule.
            NotSupported: a value is legal, but not supported here.
        """
        for name in values:
            cls._check_name(name)
        given = {name: value for name, value in values.items() if value is not None}
        for name, value in given.items():
            if _count(value) > MOST_VALUES:
                raise InvalidInput(name, f"must not contain more than {MOST_VALUES} values")
        try:
            return cls.model_validate(given, context=settings)
        except PydanticValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or str(cls.__name__).removesuffix("Spec").lower()
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, FieldError):
                kind = NotSupported if cause.unsupported else InvalidInput
                raise kind(cause.field or field, cause.rule) from None
            raise InvalidInput(field, rule_of(first)) from None

    @classmethod
    def parse_changes(
        cls,
        present: dict[str, Any],
        changes: dict[str, Any],
        settings: ValidationSettings,
        *,
        also: frozenset[str] = frozenset(),
    ) -> tuple[Self, dict[str, Any]]:
        """Check an update: the object as it would be afterwards must satisfy every rule.

        Args:
            present: the writable fields with their present values.
            changes: changed attributes; None resets one to its default.
            settings: the settings to check against.
            also: attributes that may be changed although otherwise only a create sets them.

        Returns: the object as it would be, and the changed attributes with their new values (defaults filled in for
        None).

        Raises:
            InvalidInput: a field is unknown or immutable, or breaks a rule.
        """
        if not isinstance(changes, dict):
            raise InvalidInput("updates", "must be a dict of changed attributes")
        for name in changes:
            cls._check_name(name)
            if name in cls.IMMUTABLE - also:
                raise InvalidInput(name, "cannot be changed after creation")
        completed = cls.complete(present, changes)
        result = cls.parse({**present, **completed}, settings)
        dumped = result.model_dump()
        return result, {name: dumped[name] for name in completed}

    @classmethod
    def _check_name(cls, name: Any) -> None:
        if name not in cls.model_fields:
            rule = f"is not an attribute that can be set{did_you_mean(name, cls.model_fields)}"
            raise InvalidInput(str(name), rule)

    @classmethod
    def complete(cls, present: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """The changes, completed by other attributes that they imply. For most kinds, they imply none."""
        del present
        return dict(changes)

    @classmethod
    def columns_elsewhere(cls, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that store some of ``fields`` under other names, or in addition to the field's own column. Most
        kinds have none."""
        del fields
        return {}

    @classmethod
    def fields_elsewhere(cls, row: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that the columns of a row store under other names. Most kinds have none."""
        del row
        return {}


def rule_of(error: Any) -> str:
    """The rule that was broken according to pydantic, worded for users. For enumerations, the wording is the one by
    which clients' test suites recognise that a value is not offered."""
    if error["type"] == "literal_error":
        return not_offered(error["input"], str(error["ctx"]["expected"]).replace("'", "").replace(" or ", ", "))
    if error["type"] == "extra_forbidden":
        return "is not an attribute that can be set"
    message = str(error["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def not_offered(value: Any, offered: str) -> str:
    """The rule that was broken by a ``value`` that is not in an enumeration."""
    return f"Value: {str(value)[:64]!r}. Value should be one of: {offered}"


class FieldError(ValueError):
    """A broken rule that names its own field. ``unsupported`` is set if the value is legal but not supported here."""

    def __init__(self, field: str, rule: str, *, unsupported: bool = False) -> None:
        super().__init__(rule)
        self.field, self.rule, self.unsupported = field, rule, unsupported


def validation_settings(info: ValidationInfo) -> ValidationSettings:
    """The settings that a spec is being checked against."""
    return info.context if isinstance(info.context, ValidationSettings) else ValidationSettings()


def one_of(kind: type[StrEnum]) -> str:
    """The values of an enumeration, listed for messages."""
    return ", ".join(member.value for member in kind)
