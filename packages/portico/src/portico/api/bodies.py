"""Request bodies: bounded in size and depth before anything looks at them, and made of the types that fields have."""

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
"""Text that is taken for a number."""
_BOOLEANS = {"true": True, "false": False}


async def read_body(request: Request, longest: int) -> bytearray:
    """The body, ``longest`` bytes of it at most.

    Raises:
        Unacceptable: it is longer, or says that it is not JSON.
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
    """What a body holds under its one key.

    ``most``: values in the body. They are counted by what stands before each, in strings too: before anything is
    parsed, which takes up to a hundred bytes of memory for each byte of the body.

    Raises:
        InvalidInput: not JSON (or nested too deeply), or the key is missing, or others are there, or too many values.
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
    """The attributes of an object of this kind, as the caller gave them, in their fields' types.

    Args:
        view: what is shown of the kind: only what is shown can be set.
        fields: what can be set.
        given: name to value. ``tenant_id`` is the older name of ``project_id``, and of the two the one that is null
            says nothing; numbers and booleans may be text, as some clients write them.

    Raises:
        InvalidInput: an attribute that there is not, two projects.
    """
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = "project_id" if key == "tenant_id" else key
        shown = view.fields.get(name)
        if name not in fields or shown is None or name not in view.shown:
            raise InvalidInput(key[:64], "is not an attribute that can be set")
        known = values.get(name)  # the other of a project's two names
        if known is not None and value not in (None, known):
            raise InvalidInput(key, "project_id and tenant_id must name the same project")
        if known is not None:
            continue
        if name == "admin_state_up" and value is None:
            values[name] = False  # as the reference takes it
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
