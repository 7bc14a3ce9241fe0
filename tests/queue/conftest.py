"""A world with a broker for each test: PostgreSQL, and the run's RabbitMQ with a topic of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from portico.store.sql.schema import upgrade
from tests.queue.broker import messaging
from tests.queue.brokered_world import BrokeredWorld
from tests.support.rabbitmq import RabbitMQ
from tests.support.services import Services, TemplateSetup


@pytest.fixture
def database_setup() -> TemplateSetup:
    """Fresh databases have the newest schema."""
    return upgrade


@pytest.fixture
def rabbitmq(services: Services) -> Iterator[RabbitMQ]:
    """The broker, for a test that can stop it."""
    yield services.rabbitmq
    services.rabbitmq.resume()


@pytest.fixture
def world(database_url: str, rabbitmq: RabbitMQ) -> Iterator[BrokeredWorld]:
    """Requests, and as many workers as the test starts."""
    world = BrokeredWorld(database_url, messaging(rabbitmq.url))
    yield world
    world.close()
