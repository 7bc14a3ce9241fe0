"""Offers: what flavors and availability zones have in common. An operator offers them, and users pick one by name. Each
has a profile, which defines what it means to a provider."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic import ValidationError as PydanticValidationError

from portico.errors import InvalidInput, NotSupported
from portico.resources.row import Printable

PROVIDERS: Mapping[str, str] = {
    "amphora": "HAProxy in amphorae that Portico runs.",
    "octavia": "The same as amphora, under the name that clients of Octavia may ask for.",
}
"""The providers that load balancers may name, with their descriptions."""
ProviderName = Literal["amphora", "octavia"]
OfferName = Annotated[str, StringConstraints(min_length=1, max_length=255), Printable]
Data = Annotated[str, Field(max_length=4096)]
"""Provider options as JSON in a string, as in the v2 API."""


class OfferSpec(BaseModel):
    """The fields that an operator may set on an offer or a profile. ``IMMUTABLE`` names those that only a create may
    set."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    IMMUTABLE: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def parse(cls, values: Mapping[str, object]) -> Self:
        """Check ``values``; None means the default.

        Raises:
            InvalidInput: names the first field that breaks a rule.
        """
        try:
            return cls.model_validate({name: value for name, value in values.items() if value is not None})
        except PydanticValidationError as error:
            first = error.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            field = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(field, message[:1].lower() + message[1:]) from None


def check_data(field: str, text: str, capabilities: Mapping[str, tuple[str, tuple[str, ...]]]) -> None:
    """Check the options in a profile's JSON string.

    Args:
        field: the argument's name.
        text: a JSON object whose values are strings.
        capabilities: option to its description and its allowed values (none listed: any text).

    Raises:
        InvalidInput: ``text`` is not a JSON object, or a value has the wrong type.
        NotSupported: the provider does not have an option, or does not support its value.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidInput(field, "must be a JSON object in a string") from None
    if not isinstance(data, dict):
        raise InvalidInput(field, "must be a JSON object in a string")
    for name, value in data.items():
        if name not in capabilities:
            raise NotSupported(field, f"the provider has no option {name[:64]!r}; it has {', '.join(capabilities)}")
        if not isinstance(value, str) or not value.isprintable() or len(value) > 255:
            raise InvalidInput(field, f"{name} must be at most 255 printable characters")
        allowed = capabilities[name][1]
        if allowed and value not in allowed:
            raise NotSupported(field, f"{name} must be one of {', '.join(allowed)}")
