"""Request bodies: bounded in size and depth before they are parsed, and converted to the types of their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import isfinite
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from portico.api.faults import Unacceptable
from portico.errors import InvalidInput
from portico.resources.view import View

_JSON_TYPES = ("application/json", "")
INTEGER = re.compile(r"-?[0-9]{1,18}")
"""Text that is accepted as a number."""
_BOOLEANS = {"true": True, "false": False}


async def read_body(request: Request, longest: int) -> bytearray:
    """Read the body.

    Raises:
        Unacceptable: it is longer than ``longest`` bytes, or its content type is not JSON.
    """
    rule = f"the body must not be longer than {longest} bytes (api.max_body_bytes)"
    too_long = Unacceptable(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, rule)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > longest:
        raise too_long
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > longest:
            raise too_long
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if chunks and kind not in _JSON_TYPES:
        raise Unacceptable(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
    return chunks


def parse_root(raw: bytearray, root: str, most: int) -> Any:
    """Parse a body and return the value under its one key.

    ``most``: the most values that the body can have. They are counted before the body is parsed, because parsing uses
    up to a hundred bytes of memory for each byte of the body. What is counted is the character before each value
    (``,``, ``[`` or ``{``), including those inside strings.

    Raises:
        InvalidInput: the body is not JSON (or nested too deeply), the key is missing, there are other keys, or there
            are too many values.
    """
    if len(raw) > most and sum(map(raw.count, (b",", b"[", b"{"))) > most:
        raise InvalidInput("body", f"must not hold more than {most} values (api.max_body_values)")
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidInput("body", f"is not valid JSON: {error}") from None
    if not isinstance(body, dict) or root not in body:
        raise InvalidInput(root, "is missing: the body must be an object with this key")
    if len(body) > 1:
        raise InvalidInput(next(key for key in body if key != root)[:64], "is not a key of this body")
    return body[root]


def own_values(view: View, fields: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that the caller gave for an object, converted to the types of their fields.

    Args:
        view: the view of the kind: only attributes that it shows can be set.
        fields: the fields that can be set.
        given: name to value. ``tenant_id`` is the older name of ``project_id``; if one of the two is null, it is
            ignored. Numbers and booleans can be text, because some clients write them so.

    Raises:
        InvalidInput: an attribute does not exist or cannot be set, or two different projects are named.
    """
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = "project_id" if key == "tenant_id" else key
        shown = view.fields.get(name)
        if name not in fields or shown is None or name not in view.shown:
            raise InvalidInput(key[:64], "is not an attribute that can be set")
        known = values.get(name)  # set under the other of the two names of a project
        if known is not None and value not in (None, known):
            raise InvalidInput(key, "project_id and tenant_id must name the same project")
        if known is not None:
            continue
        if name == "admin_state_up" and value is None:
            values[name] = False  # as in the reference implementation
        else:
            values[name] = _typed(shown.shown_schema.get("type"), value) if isinstance(value, str) else value
    return values


def _typed(kind: Any, value: str) -> Any:
    kinds = kind if isinstance(kind, list) else [kind]
    if "boolean" in kinds:
        return _BOOLEANS.get(value.lower(), value)
    if "integer" in kinds and INTEGER.fullmatch(value):
        return int(value)
    if "number" in kinds:
        try:
            number = float(value)
        except ValueError:
            return value
        return number if isfinite(number) else value
    return value
