"""A world for each test, as for the worker's tests, and the flag that writes the outlines."""

from __future__ import annotations

import pytest

from tests.worker.conftest import database_setup, quiet, world

__all__ = ["database_setup", "quiet", "world"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/flows --regenerate-outlines`` writes the outlines; read the difference before you commit it."""
    parser.addoption(
        "--regenerate-outlines", action="store_true", help="write the flows' outlines anew instead of comparing"
    )
