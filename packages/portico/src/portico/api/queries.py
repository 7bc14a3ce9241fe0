"""Query strings: which objects a list contains and in which order, and the links to its other pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request

from portico.api.faults import InvalidPage
from portico.api.request_middleware import state_of
from portico.errors import InvalidInput
from portico.resources.view import View
from portico.store.sql.listing import Page
from portico.store.sql.query import Query

_TRUE = ("true", "1", "yes")
_DIRECTIONS = {"asc": False, "desc": True}
_PAGING = ("marker", "page_reverse")
CONTROLS = (
    *("fields", "sort", "sort_key", "sort_dir", "limit", "tags", "tags-any", "not-tags", "not-tags-any"),
    *_PAGING,
)
"""Parameters that are not filters."""
_LARGEST_LIMIT = 10**9
_MOST_VALUES = 100
"""Most different values of one parameter: each costs the database a comparison."""


def is_true(value: str | None) -> bool:
    """Whether a flag of a query string is set."""
    return value is not None and value.lower() in _TRUE


def parse_fields(parameters: QueryParams) -> frozenset[str] | None:
    """The fields that the query asks for; None for all fields."""
    named = [name for value in parameters.getlist("fields") for name in value.split(",") if name]
    return frozenset(named) if named else None


def parse_query(parameters: QueryParams) -> Query:
    """Parse the filters, order and page of a list.

    Raises:
        InvalidPage: a limit is not a number, or a direction is neither ``asc`` nor ``desc``.
        InvalidInput: a parameter has too many values.
    """
    filters: dict[str, list[str]] = {}
    for name, value in parameters.multi_items():
        if name not in CONTROLS:
            filters.setdefault(name, []).append(value)
    return Query(
        filters={name: _distinct(name, values) for name, values in filters.items()},
        tags=_parse_tags(parameters, "tags"),
        tags_any=_parse_tags(parameters, "tags-any"),
        not_tags=_parse_tags(parameters, "not-tags"),
        not_tags_any=_parse_tags(parameters, "not-tags-any"),
        sort=_parse_sort(parameters),
        limit=_parse_limit(parameters.get("limit")),
        marker=parameters.get("marker"),
        reverse=is_true(parameters.get("page_reverse")),
    )


def _parse_tags(parameters: QueryParams, name: str) -> list[str]:
    """Parse tags, which are repeated or separated by commas, so a tag that contains a comma cannot be named. An empty
    value, or nothing between two commas, is the empty tag, as in the reference implementation."""
    return _distinct(name, (tag for value in parameters.getlist(name) for tag in value.split(",")))


def _distinct(name: str, values: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(values))
    if len(found) > _MOST_VALUES:
        raise InvalidInput(name[:64], f"must not have more than {_MOST_VALUES} values")
    return found


def _parse_limit(text: str | None) -> int:
    if text is None or text == "infinite" or (text.startswith("-") and text[1:].isdecimal()):
        return 0
    if not text.isascii() or not text.isdecimal() or len(text) > 10 or int(text) > _LARGEST_LIMIT:
        raise InvalidPage("limit", "must be a number of objects; 0 means all")
    return int(text)


def _parse_sort(parameters: QueryParams) -> list[tuple[str, bool]]:
    pairs = []
    for value in parameters.getlist("sort"):
        for one in value.split(","):
            name, _, direction = one.strip().partition(":")
            pairs.append((name, direction or "asc"))
    directions = [one for value in parameters.getlist("sort_dir") for one in value.split(",")]
    for number, name in enumerate(one for value in parameters.getlist("sort_key") for one in value.split(",")):
        pairs.append((name, directions[number] if number < len(directions) else "asc"))
    for name, direction in pairs:
        if direction.lower() not in _DIRECTIONS:
            raise InvalidPage("sort", f"{name[:64]!r} can be sorted asc or desc, not {direction[:64]!r}")
    return [(name, _DIRECTIONS[direction.lower()]) for name, direction in pairs if name]


def page_links(request: Request, view: View, query: Query, page: Page) -> list[dict[str, str]]:
    """Links to the pages after and before this one; they repeat all other parameters of the query."""
    if not query.limit or not page.objects:
        return []
    has_next = page.more or query.reverse
    has_previous = page.more if query.reverse else query.marker is not None
    links = []
    kept = [pair for pair in request.query_params.multi_items() if pair[0] not in _PAGING]
    if has_next:
        links.append({"rel": "next", "href": _href(request, [*kept, ("marker", page.objects[-1][view.id_field])])})
    if has_previous:
        back = [("marker", page.objects[0][view.id_field]), ("page_reverse", "True")]
        links.append({"rel": "previous", "href": _href(request, [*kept, *back])})
    return links


def _href(request: Request, parameters: list[tuple[str, str]]) -> str:
    return f"{base_url(request)}{state_of(request.scope)['address']}?{urlencode(parameters)}"


def base_url(request: Request) -> str:
    """The URL of the service, as the caller wrote it."""
    host = request.headers.get("host") or "localhost"
    return f"{request.url.scheme}://{host}{request.scope.get('root_path', '').rstrip('/')}"


def cut(shown: dict[str, Any], fields: frozenset[str] | None) -> dict[str, Any]:
    """Reduce an object to these fields; None: leave it whole."""
    return shown if fields is None else {name: value for name, value in shown.items() if name in fields}
