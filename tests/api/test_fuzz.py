"""Hostile requests made from the OpenAPI document: what is documented is what is answered, and nothing is a 500.

A fixed seed and a few examples for each route: a smoke alarm that costs seconds, not a search.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import CheckFunction, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.service import Service

pytestmark = [
    pytest.mark.database("sqlite"),
    pytest.mark.timeout(300),
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
"""What ends up in one text of every body that is sent."""


@pytest.fixture
def fuzzed(service: Service) -> Iterator[BaseSchema]:
    """The document of an API that has one object of each kind, whose ids stand in every second path."""
    made = service.one_of_each()
    service.settle()
    schema = schemathesis.openapi.from_asgi("/openapi.json", service.app, headers=CALLER)
    count = 0

    @schema.hook
    def map_path_parameters(context: Any, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        """Real ids, except where that would delete what the other examples need."""
        if parameters and context.operation.method != "delete":
            parameters |= {name: made[_PLACES[name]]["id"] for name in parameters if name in _PLACES}
        return parameters

    @schema.hook
    def map_body(context: Any, body: Any) -> Any:
        """Real parents, and one text replaced by what would harm a configuration."""
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
    """501 and 503 say what they mean; 500 is a defect."""
    assert response.status_code != 500, response.text


FEW = settings(
    max_examples=6,
    deadline=None,
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
    """Good, bad and hostile requests of every route: a documented status, a body of the documented shape, never a 500;
    and whatever was accepted can be built."""
    routes = [found.ok() for found in fuzzed.get_all_operations() if isinstance(found, Ok)]
    assert len(routes) > 60
    for route, mode in product(routes, GenerationMode):
        if mode == GenerationMode.NEGATIVE and not route.body:
            continue  # there is no body to be wrong

        @given(case=route.as_strategy(generation_mode=mode))
        @FEW
        def answer_well(case: Any) -> None:
            case.call_and_validate(headers=CALLER, checks=CHECKS)

        answer_well()
