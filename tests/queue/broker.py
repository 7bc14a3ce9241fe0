"""Settings for a broker of a test."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from portico.settings import MessagingSettings


def messaging(url: str, **settings: Any) -> MessagingSettings:
    """A topic that nobody else uses, and less patience than by default."""
    values = {"topic": f"test-{uuid4().hex}", "heartbeat_seconds": 6, "retry_seconds": 0.2, **settings}
    return MessagingSettings(url=SecretStr(url), **values)
