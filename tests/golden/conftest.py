"""The flag that regenerates the golden files."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/golden --regenerate`` writes what is rendered now; read the diff before you commit it."""
    parser.addoption(
        "--regenerate", action="store_true", help="regenerate the golden files instead of comparing with them"
    )
