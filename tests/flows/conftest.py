"""A world for each test, as for the worker's tests, and the option that writes the outlines."""

from __future__ import annotations

import pytest

from tests.worker.conftest import database_setup, quiet, world

__all__ = ["database_setup", "quiet", "world"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``pytest tests/flows --regenerate-outlines``, which writes the outlines. Read the difference before you
    commit it."""
    parser.addoption(
        "--regenerate-outlines", action="store_true", help="write the flows' outlines instead of comparing them"
    )
