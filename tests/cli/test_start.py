"""Which packages a command imports: only those that it uses. ``scripts/bench startup`` measures the cost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.waiting import PATIENCE

_ALL = ("alembic", "fastapi", "httpx", "keystoneauth1", "networkx", "oslo_messaging", "taskflow")
"""Packages each of which takes a tenth of a second or more to import."""
_USES = {
    "api": {"fastapi"},
    "worker": {"httpx", "networkx", "taskflow"},
    "health_manager": {"httpx"},
    "status": set(),
    "limits": set(),
    "database": set(),
    "certificates": set(),
    "check": set(),
}


@pytest.mark.parametrize("command", _USES)
def test_a_command_imports_only_what_it_uses(command: str) -> None:
    """Neither the API nor a health manager runs flows, and commands that only read the database need no web
    framework."""
    program = f"import sys, portico.cli.{command}; print(*[one for one in {_ALL!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True)

    assert set(done.stdout.split()) <= _USES[command]
