"""Hostile requests generated from the OpenAPI document: answers are as documented, and nothing is a 500.

A fixed seed and a few examples for each route: a smoke alarm that costs seconds, not a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from portico.api.queries import CONTROLS
from portico.intake.offers import OFFERS
from portico.resources.kinds import KINDS
from portico.resources.quota import QUOTA_VIEW
from portico.resources.view import View
from tests.api.service import Service, address_of

pytestmark = [
    pytest.mark.database("sqlite"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]

CALLER = {"X-Project-Id": "p1", "X-Admin": "yes"}
_PLACES = {
    "load_balancer_id": "loadbalancer",
    "listener_id": "listener",
    "pool_id": "pool",
    "member_id": "member",
    "health_monitor_id": "healthmonitor",
    "l7policy_id": "l7policy",
    "rule_id": "rule",
}
_KEYWORDS = (
    "\n  server evil 192.0.2.66:80",
    "\r\nbind :1",
    "'\"\\ # $(id)",
    "\x00",
    "use_backend evil if TRUE",
    "%[env(HOME)]",
)
"""Texts one of which replaces a text of every body that is sent."""


@pytest.fixture
def fuzzed(service: Service) -> Iterator[BaseSchema]:
    """The OpenAPI document of an API with one object of each kind. Paths contain the objects' ids, except in
    deletes."""
    made = service.one_of_each()
    service.settle()
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app, headers=CALLER)
    count = 0

    @schema.hook
    def map_path_parameters(context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Use real ids, except where that would delete what the other examples need."""
        if parameters and context.operation.method != "delete":
            parameters |= {name: made[_PLACES[name]]["id"] for name in parameters if name in _PLACES}
        return parameters

    @schema.hook
    def map_body(context: Any, body: Any) -> Any:
        """Use real parents, and replace one text by one that would corrupt a configuration."""
        nonlocal count
        inner = next(iter(body.values()), None) if isinstance(body, dict) else None
        if isinstance(inner, list) and inner:  # a batch
            inner = inner[0]
        if isinstance(inner, dict):
            inner |= {name: made[_PLACES[name]]["id"] for name in inner if name in _PLACES}
            texts = [name for name, value in inner.items() if isinstance(value, str) and name not in _PLACES]
            count += 1
            if texts and count % 2:
                inner[texts[count % len(texts)]] += _KEYWORDS[count % len(_KEYWORDS)]
        return body

    yield schema
    service.settle()
    with service.database.engine.connect() as connection:
        failed = connection.exec_driver_sql("SELECT error, reason FROM operation WHERE state = 'FAILED'").all()
    assert [tuple(one) for one in failed] == []


def no_internal_error(_context: Any, response: Response, _case: Any) -> None:
    """Check that the status is not 500, which is a defect; 501 and 503 are deliberate."""
    assert response.status_code != 500, response.text


FEW = settings(
    max_examples=6,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CHECKS: list[CheckFunction] = [
    no_internal_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def test_every_route_answers_as_documented(fuzzed: BaseSchema) -> None:
    """Valid, invalid and hostile requests of every route get a documented status and a body of the documented schema,
    never a 500; and everything that was accepted can be built."""
    routes = [found.ok() for found in fuzzed.get_all_operations() if isinstance(found, Ok)]
    assert len(routes) > 60
    for route, mode in product(routes, GenerationMode):
        if mode == GenerationMode.NEGATIVE and not route.body:
            continue  # there is no body that could be wrong

        @given(case=route.as_strategy(generation_mode=mode))
        @FEW
        def answer_well(case: Any) -> None:
            case.call_and_validate(headers=CALLER, checks=CHECKS)

        answer_well()


# Lists

_VALUES = st.one_of(
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
    st.datetimes().map(str),
    st.sampled_from(
        (
            *("", "0", "-1", "1", "true", "False", "ACTIVE", "web", "HTTP", "80", "1.1", "None", "infinite", "*/*"),
            *("9" * 30, "9" * 5000, f"{'0' * 12}{'9' * 30}", "-3000000000", "1e400", "nan", "\u0663", "1_0"),
            *("\x00", "a\x00b", "\ud800", "\U0001f40d", "%00", "%s", "?", ":a", "'\" --", "\\", "%", "x" * 20000),
            *("0001-01-01", "9999-12-31T23:59:59.9+00:00", "9999-12-31T23:59:59-05:00", "2026-01-01T00:00:00+05:00"),
            *("name", "id", "name:desc", "id,name", "created_at,updated_at:DESC", "tags", "listeners", "asc", "desc"),
            ",".join(f"v{number}" for number in range(100)),
        )
    ),
)
_TIMES = st.sampled_from((1, 1, 1, 2, 300))


def _lists(made: dict[str, Any]) -> dict[str, View]:
    """The path of each kind's list."""
    of_parts = {root: address_of(root, made).rpartition("/")[0] for root in made}
    of_offers = {one.view.root: f"/v2.0/lbaas/{one.view.collection.replace('_', '')}" for one in OFFERS.values()}
    paths = {"amphora": "/v2.0/octavia/amphorae", "quota": "/v2.0/lbaas/quotas", **of_parts, **of_offers}
    views = (*(one.view for one in KINDS.values()), *(one.view for one in OFFERS.values()), QUOTA_VIEW)
    return {paths[view.root]: view for view in views}


@pytest.mark.database("sqlite", "postgresql", "mariadb")
def test_a_list_survives_any_query(service: Service) -> None:
    """With every control and every field, and values of all kinds, alone, together and repeated hundreds of times, a
    list answers with results or 400. It needs at most three statements: one for the list, one for the marker and one
    for the parent."""
    made = service.one_of_each()
    service.settle()
    own = [one["id"] for one in made.values()]
    values = st.one_of(_VALUES, st.sampled_from(own), st.just(made["loadbalancer"]["created_at"]))

    for path, view in _lists(made).items():
        names = st.sampled_from((*CONTROLS, *CONTROLS, *view.fields, *view.aliases, "unheard-of"))

        @given(asked=st.lists(st.tuples(names, values, _TIMES), min_size=1, max_size=5))
        @settings(FEW, max_examples=12)
        def answer_well(path: str, asked: list[tuple[str, str, int]]) -> None:
            pairs = [(name, value) for name, value, times in asked for _ in range(times if len(value) < 100 else 1)]
            query = urlencode(pairs, errors="surrogatepass")[:60000]  # httpx has a limit of its own
            service.statements.clear()
            response = service.request("GET", f"{path}?{query}")
            assert response.status_code in (200, 400), (response.status_code, query[:500])
            assert len(service.statements) <= 3, query[:500]

        answer_well(path)
