"""The flag that writes the golden files anew."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/golden --regenerate`` writes what is rendered now; read the difference before you commit it."""
    parser.addoption(
        "--regenerate", action="store_true", help="write the golden files anew instead of comparing with them"
    )
