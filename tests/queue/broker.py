"""Settings for a test's broker."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from portico.settings import MessagingSettings


def messaging(url: str, **settings: Any) -> MessagingSettings:
    """Settings with a topic that nobody else uses, and shorter intervals than the defaults."""
    values = {"topic": f"test-{uuid4().hex}", "heartbeat_seconds": 6, "retry_seconds": 0.2, **settings}
    return MessagingSettings(url=SecretStr(url), **values)
