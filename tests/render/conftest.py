"""A running load balancer, for the tests that send requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from portico.render import render
from tests.render import haproxies
from tests.render.clients import Address, Start
from tests.render.trees import AMPHORA_ID, Document, tree_from


@pytest.fixture(params=list(haproxies.find_haproxies().values()), ids=list(haproxies.find_haproxies()))
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Runs a document's load balancer until the test ends, and returns the addresses of its listeners, in order."""
    with ExitStack() as stack:

        def start_one(document: Document) -> list[Address]:
            bundle = render(tree_from(document), AMPHORA_ID, 1)
            return list(stack.enter_context(haproxies.run(request.param, bundle, tmp_path)).values())

        yield start_one
