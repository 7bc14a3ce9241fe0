"""A site for each test: PostgreSQL, a topic of its own at the run's RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.store.sql.schema import upgrade
from tests.queue.broker import messaging
from tests.queue.site import Site
from tests.support.rabbitmq import RabbitMQ
from tests.support.services import Services, TemplateSetup


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def rabbitmq(services: Services) -> Iterator[RabbitMQ]:
    """The broker, for a test that may stop it."""
    yield services.rabbitmq
    services.rabbitmq.resume()


@pytest.fixture
def site(database_url: str, rabbitmq: RabbitMQ) -> Iterator[Site]:
    """Requests, and as many workers as the test starts."""
    site = Site(database_url, messaging(rabbitmq.url))
    yield site
    site.close()
