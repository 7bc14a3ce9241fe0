"""Quotas of projects, and the deployment's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.responses import Response

from portico.api.bodies import INTEGER
from portico.api.call import Call, Received
from portico.api.documentation import gives, takes
from portico.api.faults import answer
from portico.api.queries import cut, page_links, parse_fields, parse_query
from portico.errors import InvalidInput
from portico.intake.quotas import list_quotas as read_quotas
from portico.intake.quotas import reset_quota, show_defaults, show_quota, write_quota
from portico.resources.quota import QUOTA_KINDS, QUOTA_NAMES, QUOTA_VIEW, QuotaSpec

router = APIRouter(prefix="/v2.0/lbaas/quotas", tags=["quotas"])

_SCHEMA = {"type": "object", "properties": {"quota": {"type": "object"}}, "required": ["quota"]}


def both_spellings(limits: Mapping[str, Any]) -> dict[str, Any]:
    """The limits under both spellings of their names (``QUOTA_NAMES``): clients use either."""
    return {**limits, **{name: limits[kind] for name, kind in QUOTA_NAMES.items()}}


@router.get("", **gives({"type": "object", "properties": {"quotas": {"type": "array"}}, "required": ["quotas"]}))
def list_quotas(call: Received) -> Response:
    """List the quotas that the caller may see, of all projects that have a quota of their own."""
    scope = call.visible("quota")
    query, fields = parse_query(call.request.query_params), parse_fields(call.request.query_params)
    page = read_quotas(call.context.database, call.context.settings.quotas, query, scope)
    quotas = [cut(both_spellings(limits), fields) for limits in page.objects]
    return answer({"quotas": quotas, "quotas_links": page_links(call.request, QUOTA_VIEW, query, page)})


@router.get("/defaults", **gives(_SCHEMA))
def show_default_quotas(call: Received) -> Response:
    """Show the default quotas, for projects without a quota of their own."""
    call.authorize("quota:get_defaults", call.identity.project_id)
    return _answer(call, show_defaults(call.context.settings.quotas))


@router.get("/{project_id}", **gives(_SCHEMA))
def show_project_quota(call: Received, project_id: str) -> Response:
    """Show a project's quota; the defaults where it has none of its own."""
    call.authorize("quota:get_one", project_id)
    _check_project(project_id)
    return _answer(call, show_quota(call.context.database, project_id, call.context.settings.quotas))


@router.get("/{project_id}/default", **gives(_SCHEMA))
def show_project_default(call: Received, project_id: str) -> Response:
    """Show the quota that the project would have without a quota of its own."""
    call.authorize("quota:get_defaults", project_id)
    _check_project(project_id)
    return _answer(call, show_defaults(call.context.settings.quotas))


@router.put("/{project_id}", **takes(gives(_SCHEMA, 202), "quota", QuotaSpec))
def update_quota(call: Received, project_id: str) -> Response:
    """Set limits of a project's quota. null resets a limit to its default, -1 means no limit; limits that are not named
    stay as they are."""
    call.authorize("quota:put", project_id)
    _check_project(project_id)
    limits = _parse(call.object("quota"))
    write_quota(call.context.database, project_id, limits)
    return _answer(call, show_quota(call.context.database, project_id, call.context.settings.quotas), 202)


@router.delete("/{project_id}", **gives(None, 202))
def delete_quota(call: Received, project_id: str) -> Response:
    """Reset a project's quota to the defaults."""
    call.authorize("quota:delete", project_id)
    _check_project(project_id)
    reset_quota(call.context.database, project_id)
    return Response(status_code=HTTPStatus.ACCEPTED)


def _check_project(project_id: str) -> None:
    if len(project_id) > 64 or not project_id.isprintable():
        raise InvalidInput("project_id", "must be at most 64 printable characters")


def _answer(call: Call, limits: Mapping[str, Any], status: int = 200) -> Response:
    return answer({"quota": cut(both_spellings(limits), parse_fields(call.request.query_params))}, status)


def _parse(given: Mapping[str, Any]) -> dict[str, int | None]:
    named: dict[str, Any] = {}
    for name, value in given.items():
        kind = QUOTA_NAMES.get(name, name)
        if kind not in QUOTA_KINDS:
            raise InvalidInput(name[:64], "is not a quota")
        number = int(value) if isinstance(value, str) and INTEGER.fullmatch(value) else value
        if named.setdefault(kind, number) != number:
            raise InvalidInput(name[:64], "is given twice, with different values")
    try:
        return QuotaSpec.model_validate(named).model_dump(include=set(named))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(".".join(str(part)[:64] for part in first["loc"]), first["msg"].lower()) from None
