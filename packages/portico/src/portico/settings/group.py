"""The base class of all groups of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic._internal._model_construction import ModelMetaclass

from portico.errors import InvalidSettings
from portico.settings.reading import explain, find_groups


class _Checked(ModelMetaclass):
    """Makes the constructors raise a ``PorticoError`` for values that they refuse, as all of Portico does."""

    if not TYPE_CHECKING:  # constructors keep their types

        def __call__(cls, **values: Any) -> Any:  # noqa: N805 - it is a metaclass
            try:
                return super().__call__(**values)
            except ValidationError as error:
                raise InvalidSettings(explain(error, find_groups(cls))) from None


class Group(BaseModel, metaclass=_Checked):
    """Values that belong together. Unknown names are refused, so that a typo does not silently leave the default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # the input can be a password
