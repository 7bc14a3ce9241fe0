"""The OpenAPI document: bodies, responses and parameters of each route. It is generated from the same specs and views
that check the bodies and produce the responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.responses import Response

from portico.api.queries import CONTROLS
from portico.resources.view import Related, View

_REFERENCE = "#/components/schemas/{model}"
_TEXT = {"type": "string"}
_LINKS = {"type": "array", "items": {"type": "object", "properties": {"rel": _TEXT, "href": _TEXT}}}
_FAULT = {
    "type": "object",
    "properties": {
        "faultcode": {"enum": ["Client", "Server"]},
        "faultstring": _TEXT,
        "debuginfo": {"type": ["string", "null"]},
    },
}
_MISDIRECTED = {"type": "object", "properties": {"code": {"type": "integer"}, "title": _TEXT, "description": _TEXT}}
_UNAUTHENTICATED = {"type": "object", "properties": {"error": _MISDIRECTED}}
_FAULTS: Mapping[int, tuple[str, Mapping[str, Any]]] = {
    400: ("A value breaks a rule; the fault names it.", {"anyOf": [_FAULT, _MISDIRECTED]}),
    401: ("The caller is not authenticated.", _UNAUTHENTICATED),
    403: ("The caller may not do this, or the quota has been met.", _FAULT),
    404: ("There is no such object or address.", {"anyOf": [_FAULT, _MISDIRECTED]}),
    405: ("The address does not support this method.", _MISDIRECTED),
    406: ("The client must accept JSON.", _MISDIRECTED),
    409: ("The request conflicts with the present state.", _FAULT),
    413: ("The body is too long.", _FAULT),
    415: ("The body must be JSON.", _FAULT),
    501: ("The value is valid, but not supported here.", _FAULT),
    503: ("The database or Keystone does not answer; try again.", _FAULT),
}
_CONTROLS = {
    "fields": "Show only these fields; can be repeated.",
    "sort": "Keys to sort by, with directions: ``key:desc,other:asc``.",
    "sort_key": "A key to sort by; can be repeated.",
    "sort_dir": "``asc`` or ``desc``, one for each ``sort_key``.",
    "limit": "Most objects in a page; 0 means all.",
    "marker": "The id after which the page begins.",
    "page_reverse": "The page ends before the marker.",
    "tags": "Objects that have all of these tags; can be repeated.",
    "tags-any": "Objects that have any of these tags.",
    "not-tags": "Objects that do not have all of these tags.",
    "not-tags-any": "Objects that have none of these tags.",
}


def view_schema(view: View) -> dict[str, Any]:
    """The JSON schema of an object as a view shows it."""
    return {"type": "object", "properties": {name: dict(field.shown_schema) for name, field in view.shown.items()}}


def shows(view: View, status: int = 200) -> dict[str, Any]:
    """Describe a route that answers with one object."""
    return gives({"type": "object", "properties": {view.root: view_schema(view)}, "required": [view.root]}, status)


def lists(view: View) -> dict[str, Any]:
    """Describe a route that answers with a list and accepts filters."""
    links = f"{view.collection}_links"
    schema = {
        "type": "object",
        "properties": {view.collection: {"type": "array", "items": view_schema(view)}, links: _LINKS},
        "required": [view.collection, links],
    }
    parameters = [_parameter(name, _CONTROLS[name]) for name in CONTROLS]
    for name in (*view.fields, *view.aliases):
        field = view.resolve(name)
        is_filter = isinstance(field, Related) or (field is not None and (field.is_sortable or field.is_list))
        if is_filter and name != "tags":
            parameters.append(_parameter(name, "Objects with this value; can be repeated: any of the values."))
    return _with(gives(schema), parameters=parameters)


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": _TEXT}


def gives(schema: Mapping[str, Any] | None, status: int = 200) -> dict[str, Any]:
    """Describe a route whose response has this schema; None: an empty response."""
    content = {"application/json": {"schema": schema}}
    responses: dict[int | str, dict[str, Any]] = {
        code: {"description": text, "content": {"application/json": {"schema": fault}}}
        for code, (text, fault) in _FAULTS.items()
    }
    responses[status] = {"description": "Accepted." if schema is None else "The answer."}
    if schema is None:
        return {"status_code": status, "responses": responses, "response_class": Response}
    responses[status]["content"] = content
    return {"status_code": status, "responses": responses}


def takes(
    described: dict[str, Any],
    root: str,
    spec: type[BaseModel],
    view: View | None = None,
    *,
    update: bool = False,
    more: Mapping[str, Any] | None = None,
    needed: tuple[str, ...] = (),
    many: bool = False,
) -> dict[str, Any]:
    """Add a request body to the description of a route.

    Args:
        described: the description, from ``shows``, ``lists`` or ``gives``.
        root: the body's one key.
        spec: the fields that can be set.
        view: only fields that it shows can be set; None: all of them.
        update: all fields are optional, and fields that cannot be changed are left out.
        more: further attributes of the body, and their schemas.
        needed: those of ``more`` that are required.
        many: the body is a list of such objects.
    """
    schema = spec.model_json_schema(ref_template=_REFERENCE)
    nested = {"requestBody": schema.pop("$defs", {})}
    fixed: frozenset[str] = getattr(spec, "IMMUTABLE", frozenset()) if update else frozenset()
    names = [name for name in schema["properties"] if (view is None or name in view.shown) and name not in fixed]
    properties = {name: {"anyOf": [schema["properties"][name], {"type": "null"}]} for name in names}
    required = [] if update else [*(name for name in schema.get("required", []) if name in names), *needed]
    body: dict[str, Any] = {"type": "object", "properties": {**properties, **(more or {})}, "required": required}
    if many:
        body = {"type": "array", "items": body}
    whole = {"type": "object", "properties": {root: body}, "required": [root], "additionalProperties": False}
    content = {"application/json": {"schema": whole}}
    return _with(described, requestBody={"required": True, "content": content}, **{"x-nested": nested["requestBody"]})


def _with(described: dict[str, Any], **extra: Any) -> dict[str, Any]:
    return {**described, "openapi_extra": {**described.get("openapi_extra", {}), **extra}}


def document(app: FastAPI, prefix: str) -> None:
    """Make the application generate its OpenAPI document once, on first use. ``prefix``: the path below which all paths
    are."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            if prefix:
                schema["servers"] = [{"url": prefix}]
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            for path in schema["paths"].values():
                for operation in path.values():
                    components.update(operation.pop("x-nested", {}))
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend the document
